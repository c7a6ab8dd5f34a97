"""One replica's status lists on a real database, with real keys and a clock that the test moves."""

import asyncio
import contextlib
import functools
import json
import os
import uuid
import zlib
from collections.abc import AsyncIterator, Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.hashes import SHA256

from auth_server.keys import generation
from auth_server.keys.custody import LocalKey, SigningKey
from auth_server.keys.signer import Signer
from auth_server.metrics import AuthMetrics
from auth_server.status.directory import StatusDirectory
from auth_server.status.documents import ListTerms
from auth_server.status.entries import EntryPool
from auth_server.status.listening import listening
from auth_server.status.memory import AT_ONCE, ListMemory
from auth_server.status.publication import StatusLists
from auth_server.storage import status_lists
from auth_server.storage.connection import Connection, Pool
from farseal.encoding import b64url_decode
from farseal.environment import Secret
from farseal.service.metrics import ServiceMetrics

NOW = 1_799_999_980
"""Forty seconds into a minute."""

ISSUER = "https://auth.example"
LEAD = 14


@functools.cache
def private(number: int) -> RSAPrivateKey:
    return generation.generate(2048)


def key(number: int = 1) -> LocalKey:
    return LocalKey(f"kid-{number}", private(number))


@dataclass(slots=True)
class StatusReplica:
    """Everything about status lists that one replica has. ``fault`` is raised instead of giving the key."""

    pool: Pool
    directory: Path | None = None
    size: int = 1024
    life: int = 3600
    now: int = NOW
    key: SigningKey = field(default_factory=key)
    fault: Exception | None = None
    every_seconds: float = 60.0
    metrics: ServiceMetrics = field(default_factory=lambda: ServiceMetrics("auth_server"))
    writer: StatusDirectory | None = field(init=False)
    entries: EntryPool = field(init=False)
    memory: ListMemory = field(init=False)
    signer: Signer = field(init=False)
    lists: StatusLists = field(init=False)

    def __post_init__(self) -> None:
        self.writer = None if self.directory is None else StatusDirectory(self.directory, issuer=ISSUER)
        self.entries = EntryPool(self.pool, issuer=ISSUER)
        self.signer = Signer("sign lists", threads=AT_ONCE)
        self.memory = ListMemory(self.signer, terms=ListTerms(ISSUER, life=self.life, ttl=5))
        self.lists = StatusLists(
            self.pool,
            self.memory,
            self.active_key,
            self.writer,
            self.entries,
            issuer=ISSUER,
            size=self.size,
            lead_seconds=LEAD,
            every_seconds=self.every_seconds,
            clock=lambda: self.now,
            metrics=AuthMetrics.registered(self.metrics),
        )

    def active_key(self) -> SigningKey:
        if self.fault is not None:
            raise self.fault
        return self.key

    async def close(self) -> None:
        await self.entries.close()
        if self.writer is not None:
            await self.writer.close()
        await self.memory.close()
        self.signer.close()

    def said(self, list_id: str) -> "Said":
        """What this replica serves."""
        served = self.lists.find(list_id)
        assert served is not None
        return Said.of(served.document.body)


@contextlib.asynccontextmanager
async def replica(pool: Pool, directory: Path | None = None, **more: Any) -> AsyncIterator[StatusReplica]:
    """Started, and closed at the end."""
    one = StatusReplica(pool, directory, **more)
    try:
        await one.lists.start()
        yield one
    finally:
        await one.close()


@contextlib.asynccontextmanager
async def running(one: StatusReplica, dsn: str) -> AsyncIterator[None]:
    """The replica goes on by itself, and hears of changes."""
    task = asyncio.create_task(one.lists.run())
    try:
        async with listening(Secret(dsn), status_lists.CHANNEL, one.lists.notice, name="test"):
            await asyncio.sleep(0.2)
            yield
    finally:
        task.cancel()
        await asyncio.wait({task})


async def until(condition: Callable[[], object]) -> None:
    """Wait for it, ten seconds at most."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - a condition of the outside
            await asyncio.sleep(0.002)


async def until_told(one: StatusReplica, words: str) -> None:
    """Wait until readiness says so."""
    async with asyncio.timeout(10):
        while words not in (await one.lists.check() or ""):  # noqa: ASYNC110 - a condition of the outside
            await asyncio.sleep(0.01)


@dataclass(frozen=True, slots=True)
class Said:
    """A list token taken apart, as somebody else would."""

    header: dict[str, Any]
    payload: dict[str, Any]
    bits: bytes

    @classmethod
    def of(cls, body: bytes) -> "Said":
        head, payload, signature = body.split(b".")
        header = json.loads(b64url_decode(head))
        number = int(header["kid"].removeprefix("kid-"))
        private(number).public_key().verify(b64url_decode(signature), head + b"." + payload, PKCS1v15(), SHA256())
        claims = json.loads(b64url_decode(payload))
        return cls(header, claims, zlib.decompress(b64url_decode(claims["status_list"]["lst"])))

    @property
    def version(self) -> int:
        version: int = self.payload["farseal"]["version"]
        return version

    @property
    def revoked(self) -> set[int]:
        return {index for index in range(len(self.bits) * 8) if self.bits[index >> 3] >> (index & 7) & 1}


def written(directory: Path) -> dict[str, Said]:
    """The lists in a directory that its index names, by id."""
    index = json.loads((directory / "status-lists.json").read_bytes())
    names = [uri.rpartition("/")[2] for uri in index["status_lists"]]
    return {name.removesuffix(".jwt"): Said.of((directory / "status" / name).read_bytes()) for name in names}


async def revoke(conn: Connection, list_id: str, indexes: Collection[int]) -> int:
    """End what has these entries, as the end of a grant does; gives the version."""
    async with conn.transaction():
        await conn.execute("SELECT FROM status_lists WHERE id = $1 FOR NO KEY UPDATE", list_id)
        version: int = await conn.fetchval(
            "UPDATE status_lists SET version = version + 1 WHERE id = $1 RETURNING version", list_id
        )
        await conn.execute(
            "INSERT INTO status_revocations SELECT $1, unnest($2::integer[]), $3 ON CONFLICT DO NOTHING",
            list_id,
            list(indexes),
            version,
        )
        await conn.execute(status_lists.NOTIFY, status_lists.CHANNEL)
    return version


async def add_list(conn: Connection, list_id: str, *, size: int = 1024, taken: int = 0, lead: int | None = 0) -> None:
    """A list that is published and opens in ``lead`` seconds; None leaves it unpublished."""
    await conn.execute(status_lists.INSERT, list_id, size, os.urandom(16))
    await conn.execute("UPDATE status_lists SET taken = $2 WHERE id = $1", list_id, taken)
    if lead is not None:
        await conn.execute(
            "UPDATE status_lists SET published_at = now(), open_after = now() + $2 * interval '1 second' WHERE id = $1",
            list_id,
            lead,
        )


async def add_grant(conn: Connection, list_id: str, index: int, *, keep: str = "1 day") -> uuid.UUID:
    """A grant that has an entry; gives its id."""
    grant_id = uuid.uuid4()
    await conn.execute(
        """
        INSERT INTO grants (id, client_id, audience, scopes, created_at, expires_at, last_used_at, status_list,
                            status_index, keep_until)
             VALUES ($1, 'login', '{}', '{}', now() - interval '2 days', now() + interval '1 day', now(), $2, $3,
                     now() + $4::text::interval)
        """,
        grant_id,
        list_id,
        index,
        keep,
    )
    return grant_id
