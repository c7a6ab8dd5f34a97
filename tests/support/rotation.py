"""One replica's keys, rotation and publication on a real database, with a clock that the test moves."""

import functools
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from auth_server.keys import generation, pool
from auth_server.keys.keyring import Keyring
from auth_server.keys.opening import Keks
from auth_server.keys.policy import RotationPolicy
from auth_server.keys.pool import KeyPool
from auth_server.keys.rotation import Rotation
from auth_server.keys.sealing import Kek
from auth_server.keys.signer import Signer
from auth_server.metrics import AuthMetrics
from auth_server.publication.publisher import Publisher
from auth_server.publication.refresher import Refresher
from auth_server.storage.connection import Connection, Pool
from auth_server.storage.signing_keys import StoredKey
from farseal.service.metrics import ServiceMetrics

NOW = 1_790_000_000
ISSUER = "http://127.0.0.1:9000"
KEK = Kek(bytes(range(100, 132)))

POLICY = RotationPolicy(
    rotation_seconds=2_000,
    announce_seconds=1_000,
    max_token_seconds=600,
    verifier_refresh_seconds=300,
    leeway_seconds=60,
    clock_skew_seconds=30,
    cache_seconds=60,
    publication_seconds=30,
    lease_seconds=60,
)


@dataclass(slots=True)
class Time:
    """A clock that stands still until it is moved; the database's own and the monotonic one go with it."""

    now: int = NOW
    ahead: float = 0
    """Seconds by which the replica's own clock is off; what is less than a second shows in the comparison alone."""

    def clock(self) -> int:
        return self.now + int(self.ahead)

    def monotonic(self) -> float:
        return float(self.now)

    async def reference(self, _conn: Connection) -> float:
        return self.now - self.ahead % 1


class StockedPool(KeyPool):
    """Takes keys from a stock that the process makes once: their generation is not what is tested."""

    async def make(self, *, now: int) -> StoredKey:
        there = {row["kid"] for row in await self._pool.fetch("SELECT kid FROM signing_keys")}
        while (made := pool.ready_key(stock.take(), self._keks, now=now)).kid in there:
            pass
        return made


class _Stock:
    def __init__(self) -> None:
        self._taken = 0

    def take(self) -> RSAPrivateKey:
        self._taken += 1
        return _made(self._taken % 24)


@functools.cache
def _made(_number: int) -> RSAPrivateKey:
    return generation.generate(2048)


stock = _Stock()
"""Two databases may get the same keys."""


@dataclass(slots=True)
class Replica:
    """Everything about keys that one replica has."""

    pool: Pool
    time: Time = field(default_factory=Time)
    policy: RotationPolicy = POLICY
    keks: Keks = (KEK,)
    directory: Path | None = None
    name: str = "replica"
    scopes: Callable[[], Awaitable[list[str]]] | None = None
    publisher: Publisher | None = field(init=False)
    keys: KeyPool = field(init=False)
    rotation: Rotation = field(init=False)
    keyring: Keyring = field(init=False)
    signer: Signer = field(init=False)
    refresher: Refresher = field(init=False)
    metrics: ServiceMetrics = field(init=False)

    def __post_init__(self) -> None:
        self.publisher = None if self.directory is None else Publisher(self.directory)
        self.keys = StockedPool(self.pool, self.keks, self.policy, bits=2048, actor=self.name)
        self.rotation = Rotation(
            self.pool,
            self.keks,
            self.keys,
            self.policy,
            actor=self.name,
            reference=self.time.reference,
            held=lambda: self.publisher.conflict if self.publisher else None,
        )
        self.keyring = Keyring(self.pool, self.keks, self.policy, monotonic=self.time.monotonic)
        self.signer = Signer(threads=1)
        self.metrics = ServiceMetrics("auth_server")
        self.refresher = Refresher(
            self.rotation,
            self.keyring,
            self.signer,
            self.scopes or _no_scopes,
            self.publisher,
            issuer=ISSUER,
            clock=self.time.clock,
            metrics=AuthMetrics.registered(self.metrics),
        )

    async def start(self) -> "Replica":
        """What the server does at its start."""
        await self.refresher.start()
        return self

    async def turn(self, seconds: int = 0) -> None:
        """One turn, so many seconds later, and what it began in the background."""
        self.time.now += seconds
        await self.refresher.refresh()
        await self.keys.settled()

    async def close(self) -> None:
        """End its threads."""
        self.signer.close()
        await self.keys.close()
        if self.publisher is not None:
            await self.publisher.close()


async def _no_scopes() -> list[str]:
    return []
