"""An emergency revocation of a key: what it has signed is published anew before it is withdrawn.

A verifier drops the status lists that a withdrawn key has signed, and answers 503 until it has others. A server that
died between the two would leave all of them so."""

import asyncio
import base64
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import aiohttp
import asyncpg
import pytest

from auth_server.keys import requests, store
from auth_server.keys.requests import Changed
from auth_server.publication import files
from farseal import clock
from tests.support.auth import AuthServer, environment
from tests.support.postgres import NewDatabase
from tests.support.session_server import World, log_in, world
from tests.support.signing_keys import POLICY


class Watched:
    """What lies in the directory after each rename: the withdrawn kids, and by which keys the lists are signed."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.moments: list[tuple[frozenset[str], frozenset[str]]] = []

    def look(self) -> tuple[frozenset[str], frozenset[str]]:
        said = json.loads((self.directory / "jwks.json").read_bytes())["farseal"]["revoked"]
        return frozenset(said), frozenset(_kid(path) for path in (self.directory / "status").glob("[!.]*.jwt"))

    def note(self) -> None:
        if (self.directory / "jwks.json").exists():
            self.moments.append(self.look())


@contextmanager
def watching(directory: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Watched]:
    watched, replace = Watched(directory), files.replace

    def and_look(path: Path, body: bytes) -> None:
        replace(path, body)
        watched.note()

    with monkeypatch.context() as patched:
        patched.setattr(files, "replace", and_look)
        yield watched


def _kid(path: Path) -> str:
    head = path.read_bytes().split(b".")[0]
    kid: str = json.loads(base64.urlsafe_b64decode(head + b"=" * (-len(head) % 4)))["kid"]
    return kid


async def revoke_active(there: World) -> str:
    """As the command does it; waits for another key that can take over."""
    conn = await asyncpg.connect(there.dsn)
    try:
        kid: str = await conn.fetchval("SELECT kid FROM signing_keys WHERE state = 'active'")
        async with asyncio.timeout(20):
            while not isinstance(  # noqa: ASYNC110 - a server makes it
                await store.apply(
                    conn, lambda keys: requests.revoke(keys, kid, POLICY, now=clock.now()),
                    actor="a test", action="revoke", reason=None, now=clock.now(),
                ),
                Changed,
            ):  # fmt: skip
                await asyncio.sleep(0.05)
    finally:
        await conn.close()
    return kid


async def until_withdrawn(watched: Watched, kid: str) -> None:
    async with asyncio.timeout(10):
        while kid not in watched.look()[0]:  # noqa: ASYNC110 - files, which another thread writes
            await asyncio.sleep(0.02)


async def test_lists_are_signed_by_the_next_key_before_the_set_withdraws_theirs(
    new_database: NewDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At no moment does the directory hold a list that its own key set makes worthless."""
    there = await world(await new_database(), tmp_path)
    server = AuthServer(environment(there.dsn, tmp_path))
    with watching(tmp_path / "published", monkeypatch) as watched:
        where = await asyncio.to_thread(server.__enter__)
        try:
            async with aiohttp.ClientSession(where.url) as http:
                for _ in range(3):
                    await log_in(http)
                    await until_withdrawn(watched, await revoke_active(there))
        finally:
            await asyncio.to_thread(server.__exit__)
    assert len(watched.look()[0]) == 3
    assert not [moment for moment in watched.moments if moment[0] & moment[1]]


async def test_a_key_that_was_revoked_while_no_server_ran_is_withdrawn_in_the_same_order(
    new_database: NewDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The start publishes the lists first as well."""
    there = await world(await new_database(), tmp_path)
    with watching(tmp_path / "published", monkeypatch) as watched:
        server = AuthServer(environment(there.dsn, tmp_path))
        where = await asyncio.to_thread(server.__enter__)
        async with aiohttp.ClientSession(where.url) as http:
            await log_in(http)
        async with asyncio.timeout(20):
            while not await there.value("SELECT 1 FROM signing_keys WHERE state IN ('ready', 'announced')"):  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        await asyncio.to_thread(server.__exit__)
        kid = await revoke_active(there)
        server = AuthServer(environment(there.dsn, tmp_path))
        await asyncio.to_thread(server.__enter__)
        await until_withdrawn(watched, kid)
        await asyncio.to_thread(server.__exit__)
    assert not [moment for moment in watched.moments if moment[0] & moment[1]]


async def test_a_disk_that_hangs_under_the_lists_does_not_keep_a_key_in_force(
    new_database: NewDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The withdrawal waits a second and no longer."""
    there = await world(await new_database(), tmp_path)
    server, go, replace = AuthServer(environment(there.dsn, tmp_path)), threading.Event(), files.replace

    def hangs(path: Path, body: bytes) -> None:
        if path.parent.name == "status":
            go.wait(30)
        replace(path, body)

    where = await asyncio.to_thread(server.__enter__)
    try:
        async with aiohttp.ClientSession(where.url) as http:
            await log_in(http)
            monkeypatch.setattr(files, "replace", hangs)
            kid = await revoke_active(there)
            watched = Watched(tmp_path / "published")
            await until_withdrawn(watched, kid)
            assert watched.look()[1] == {kid}
            await log_in(http)
    finally:
        go.set()
        await asyncio.to_thread(server.__exit__)


async def test_what_another_replica_writes_in_between_does_not_stay(
    new_database: NewDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that has not heard of the emergency yet, and is late: its list is replaced at once, not at the next heartbeat
    a minute later."""
    there = await world(await new_database(), tmp_path)
    server, replace, watched = (
        AuthServer(environment(there.dsn, tmp_path)),
        files.replace,
        Watched(tmp_path / "published"),
    )
    where = await asyncio.to_thread(server.__enter__)
    try:
        async with aiohttp.ClientSession(where.url) as http:
            await log_in(http)
        before = {path: path.read_bytes() for path in (tmp_path / "published" / "status").glob("[!.]*.jwt")}

        def after_another(path: Path, body: bytes) -> None:
            if path.name == "jwks.json" and json.loads(body)["farseal"]["revoked"] and before:
                for list_path, late in before.items():
                    replace(list_path, late)
                before.clear()
            replace(path, body)

        monkeypatch.setattr(files, "replace", after_another)
        kid = await revoke_active(there)
        await until_withdrawn(watched, kid)
        assert not before
        async with asyncio.timeout(10):
            while kid in watched.look()[1]:  # noqa: ASYNC110 - files, which another thread writes
                await asyncio.sleep(0.02)
    finally:
        await asyncio.to_thread(server.__exit__)
