"""The internal port: alive, ready or why not, and the numbers."""

import asyncio

import pytest
import structlog

from farseal.service import ops
from farseal.service.metrics import ServiceMetrics
from farseal.service.ops import Readiness, ops_application


async def well() -> str | None:
    """All is well."""
    return None


async def ill() -> str | None:
    """Something is not."""
    return "the database cannot be reached"


async def broken() -> str | None:
    """A check with a fault of its own."""
    raise RuntimeError("password=hunter2")


async def hanging() -> str | None:
    """A check that does not end."""
    await asyncio.sleep(60)
    return None


@pytest.fixture
def readiness() -> Readiness:
    """Of a service without checks."""
    return Readiness()


@pytest.fixture
async def client(aiohttp_client, readiness):
    """A client of its internal port."""
    return await aiohttp_client(ops_application(readiness, ServiceMetrics("kit")))


async def test_ready_means_every_check_is_well(client, readiness) -> None:
    """200 with all well; 503 with the reason of each that is not."""
    readiness.add("keys", well)
    response = await client.get("/readyz")
    assert (response.status, await response.json()) == (200, {"status": "ready"})
    readiness.add("database", ill)
    response = await client.get("/readyz")
    assert response.status == 503
    assert await response.json() == {"status": "not ready", "reasons": {"database": "the database cannot be reached"}}
    assert response.headers["Cache-Control"] == "no-store"


async def test_what_no_request_needs_is_a_warning(client, readiness) -> None:
    """A fault that all replicas share must be seen, and must not take every one of them out of service."""
    readiness.add("publication", ill, required=False)
    response = await client.get("/readyz")
    assert response.status == 200
    assert await response.json() == {"status": "ready", "warnings": {"publication": "the database cannot be reached"}}
    readiness.add("database", ill)
    response = await client.get("/readyz")
    assert (response.status, sorted(await response.json())) == (503, ["reasons", "status", "warnings"])


async def test_a_broken_or_hanging_check_is_a_reason(client, readiness, monkeypatch) -> None:
    """A probe is answered in bounded time, and quotes no exception."""
    monkeypatch.setattr(ops, "CHECK_SECONDS", 0.05)
    readiness.add("broken", broken)
    readiness.add("hanging", hanging)
    async with asyncio.timeout(1):
        response = await client.get("/readyz")
    assert (await response.json())["reasons"] == {
        "broken": "the check failed: RuntimeError",
        "hanging": "no answer within 0.05 s",
    }


@pytest.mark.parametrize("state", ["starting", "draining"])
async def test_a_service_that_starts_or_drains_is_alive_and_not_ready(client, readiness, state) -> None:
    """It must not be restarted, and must not get requests."""
    setattr(readiness, state, True)
    assert (await client.get("/livez")).status == 200
    response = await client.get("/readyz")
    assert (response.status, (await response.json())["reasons"]) == (503, {"service": state})


async def test_a_change_of_readiness_is_logged_once(readiness) -> None:
    """Probes come every second; the log tells the changes."""
    with structlog.testing.capture_logs() as logged:
        for _ in range(3):
            await readiness.reasons()
        readiness.draining = True
        for _ in range(3):
            await readiness.reasons()
    assert [(line["ready"], line["reasons"]) for line in logged] == [(False, {"service": "draining"})]


def test_a_check_has_a_name_of_its_own(readiness) -> None:
    """The second of one name would hide the first."""
    readiness.add("database", well)
    with pytest.raises(ValueError, match="database"):
        readiness.add("database", ill)


async def test_metrics_are_in_the_text_format(client) -> None:
    """What Prometheus scrapes: the service's own registry, the process included."""
    response = await client.get("/metrics")
    text = await response.text()
    assert response.headers["Content-Type"].startswith("text/plain")
    assert 'service_info{name="kit"} 1.0' in text
    assert "http_requests_total" in text
    assert "python_info" in text


async def test_two_services_live_in_one_process() -> None:
    """Each has a registry of its own."""
    first, second = ServiceMetrics("a"), ServiceMetrics("b")
    first.observe("GET", "/x", 200, 0.1)
    labels = {"method": "GET", "route": "/x", "status": "200"}
    assert first.registry.get_sample_value("http_requests_total", labels) == 1
    assert second.registry.get_sample_value("http_requests_total", labels) is None
