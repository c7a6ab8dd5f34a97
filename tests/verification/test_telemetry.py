"""What Prometheus sees of a protected application."""

from aiohttp import web
from prometheus_client import CollectorRegistry, generate_latest

from farseal import clock, telemetry
from farseal.settings import TrustSettings
from farseal.web import requires, setup
from tests.support.tokens import ISSUER, NOTES, Issuer


@requires("notes:read")
async def handler(_request: web.Request) -> web.Response:
    return web.Response(text="ok")


async def test_outcomes_and_ages_are_shown(tmp_path, aiohttp_client) -> None:
    """Each outcome by its stable code; the age, the generation and the refused loads of the trust."""
    issuer = Issuer(now=clock.now())
    issuer.publish(tmp_path)
    app, registry = web.Application(), CollectorRegistry()
    app.router.add_get("/", handler)
    setup(app, TrustSettings(issuer=ISSUER, audience=NOTES, trust_directory=tmp_path))
    telemetry.register(app, registry)
    client = await aiohttp_client(app)
    for token in (issuer.mint(), issuer.mint(), issuer.mint(header={"alg": "none"})):
        await client.get("/", headers={"Authorization": f"Bearer {token}"})
    await client.get("/")
    said = generate_latest(registry).decode().splitlines()
    for line in (
        'farseal_verifications_total{outcome="accepted"} 2.0',
        'farseal_verifications_total{outcome="algorithm_refused"} 1.0',
        'farseal_verifications_total{outcome="credentials_missing"} 1.0',
        "farseal_trust_generation 1.0",
        "farseal_trust_loads_total 1.0",
        "farseal_trust_refused_total 0.0",
    ):
        assert line in said
    assert any(line.startswith(f'farseal_trust_age_seconds{{issuer="{ISSUER}"}}') for line in said)


async def test_it_may_be_registered_before_the_start(tmp_path) -> None:
    """Without trust there is no age, and no error."""
    app, registry = web.Application(), CollectorRegistry()
    setup(app, TrustSettings(issuer=ISSUER, audience=NOTES, trust_directory=tmp_path / "none"))
    telemetry.register(app, registry)
    said = generate_latest(registry).decode()
    assert "farseal_trust_generation 0.0" in said
    assert "issuer=" not in said
