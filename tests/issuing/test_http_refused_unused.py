"""A server that cannot sign at this moment refuses a refresh before anything is used up: the same token is good later.

Without a grace window the second use of a refresh token is a replay, and logs its owner out."""

import asyncio
import functools
import json
from collections import Counter
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from auth_server import signing
from auth_server.keys.signer import Signer
from tests.support.auth import AuthServer, environment
from tests.support.postgres import NewDatabase
from tests.support.session_server import log_in, refresh, world

NO_GRACE = {"REFRESH_GRACE_SECONDS": "0"}
SESSIONS = 24


async def test_a_full_server_uses_no_refresh_token_up(
    new_database: NewDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One signature at a time and nobody may wait: whoever is told to come back does, with what they have."""
    there = await world(await new_database(), tmp_path)
    server = AuthServer(environment(there.dsn, tmp_path, **NO_GRACE))
    outcomes: Counter[int] = Counter()

    async def until_refreshed(http: aiohttp.ClientSession, token: str) -> Any:
        while True:
            answer = await refresh(http, token)
            outcomes[answer.status] += 1
            if answer.status != 503:
                return answer.json
            assert answer.json["error"] == "temporarily_unavailable"
            await asyncio.sleep(0.05)

    monkeypatch.setattr(signing, "Signer", functools.partial(Signer, threads=1, max_waiting=0))
    where = await asyncio.to_thread(server.__enter__)
    try:
        async with aiohttp.ClientSession(where.url) as http:
            tokens = [(await log_in(http))["refresh_token"] for _ in range(SESSIONS)]
            for _ in range(3):
                answers = await asyncio.gather(*(until_refreshed(http, token) for token in tokens))
                tokens = [answer["refresh_token"] for answer in answers]
    finally:
        await asyncio.to_thread(server.__exit__)
    assert set(outcomes) == {200, 503}
    assert await there.value("SELECT count(*) FROM grants WHERE ended_at IS NOT NULL") == 0


async def test_a_full_server_opens_no_session_that_nobody_holds(
    new_database: NewDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A login that is told to come back has opened nothing: the list of a person's sessions shows those they have."""
    there = await world(await new_database(), tmp_path)
    monkeypatch.setattr(signing, "Signer", functools.partial(Signer, threads=1, max_waiting=0))
    server = AuthServer(environment(there.dsn, tmp_path))
    where = await asyncio.to_thread(server.__enter__)
    asked = {"username": "alice", "password": "correct horse"}
    try:
        async with aiohttp.ClientSession(where.url) as http:

            async def login() -> int:
                async with http.post("/api/tokens", json=asked) as response:
                    return response.status

            statuses = Counter(await asyncio.gather(*(login() for _ in range(SESSIONS))))
    finally:
        await asyncio.to_thread(server.__exit__)
    assert statuses[503] > 0
    assert await there.value("SELECT count(*) FROM grants") == statuses[200]


async def test_a_server_whose_key_is_not_published_uses_no_refresh_token_up(
    new_database: NewDatabase, tmp_path: Path
) -> None:
    """Its keys are not to be signed with, because verifiers hold a newer set without them."""
    there = await world(await new_database(), tmp_path)
    published = tmp_path / "published" / "jwks.json"
    server = AuthServer(environment(there.dsn, tmp_path, **NO_GRACE))
    where = await asyncio.to_thread(server.__enter__)
    try:
        async with aiohttp.ClientSession(where.url) as http:
            begun = await log_in(http)
            ours = published.read_bytes()
            said = json.loads(ours)
            said["keys"], said["farseal"]["sequence"] = [], said["farseal"]["sequence"] + 1000
            published.write_text(json.dumps(said))
            # The server looks at the directory when it has something to write.
            await there.execute(
                "INSERT INTO resource_scopes (audience, scope) SELECT audience, 'new:scope' FROM resources LIMIT 1"
            )
            token = begun["refresh_token"]
            async with asyncio.timeout(20):
                while (answer := await refresh(http, token)).status == 200:
                    token = answer.json["refresh_token"]
                assert answer.status == 503
                published.write_bytes(ours)
                while (answer := await refresh(http, token)).status == 503:  # noqa: ASYNC110 - another process
                    await asyncio.sleep(0.05)
            assert answer.status == 200
    finally:
        await asyncio.to_thread(server.__exit__)
