"""What Prometheus sees of a protected application."""

import asyncio

from aiohttp import web
from prometheus_client import CollectorRegistry, generate_latest

from farseal import clock, telemetry
from farseal.settings import IssuerSettings, TrustSettings
from farseal.status_list import StatusPolicy
from farseal.web import requires, setup, trust_source
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
    setup(app, TrustSettings(issuer=ISSUER, audience=NOTES, trust_directory=tmp_path, status=StatusPolicy.OFF))
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
    setup(app, TrustSettings(issuer=ISSUER, audience=NOTES, trust_directory=tmp_path / "none", status=StatusPolicy.OFF))
    telemetry.register(app, registry)
    said = generate_latest(registry).decode()
    assert "farseal_trust_generation 0.0" in said
    assert f'farseal_trust_usable{{issuer="{ISSUER}"}} 0.0' in said
    assert "farseal_trust_age_seconds{" not in said


async def test_each_issuer_has_figures_of_its_own(tmp_path, aiohttp_client) -> None:
    """One that is well and one that laid an old set back and was never read."""
    Issuer(now=clock.now(), kid="second").publish(tmp_path)
    issuer, other = Issuer(now=clock.now()), "https://other.example"
    (tmp_path / "jwks.json").write_bytes(issuer.jwks(sequence=2, revoked=["gone", "lost"]))
    app, registry = web.Application(), CollectorRegistry()
    issuers = (
        IssuerSettings(issuer=ISSUER, trust_directory=tmp_path),
        IssuerSettings(issuer=other, trust_directory=tmp_path / "none"),
    )
    setup(app, TrustSettings(audience=NOTES, issuers=issuers))
    telemetry.register(app, registry)
    await aiohttp_client(app)
    (tmp_path / "jwks.json").write_bytes(issuer.jwks(sequence=1))
    trust_source(app).hint(ISSUER)
    for _ in range(300):
        if trust_source(app).status().rollbacks:
            break
        await asyncio.sleep(0.01)
    said = generate_latest(registry).decode().splitlines()
    for name, ours, theirs in (
        ("usable", 1, 0),
        ("keys", 1, 0),
        ("revoked_keys", 2, 0),
        ("rollbacks_total", 1, 0),
        ("look_failures_total", 0, 0),
    ):
        assert f'farseal_trust_{name}{{issuer="{ISSUER}"}} {ours}.0' in said
        assert f'farseal_trust_{name}{{issuer="{other}"}} {theirs}.0' in said
