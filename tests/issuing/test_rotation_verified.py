"""Rotations as resource servers see them: the real verifier over the published documents, at its slowest."""

import json
import secrets
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import pytest

from auth_server.keys.policy import RotationPolicy
from auth_server.status.entry import StatusEntry
from auth_server.tokens.claims import access_token_payload
from farseal.environment import Secret
from farseal.jwks import parse_jwks
from farseal.service.postgres import create_pool
from farseal.status_list import StatusPolicy
from farseal.trust import AgeLimits, IssuerTrust, TrustSnapshot
from farseal.verify import Expectations, Verifier
from tests.support.auth import NOTES, migrate
from tests.support.postgres import NewDatabase
from tests.support.rotation import ISSUER, NOW, POLICY, Replica, Time

STEP_SECONDS = 20


@dataclass(frozen=True, slots=True)
class Grant:
    """The least that a token is made of."""

    subject: str = "alice"
    client_id: str = "login"
    audience: tuple[str, ...] = (NOTES,)
    scopes: tuple[str, ...] = ("notes:read",)
    roles: tuple[str, ...] = ()
    claims: dict[str, str] = field(default_factory=dict)
    auth_time: int | None = None
    session_id: str = "f8c1a8c0-5f0e-4c5d-9a51-0d5f6a1f2c3b"
    status: StatusEntry = field(default_factory=lambda: StatusEntry("A" * 16, 7, "https://auth.example/status/a.jwt"))


@dataclass(slots=True)
class SlowVerifier:
    """Looks as seldom as the policy allows, and finds what was current as long ago as publication and caches allow."""

    policy: RotationPolicy
    clock_off: int = 0
    looked: int = 0
    trust: TrustSnapshot = field(default_factory=TrustSnapshot)
    verifier: Verifier = field(init=False)

    def __post_init__(self) -> None:
        self.verifier = Verifier(
            Expectations(NOTES, frozenset({ISSUER}), status=StatusPolicy.OFF, leeway=self.policy.leeway_seconds)
        )

    def look(self, now: int, history: list[tuple[int, bytes]]) -> None:
        if now - self.looked < self.policy.verifier_refresh_seconds:
            return
        seen = now - self.policy.publication_seconds - self.policy.cache_seconds
        body = next((body for moment, body in reversed(history) if moment <= seen), history[0][1])
        self.looked = now
        limits = AgeLimits(10**8, 10**9)
        self.trust = TrustSnapshot().with_issuer(IssuerTrust(ISSUER, parse_jwks(body).keys, now, limits))

    def verify(self, token: str, now: int) -> None:
        """Raise if it is refused."""
        self.verifier.verify(token, self.trust, now=now + self.clock_off)


async def signed(replica: Replica, life: int) -> tuple[str, int]:
    """A token as this replica signs it now, by its own clock, and when it dies."""
    issued = replica.time.clock()
    payload = access_token_payload(Grant(), issuer=ISSUER, now=issued, lifetime=life, jti=secrets.token_urlsafe(16))
    key = replica.keyring.active_key()
    return await replica.signer.sign(msgspec.json.encode(payload), key, token_type="at+jwt"), issued + life


@pytest.mark.parametrize(
    "skew", [0, POLICY.clock_skew_seconds, -POLICY.clock_skew_seconds], ids=["0", "ahead", "behind"]
)
async def test_no_token_is_refused_through_rotations(new_database: NewDatabase, tmp_path: Path, skew: int) -> None:
    """One replica's clock is off by what is allowed, another one reads the keys as seldom as its lease allows and signs
    with the old key meanwhile: every token is accepted from its first second to its last, by the slowest verifier."""
    dsn = await new_database()
    await migrate(dsn)
    async with await create_pool(Secret(dsn)) as pool:
        now = NOW
        leader = Replica(pool, time=Time(now), directory=tmp_path, name="leader")
        skewed = Replica(pool, time=Time(now, skew), name="skewed")
        laggard = Replica(pool, time=Time(now), name="laggard")
        replicas = (skewed, leader, laggard)
        for replica in replicas:
            await replica.start()
        verifiers = [SlowVerifier(POLICY), SlowVerifier(POLICY, looked=-1)]
        history = [(NOW - 10_000, (tmp_path / "jwks.json").read_bytes())]
        tokens: list[tuple[str, int]] = []
        kids: set[str] = set()
        overtaken = 0
        for _ in range(3 * POLICY.rotation_seconds // STEP_SECONDS):
            now += STEP_SECONDS
            for replica in replicas:
                replica.time.now = now
            await skewed.turn()
            await leader.turn()
            if now - laggard.keyring._read_at >= POLICY.lease_seconds:
                await laggard.keyring.refresh()
            body = (tmp_path / "jwks.json").read_bytes()
            if body != history[-1][1]:
                history.append((now, body))
            for replica in replicas:
                tokens.append(await signed(replica, POLICY.max_token_seconds))
                kids.add(replica.keyring.active_key().kid)
            overtaken += laggard.keyring.active_key().kid != leader.keyring.active_key().kid
            for verifier in verifiers:
                verifier.look(now, history)
                for token, _ in tokens:
                    verifier.verify(token, now)
            # To the last second, leeway included, of what the verifier itself takes.
            tokens = [(token, dies) for token, dies in tokens if now + STEP_SECONDS < dies + POLICY.leeway_seconds]
        assert len(kids) == 4
        assert overtaken, "the laggard has signed with a key that had been replaced"
        assert len({json.loads(body)["farseal"]["sequence"] for _, body in history}) == len(history)
        for replica in replicas:
            await replica.close()
