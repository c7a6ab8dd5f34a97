"""What the tests of the session endpoints share: a server with clients of every kind, and how it is spoken to."""

import json
import secrets
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

import aiohttp
import asyncpg

from auth_server.accounts import client_secrets
from auth_server.grants.peppers import Peppers
from auth_server.keys.sealing import pepper_of, read_kek
from auth_server.storage import clients, grants
from auth_server.storage.grants import NewGrant
from farseal import clock as process_clock
from farseal.clock import at
from tests.support.auth import NOTES, PASSWORD, READ, SECRET, basic, claims_of, kek_file, migrate, seed

ISSUER = "http://127.0.0.1:9000"
JSON, PROBLEM = "application/json", "application/problem+json"
LOGIN, TOKEN, LOGOUT, SESSIONS = "/api/tokens", "/oauth2/token", "/api/logout", "/api/sessions"
REVOKE, INTROSPECT = "/oauth2/revoke", "/oauth2/introspect"

PUBLIC = {"client_id": "login"}
"""How the login client, which has no secret, says who it is."""
BATCH = basic("batch", SECRET)
STATUS = {"invalid_request": 400, "invalid_client": 401}
"""What RFC 6749 section 5.2 has for an error of a request or of a client."""
BASIC_CHALLENGE = 'Basic realm="farseal", charset="UTF-8"'


@dataclass
class Clock:
    """The server's clock, to be put forward."""

    ahead: int = 0

    def __call__(self) -> int:
        return process_clock.now() + self.ahead


@dataclass(frozen=True)
class World:
    """A database in which people and clients are."""

    dsn: str
    directory: Path
    people: dict[str, UUID]

    async def execute(self, statement: str, *values: Any) -> None:
        conn = await asyncpg.connect(self.dsn)
        try:
            await conn.execute(statement, *values)
        finally:
            await conn.close()

    async def value(self, statement: str, *values: Any) -> Any:
        conn = await asyncpg.connect(self.dsn)
        try:
            return await conn.fetchval(statement, *values)
        finally:
            await conn.close()

    async def ended_by(self, session: str) -> str | None:
        """What ended a session; None while nothing has."""
        found: str | None = await self.value("SELECT ended_by FROM grants WHERE id = $1", UUID(session))
        return found

    async def revocations(self, access_token: str) -> list[int]:
        """The versions of its list under which the session of a token was revoked: one, or none."""
        entry = claims_of(access_token)["status"]["status_list"]
        conn = await asyncpg.connect(self.dsn)
        try:
            rows = await conn.fetch(
                "SELECT version FROM status_revocations WHERE list_id = $1 AND index = $2",
                entry["uri"].rpartition("/")[2].removesuffix(".jwt"), entry["idx"],
            )  # fmt: skip
        finally:
            await conn.close()
        return [row["version"] for row in rows]

    async def open(
        self, client: str, *, user: str = "alice", audience: Sequence[str] = (NOTES,), scopes: Sequence[str] = (READ,)
    ) -> tuple[UUID, str]:
        """A session of a person that was opened through another client than the one they log in with, as a flow with a
        browser would; its id and its first refresh token."""
        new_id, now = uuid.uuid4(), process_clock.now()
        token, nonce = Peppers((pepper_of(read_kek(kek_file(self.directory))),)).first(new_id)
        list_id = secrets.token_urlsafe(12)
        new = NewGrant(
            id=new_id, client_id=client, user_id=self.people[user], audience=tuple(audience), scopes=tuple(scopes),
            created_at=at(now), expires_at=at(now + 86400), address="192.0.2.7", agent="a browser",
            status_list=list_id, status_index=0, history=timedelta(days=1),
            refresh_hash=token.digest, refresh_nonce=nonce,
        )  # fmt: skip
        conn = await asyncpg.connect(self.dsn)
        try:
            async with conn.transaction():
                # A list of its own, from which the server gives nothing out.
                await conn.execute(
                    """
                    INSERT INTO status_lists (id, size, permutation_key, published_at, open_after, closed_at)
                    VALUES ($1, 1024, $2, now(), now(), now())
                    """,
                    list_id, bytes(16),
                )  # fmt: skip
                assert await grants.add_login(conn, new, password_changed_at=None)
        finally:
            await conn.close()
        return new_id, token.text


async def world(dsn: str, directory: Path) -> World:
    """`seed`, and clients of every kind beside: ``web`` has a secret, ``kiosk`` none and keeps one refresh token,
    ``plain`` may not refresh, ``shut`` is disabled; ``inspector`` may introspect tokens for notes."""
    await migrate(dsn)
    people = await seed(dsn)
    now = at(process_clock.now())
    hashed = client_secrets.hash_secret(SECRET)
    conn = await asyncpg.connect(dsn)
    try:
        for name, secret in (("web", hashed), ("kiosk", None), ("plain", None), ("shut", None), ("inspector", hashed)):
            await clients.create(
                conn, name, name, secret_hash=secret, grant_types=[], access_token_seconds=None, now=now
            )
        await conn.execute("UPDATE clients SET refresh_policy = 'extend' WHERE id = 'kiosk'")
        await conn.execute("UPDATE clients SET refresh_policy = 'none' WHERE id = 'plain'")
        await conn.execute("UPDATE clients SET disabled_at = now() WHERE id = 'shut'")
        await conn.execute("UPDATE resources SET introspection_client = 'inspector' WHERE audience = $1", NOTES)
    finally:
        await conn.close()
    return World(dsn, directory, people)


@dataclass(frozen=True)
class Answer:
    """A response, read to its end."""

    status: int
    type: str
    headers: Any = field(repr=False)
    body: bytes = b""

    @property
    def json(self) -> dict[str, Any]:
        said: dict[str, Any] = json.loads(self.body)
        return said


async def ask(http: aiohttp.ClientSession, method: str, path: str, **request: Any) -> Answer:
    """One request; what holds of every answer is held to here."""
    async with http.request(method, path, **request) as response:
        answer = Answer(response.status, response.content_type, response.headers, await response.read())
    assert answer.headers["Cache-Control"] == "no-store"
    assert not [name for name in answer.headers if name.lower().startswith("access-control-")]
    assert SECRET not in answer.body.decode("latin-1")
    if answer.type == PROBLEM and method != "HEAD":
        assert answer.json["status"] == answer.status
        assert answer.json["type"] == f"urn:farseal:problem:{answer.json['code']}"
    return answer


async def form(http: aiohttp.ClientSession, path: str, fields: Any, *, headers: Any = None) -> Answer:
    """A form by POST; a list of pairs may repeat a name."""
    body = urlencode(fields if isinstance(fields, list) else list(fields.items()))
    sent = {"Content-Type": "application/x-www-form-urlencoded"} | (headers or {})
    return await ask(http, "POST", path, data=body, headers=sent)


async def log_in(http: aiohttp.ClientSession, name: str = "alice", **asked: Any) -> dict[str, Any]:
    """A new session: what the login answered."""
    answer = await ask(http, "POST", LOGIN, json={"username": name, "password": PASSWORD, **asked})
    assert answer.status == 200, answer
    return answer.json


async def refresh(
    http: aiohttp.ClientSession, token: str, *, headers: Any = None, client: Any = None, **asked: Any
) -> Answer:
    """A refresh, by the login client unless told."""
    said = (PUBLIC if headers is None else {}) if client is None else client
    return await form(
        http, TOKEN, {"grant_type": "refresh_token", "refresh_token": token} | said | asked, headers=headers
    )


def bearer(token: str) -> dict[str, str]:
    """An Authorization header."""
    return {"Authorization": f"Bearer {token}"}


async def account_token(http: aiohttp.ClientSession, name: str = "alice") -> str:
    """An access token for the account API, of a session of its own."""
    token: str = (await log_in(http, name, resource=[ISSUER]))["access_token"]
    return token


def is_oauth_error(answer: Answer, status: int, error: str, *, challenge: str | None = None) -> None:
    """The form of RFC 6749 section 5.2, and a challenge exactly where one is due."""
    assert (answer.status, answer.type, answer.json["error"]) == (status, JSON, error), answer
    assert answer.json.keys() == {"error", "error_description"}
    assert set(answer.json["error_description"]) <= {chr(c) for c in range(0x20, 0x7F)} - {'"', "\\"}
    assert answer.headers.get("WWW-Authenticate") == challenge, answer
    assert answer.headers["Pragma"] == "no-cache"


def is_problem(answer: Answer, status: int, code: str, *, challenge: str | None = None) -> None:
    """A problem, and a challenge exactly where one is due."""
    assert (answer.status, answer.type, answer.json["code"]) == (status, PROBLEM, code), answer
    assert answer.headers.get("WWW-Authenticate") == challenge, answer
