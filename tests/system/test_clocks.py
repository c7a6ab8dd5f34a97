"""One clock is half a minute off: what is forgiven, what is refused and when, and who keeps its hands off the keys."""

import asyncio
import re
from pathlib import Path

import pytest
import pytest_asyncio

from demo.sessions import log_out
from demo.wire import Wire
from farseal_testing.compose import Project
from farseal_testing.container_issuer import ContainerIssuer
from farseal_testing.issuer import claims_of
from tests.system import faults
from tests.system.conftest import ROOT
from tests.system.traffic import SERVERS, Load, answer, log_in, now, until_answered, until_true

OFF = 30
LEEWAY = 30
LIBRARY = "libfaketimeMT.so.1"
CLOCK = """
    environment:
      LD_PRELOAD: /clock/{library}
      FAKETIME_TIMESTAMP_FILE: /clock/{service}
      FAKETIME_NO_CACHE: "1"
      FAKETIME_DONT_FAKE_MONOTONIC: "1"
      FAKETIME_DONT_RESET: "1"
      {setting}: "{leeway}"
    volumes: ["${{CLOCKS}}:/clock:ro"]
"""
SETTINGS = {
    "auth_server": "AUTH_SERVER_VERIFIER_LEEWAY_SECONDS",
    "resource_a": "FARSEAL_LEEWAY_SECONDS",
    "resource_b": "FARSEAL_LEEWAY_SECONDS",
}
OVERLAY = "services:\n" + "".join(
    f"  {service}:{CLOCK.format(library=LIBRARY, service=service, setting=setting, leeway=LEEWAY)}"
    for service, setting in SETTINGS.items()
)
DIFFERENCE = re.compile(r"^auth_clock_difference_seconds (\S+)$", re.MULTILINE)


@pytest.fixture(scope="module")
def clocks(tmp_path_factory) -> Path:
    """A folder with a file for each service that says by how many seconds its clock is off."""
    folder: Path = tmp_path_factory.mktemp("clocks")
    folder.chmod(0o755)
    for service in SETTINGS:
        set_clock(folder, service, 0)
    return folder


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def project(tmp_path_factory, clocks):
    """Services whose clocks can be set, and which forgive half a minute."""
    await faults.build_image()
    await faults.take_out(f"/{LIBRARY}", clocks / LIBRARY)
    overlay = tmp_path_factory.mktemp("overlay") / "clocks.yaml"
    overlay.write_text(OVERLAY)
    files = ("compose.yaml", "compose.quick.yaml", overlay)
    async with Project(ROOT, files=files, environ={"CLOCKS": str(clocks)}) as made:
        await made.up()
        yield made


@pytest.fixture
def clock(clocks):
    """Set a service's clock; all are right again afterwards."""
    yield lambda service, seconds: set_clock(clocks, service, seconds)
    for service in SETTINGS:
        set_clock(clocks, service, 0)


def set_clock(clocks: Path, service: str, seconds: int) -> None:
    """Set a service's clock off the right time by so much, at once and whole."""
    new = clocks / f".{service}"
    new.write_text(f"{seconds:+d}s\n")
    new.chmod(0o644)
    new.replace(clocks / service)


async def clock_of(project: Project, service: str) -> float:
    """By how much a service's clock is off."""
    told = await project.python(service, "import time; print(time.time())")
    return float(told.out) - now()


async def test_verifiers_half_a_minute_fast_and_slow(project: Project, clock, held) -> None:
    """One of each: they forgive it, a logout reaches them, and a token is dead at its exp, as their clocks have it."""
    off = {"resource_a": OFF, "resource_b": -OFF}
    for server, seconds in off.items():
        clock(server, seconds)
        assert await clock_of(project, server) == pytest.approx(seconds, abs=2)
    living, ended = (await log_in(project, "alice")).access, (await log_in(project, "bob")).access
    for server in SERVERS:
        await until_answered(project, server, living)
        await until_answered(project, server, ended)
    short = await ContainerIssuer(project).mint(
        "carol", project.url("resource_a"), project.url("resource_b"), lifetime=5
    )
    due = {server: claims_of(short)["exp"] + LEEWAY - seconds for server, seconds in off.items()}
    async with Load(project, living) as load:
        with Wire(project.url("auth_server")) as wire:
            assert await log_out(wire, ended) == "204"
        for server in SERVERS:
            await until_answered(project, server, ended, 401)
        seen: dict[str, float] = {}
        async with asyncio.timeout(OFF + LEEWAY + 30):
            while len(seen) < len(due):
                for server in due.keys() - seen.keys():
                    got = await answer(project, server, short)
                    # resource_b asks notes with the token that it has honoured, and there it is dead before.
                    honoured = {"200"} | ({"401 upstream_token_refused"} if server == "resource_b" else set())
                    assert got.kind in honoured | {"401 token_expired"}, (server, got)
                    if got.kind not in honoured:
                        seen[server] = now() - due[server]
                await asyncio.sleep(0.2)
    assert load.failures == {}
    assert all(-0.5 <= late <= 1.5 for late in seen.values()), seen
    held(
        f"verifiers {OFF} s fast and slow forgive it, take a logout, and refuse what has expired",
        f"{load.sent:,} requests, failures 0; a token died {seen['resource_a']:+.1f} s off its moment at the fast one, "
        f"{seen['resource_b']:+.1f} s at the slow one",
    )


@pytest.mark.parametrize("seconds", [OFF, -OFF], ids=["fast", "slow"])
async def test_an_auth_server_half_a_minute_off_leaves_the_keys_alone(project: Project, seconds, clock, held) -> None:
    """It says so; its tokens are good, for verifiers forgive as much; when its clock is right, it goes on."""
    issuer = ContainerIssuer(project)
    before = await issuer.kids()
    clock("auth_server", seconds)

    async def told() -> bool:
        found = DIFFERENCE.search(await project.metrics("auth_server"))
        return found is not None and abs(abs(float(found.group(1))) - OFF) < 3

    noticed = await until_true(told)
    assert "warnings" in await project.operations_page("auth_server", "/readyz")
    token = (await log_in(project)).access
    async with Load(project, token) as load:
        for server in SERVERS:
            await until_answered(project, server, token)
        await load.flows(least=100)
    assert load.failures == {}
    assert await issuer.kids() == before
    clock("auth_server", 0)
    await issuer.rotate()
    token = await issuer.mint("alice", project.url("resource_a"), project.url("resource_b"))
    for server in SERVERS:
        await until_answered(project, server, token)
    held(
        f"an auth server {seconds:+d} s off says so, rotates nothing, and its tokens are taken",
        f"noticed after {noticed:.1f} s; {load.sent:,} requests, failures 0; it rotates again once its clock is right",
    )
