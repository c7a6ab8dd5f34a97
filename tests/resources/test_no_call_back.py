"""Request paths of the resource servers reach their database and the notes service, and nothing else.

The issuer of these tests is a server that really listens, at the very address its tokens name in ``iss``.
"""

import asyncio
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import aiohttp
import pytest
from aiohttp import web

from farseal.settings import TrustSettings
from farseal.web import setup
from farseal_testing.forge import Forgery
from farseal_testing.issuer import ENTRIES, Issuer, claims_of
from tests.resources.connect_guard import ConnectRefusedByGuardError, only_connects_to
from tests.resources.people import NOTES, REPORTS, token_of
from tests.resources.stack import Service, notes_service, reports_service, running


@dataclass
class ListeningIssuer:
    """An issuer that counts who comes."""

    issuer: Issuer
    port: int
    visits: list[int] = field(default_factory=list)


@pytest.fixture
async def auth(tmp_path: Path) -> AsyncIterator[ListeningIssuer]:
    """The issuer, listening."""
    visits: list[int] = []

    async def serve(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        visits.append(1)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    yield ListeningIssuer(Issuer(tmp_path / "published", issuer=f"http://127.0.0.1:{port}"), port, visits)
    server.close()


def address_of(service: Service) -> tuple[str, int]:
    return "127.0.0.1", int(service.url.rpartition(":")[2])


def database_of(dsn: str) -> Any:
    parts = urlsplit(dsn)
    host = parse_qs(parts.query).get("host", [parts.hostname])[0]
    port = parts.port or 5432
    return f"{host}/.s.PGSQL.{port}" if str(host).startswith("/") else (host, port)


def entry(index: int, uri: str) -> dict[str, Any]:
    """The claim ``status`` of a token."""
    return {"status_list": {"idx": index, "uri": uri}}


def tokens(issuer: Issuer) -> dict[str, str | None]:
    """One of each kind: the last five are those that tempt a verifier to ask its issuer."""
    good = token_of(issuer, roles=["analyst", "org_admin"])
    return {
        "good": good,
        "none": None,
        "garbage": "x.y.z",
        "beyond its list": token_of(issuer, status=entry(ENTRIES, issuer.list_uri)),
        "expired": token_of(issuer, lifetime=-3600),
        "too early": token_of(issuer, nbf=claims_of(good)["iat"] + 3600),
        "wrong audience": token_of(issuer, audience="https://elsewhere.invalid"),
        "alg none": token_of(issuer, header={"alg": "none"}),
        "bad signature": good[:-8] + "AAAAAAAA",
        "unknown issuer": token_of(issuer, iss="https://elsewhere.invalid"),
        "unknown kid": issuer.forged(Forgery.UNKNOWN_KEY, good),
        "no kid": token_of(issuer, header={"kid": None}),
        "a key in the header": token_of(issuer, header={"jku": f"{issuer.issuer}/jwks.json", "x5u": issuer.issuer}),
        "of an unknown list": token_of(issuer, status=entry(0, f"{issuer.issuer}/.well-known/status/new.jwt")),
    }


async def ask_everything(service: Service, paths: list[str], issuer: Issuer) -> set[int]:
    """Each path with each kind of token, and a flood of random kids."""
    statuses = set()
    kinds = tokens(issuer).values()
    for path in paths:
        for token in kinds:
            statuses.add((await service.ask("GET", path, token)).status)
    for number in range(50):
        flood = token_of(issuer, header={"kid": f"random-{number}"})
        statuses.add((await service.ask("GET", paths[0], flood)).status)
    return statuses


async def test_notes_reach_their_database_alone(auth: ListeningIssuer, database_url: str) -> None:
    """Every kind of token at every path: the guard refuses nothing, because nothing is tried."""
    with only_connects_to(database_of(database_url)) as attempts:
        async with notes_service(database_url, auth.issuer.trust(NOTES), pool_size=2) as notes:
            attempts.allow(address_of(notes))
            paths = ["/notes", "/notes/x", "/nowhere", "/openapi.yaml", "/.well-known/oauth-protected-resource"]
            statuses = await ask_everything(notes, paths, auth.issuer)
            created = await notes.ask("POST", "/notes", token_of(auth.issuer), json={"title": "t"})
            path = created.headers["Location"]
            replaced = await notes.ask(
                "PUT", path, token_of(auth.issuer), headers={"If-Match": "*"}, json={"title": "u", "body": ""}
            )
            assert replaced.status == 200
            assert (await notes.ask("DELETE", path, token_of(auth.issuer))).status == 204
    assert statuses == {200, 401, 404, 503}
    assert attempts.refused == []
    assert database_of(database_url) in attempts.allowed
    assert auth.visits == []


async def test_reports_reach_the_notes_service_alone(auth: ListeningIssuer, database_url: str) -> None:
    """The same for reports, which have no database to reach."""
    async with notes_service(database_url, auth.issuer.trust(NOTES)) as notes:
        # The notes service lives in this process too; its connections are made before the guard stands.
        assert (await notes.ask("GET", "/notes", token_of(auth.issuer))).status == 200
        with only_connects_to(address_of(notes)) as attempts:
            async with reports_service(notes.url, auth.issuer.trust(REPORTS)) as reports:
                attempts.allow(address_of(reports))
                paths = ["/reports/mine", "/reports/org", "/reports/none", "/openapi.yaml"]
                statuses = await ask_everything(reports, paths, auth.issuer)
    assert statuses == {200, 401, 403, 404, 503}
    assert attempts.refused == []
    assert address_of(notes) in attempts.allowed
    assert auth.visits == []


async def test_without_trust_nothing_is_fetched(auth: ListeningIssuer, database_url: str, tmp_path: Path) -> None:
    """A directory with nothing in it: 503 for every token, and still nobody asks the issuer."""
    empty = tmp_path / "empty"
    empty.mkdir()
    nothing = TrustSettings.from_environ(auth.issuer.settings(NOTES) | {"FARSEAL_TRUST_DIRECTORY": str(empty)})
    async with notes_service(database_url, nothing) as notes:
        with only_connects_to(address_of(notes)) as attempts:
            for _ in range(20):
                answer = await notes.ask("GET", "/notes", token_of(auth.issuer))
                assert (answer.status, answer.code) == (503, "trust_unavailable")
    assert attempts.refused == []
    assert auth.visits == []


@pytest.mark.parametrize("way", ["client", "stream", "blocking", "connect_ex", "datagram", "name"])
async def test_the_guard_catches_a_planted_call(auth: ListeningIssuer, way: str) -> None:
    """A handler that does call back is caught, whichever way it takes; without the guard it would get through."""

    async def call_back(_request: web.Request) -> web.Response:
        target = ("127.0.0.1", auth.port)
        match way:
            case "client":
                async with aiohttp.ClientSession() as session, session.get(auth.issuer.issuer):
                    pass
            case "stream":
                _, writer = await asyncio.open_connection(*target)
                writer.close()
            case "blocking":
                socket.create_connection(target).close()
            case "connect_ex":
                with socket.socket() as plain:
                    plain.connect_ex(target)
            case "datagram":
                with socket.socket(type=socket.SOCK_DGRAM) as plain:
                    plain.sendto(b"x", target)
            case "name":
                socket.getaddrinfo("auth.invalid", 80)
        return web.Response()

    def make(_metrics: object, _readiness: object) -> web.Application:
        app = web.Application()
        app.router.add_get("/planted", call_back)
        setup(app, auth.issuer.trust(NOTES), rules="GET /planted public")
        return app

    async with running(make, "planted") as service:
        with only_connects_to(address_of(service)) as attempts:
            answer = await service.ask("GET", "/planted")
        assert answer.status == 500
        assert len(attempts.refused) >= 1
        assert auth.visits == []
        if way in {"stream", "blocking"}:
            assert (await service.ask("GET", "/planted")).status == 200
            await asyncio.sleep(0.05)
            assert auth.visits == [1]


def test_the_guard_names_what_it_refuses() -> None:
    """Outside of an event loop as well."""
    with only_connects_to() as attempts, pytest.raises(ConnectRefusedByGuardError):
        socket.create_connection(("127.0.0.1", 9))
    assert attempts.refused == [("127.0.0.1", 9)]
