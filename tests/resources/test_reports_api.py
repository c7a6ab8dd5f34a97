"""The reports API in front of a really running notes service, and in front of one that fails."""

import asyncio
import socket
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web

from farseal_testing.issuer import Issuer
from resource_b.app import create_app
from resource_b.http.reports import NOTES_CLIENT
from resource_b.notes_client import Bounds
from resource_b.settings import Settings
from tests.resources.people import NOTES, REPORTS, person, token_of
from tests.resources.relay import Relay
from tests.resources.stack import Service, notes_service, reports_service


async def write(notes: Service, token: str, *bodies: str) -> list[str]:
    """A note for each body; their ids."""
    answers = [await notes.ask("POST", "/notes", token, json={"title": body, "body": body}) for body in bodies]
    return [answer.json["id"] for answer in answers]


async def test_one_token_through_two_services(notes: Service, reports: Service, issuer: Issuer) -> None:
    """The token that wrote the notes reports on them; of an admin's view only the admin's own are counted."""
    alice = person(issuer, org_id="org-mine", roles=["org_admin"])
    await write(notes, person(issuer, org_id="org-mine").token(), "not mine")
    made = await write(notes, alice.token(), "a", "bb", "ccc")
    answer = await reports.ask("GET", "/reports/mine", alice.token())
    assert answer.status == 200, answer.body
    assert answer.headers["Cache-Control"] == "private, no-store"
    report = answer.json
    assert (report["subject"], report["client_id"], report["org_id"]) == (alice.subject, "login", "org-mine")
    assert report["scopes"] == ["notes:read", "notes:write", "reports:read"]
    assert report["roles"] == ["org_admin"]
    assert (report["notes"]["count"], report["notes"]["characters"], report["notes"]["truncated"]) == (3, 6, False)
    assert [note["id"] for note in report["notes"]["latest"]] == made[::-1]


async def test_an_organisations_report(notes: Service, reports: Service, issuer: Issuer) -> None:
    """An analyst who is org_admin sees all of the organisation; one who is not sees the own part."""
    admin = person(issuer, org_id="org-all", roles=["org_admin", "analyst"])
    bob = person(issuer, org_id="org-all", roles=["analyst"])
    carol = person(issuer, org_id="org-other")
    await write(notes, bob.token(), "b", "b")
    await write(notes, carol.token(), "c")
    await write(notes, admin.token(org_id="org-other"), "written before a move")
    await write(notes, admin.token(), "a")
    whole = (await reports.ask("GET", "/reports/org", admin.token())).json
    assert (whole["org_id"], whole["notes"], whole["authors"]) == ("org-all", 3, 2)
    assert whole["top_authors"] == [{"owner": bob.subject, "notes": 2}, {"owner": admin.subject, "notes": 1}]
    part = (await reports.ask("GET", "/reports/org", bob.token())).json
    assert (part["notes"], part["authors"]) == (2, 1)


async def test_many_notes_are_truncated(notes: Service, issuer: Issuer) -> None:
    """Beyond the bound the report says that its figures are lower bounds."""
    alice = person(issuer)
    await write(notes, alice.token(), *["x"] * 5)
    async with reports_service(notes.url, issuer.trust(REPORTS), max_notes=3) as reports:
        report = (await reports.ask("GET", "/reports/mine", alice.token())).json
    assert (report["notes"]["count"], report["notes"]["truncated"]) == (3, True)


@pytest.mark.parametrize(
    ("path", "claims", "status", "code"),
    [
        pytest.param("/reports/mine", {"scope": "notes:read"}, 403, "scope_insufficient", id="mine-without-scope"),
        pytest.param("/reports/mine", {"scope": None}, 403, "scope_insufficient", id="mine-without-any"),
        pytest.param("/reports/mine", {"roles": []}, 200, None, id="mine-needs-no-role"),
        pytest.param("/reports/org", {"roles": []}, 403, "role_insufficient", id="org-without-role"),
        pytest.param("/reports/org", {"roles": ["org_admin"]}, 403, "role_insufficient", id="org-another-role"),
        pytest.param(
            "/reports/org", {"roles": ["analyst"], "scope": "notes:read"}, 403, "scope_insufficient", id="org-no-scope"
        ),
        pytest.param(
            "/reports/org", {"roles": ["analyst"], "org_id": None}, 403, "organisation_missing", id="org-of-nobody"
        ),
        pytest.param("/reports/mine", {"audience": NOTES}, 401, "audience_mismatch", id="token-for-notes-alone"),
        pytest.param(
            "/reports/mine", {"audience": REPORTS}, 401, "upstream_token_refused", id="token-for-reports-alone"
        ),
        pytest.param("/reports/mine", {"scope": "reports:read"}, 403, "upstream_refused", id="without-notes-read"),
        pytest.param("/reports/mine", {"org_id": ["acme"]}, 403, "upstream_refused", id="claims-notes-cannot-use"),
        pytest.param("/reports/mine", {"lifetime": -3600}, 401, "token_expired", id="expired"),
    ],
)
async def test_who_gets_a_report(
    reports: Service, issuer: Issuer, *, path: str, claims: dict[str, Any], status: int, code: str | None
) -> None:
    """Scope and role here, and a token that is good at both services."""
    answer = await reports.ask("GET", path, person(issuer).token(**claims))
    assert answer.status == status, answer.body
    if code:
        assert answer.code == code
    if code == "upstream_refused":
        assert "notes:read" in answer.json["detail"]
    assert ("WWW-Authenticate" in answer.headers) is (
        status == 401 or code in {"scope_insufficient", "role_insufficient"}
    )


async def test_a_token_that_notes_refuses_is_refused_here(aiohttp_server: Any, issuer: Issuer) -> None:
    """A session whose end notes knows of and this service does not: the caller must learn that another token is needed,
    and from a challenge of this service."""

    async def revoked(_request: web.Request) -> web.Response:
        return web.json_response({"code": "token_revoked"}, status=401, headers={"WWW-Authenticate": "Bearer x"})

    app = web.Application()
    app.router.add_get("/notes", revoked)
    upstream = await aiohttp_server(app)
    async with reports_service(f"http://127.0.0.1:{upstream.port}", issuer.trust(REPORTS)) as reports:
        for path in ("/reports/mine", "/reports/org"):
            answer = await reports.ask("GET", path, person(issuer, roles=["analyst"]).token())
            assert (answer.status, answer.code) == (401, "upstream_token_refused")
            said = answer.headers["WWW-Authenticate"]
            assert said.startswith('Bearer realm="farseal", error="invalid_token"')
            assert REPORTS in said


async def test_without_a_token_nothing_is_asked(reports: Service) -> None:
    """401 here; the notes service hears nothing of it."""
    for path in ("/reports/mine", "/reports/org", "/reports/", "/"):
        assert (await reports.ask("GET", path)).status == 401
        assert (await reports.ask("GET", f"{path}?access_token=x")).status == 401


async def test_public_documents(reports: Service) -> None:
    """Metadata, description and probes need no token."""
    metadata = await reports.ask("GET", "/.well-known/oauth-protected-resource")
    assert metadata.json["scopes_supported"] == ["reports:read"]
    described = await reports.ask("GET", "/openapi.yaml")
    assert (described.status, described.headers["Content-Type"]) == (200, "application/yaml; charset=utf-8")
    for probe in ("/livez", "/readyz", "/metrics"):
        assert (await reports.ask("GET", probe, ops=True)).status == 200


Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


async def hangs(_request: web.Request) -> web.StreamResponse:
    await asyncio.sleep(30)
    raise AssertionError


async def garbage(_request: web.Request) -> web.StreamResponse:
    return web.Response(text="<html>it works</html>", content_type="text/html")


async def fails(_request: web.Request) -> web.StreamResponse:
    return web.json_response({"code": "internal_error"}, status=500)


async def redirects(_request: web.Request) -> web.StreamResponse:
    raise web.HTTPTemporaryRedirect("https://elsewhere.invalid/notes")


async def huge(_request: web.Request) -> web.StreamResponse:
    return web.Response(body=b'{"notes": [' + b" " * (8 << 20) + b"]}", content_type="application/json")


@pytest.mark.parametrize(
    ("handler", "code"),
    [
        pytest.param(hangs, "upstream_timeout", id="hangs"),
        pytest.param(garbage, "upstream_invalid", id="garbage"),
        pytest.param(fails, "upstream_failed", id="fails"),
        pytest.param(redirects, "upstream_invalid", id="redirects"),
        pytest.param(huge, "upstream_invalid", id="huge"),
    ],
)
async def test_a_failing_notes_service_is_a_502(
    aiohttp_server: Any, issuer: Issuer, *, handler: Handler, code: str
) -> None:
    """Told in time, as a problem that quotes nothing of what came."""
    app = web.Application()
    app.router.add_get("/notes", handler)
    upstream = await aiohttp_server(app, shutdown_timeout=0.1)
    url = f"http://127.0.0.1:{upstream.port}"
    async with reports_service(url, issuer.trust(REPORTS), notes_timeout_seconds=0.5) as reports:
        for path in ("/reports/mine", "/reports/org"):
            began = time.monotonic()
            answer = await reports.ask("GET", path, person(issuer, roles=["analyst"]).token())
            assert time.monotonic() - began < 1.5
            assert (answer.status, answer.code) == (502, code)
            assert b"html" not in answer.body
        assert (await reports.ask("GET", "/readyz", ops=True)).status == 200


async def test_reports_come_back_with_the_notes_service(database_url: str, issuer: Issuer) -> None:
    """Down: 502. Up again: 200. Nobody restarts the reports service."""
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        dead = f"http://127.0.0.1:{reserved.getsockname()[1]}"
        async with reports_service(dead, issuer.trust(REPORTS)) as reports:
            answer = await reports.ask("GET", "/reports/mine", token_of(issuer))
            assert (answer.status, answer.code) == (502, "upstream_unreachable")

    async with notes_service(database_url, issuer.trust(NOTES)) as notes:
        port = int(notes.url.rpartition(":")[2])
        async with (
            Relay(lambda: asyncio.open_connection("127.0.0.1", port)) as relay,
            reports_service(f"http://127.0.0.1:{relay.port}", issuer.trust(REPORTS)) as reports,
        ):
            assert (await reports.ask("GET", "/reports/mine", token_of(issuer))).status == 200
            await relay.cut()
            assert (await reports.ask("GET", "/reports/mine", token_of(issuer))).code == "upstream_unreachable"
            await relay.mend()
            assert (await reports.ask("GET", "/reports/mine", token_of(issuer))).status == 200


async def test_too_many_reports_are_told_so(aiohttp_server: Any, aiohttp_client: Any, issuer: Issuer) -> None:
    """While all places wait for a slow notes service, one more caller gets 503 and when to come back."""
    arrived, answered = asyncio.Event(), asyncio.Event()

    async def waits(_request: web.Request) -> web.Response:
        arrived.set()
        await answered.wait()
        return web.json_response({"notes": [], "next_cursor": None})

    slow = web.Application()
    slow.router.add_get("/notes", waits)
    upstream = await aiohttp_server(slow)
    settings = Settings(notes_url=f"http://127.0.0.1:{upstream.port}", notes_timeout_seconds=30.0, notes_concurrency=1)
    app = create_app(settings, issuer.trust(REPORTS))
    client = await aiohttp_client(app)
    bearer = {"Authorization": f"Bearer {token_of(issuer)}"}
    first = asyncio.create_task(client.get("/reports/mine", headers=bearer))
    await arrived.wait()
    # Whoever comes now is patient for a moment only, while the first still has its half minute.
    app[NOTES_CLIENT]._bounds = Bounds(timeout_seconds=0.05, concurrency=1, max_notes=1)
    late = await client.get("/reports/mine", headers=bearer)
    assert (late.status, (await late.json())["code"], late.headers["Retry-After"]) == (503, "overloaded", "1")
    answered.set()
    assert (await first).status == 200
