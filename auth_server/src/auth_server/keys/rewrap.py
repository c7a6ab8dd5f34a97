"""Everything that is sealed, sealed anew under the first KEK: what makes an old one superfluous."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

import structlog

from auth_server.keys.opening import Keks
from auth_server.keys.sealing import MAGIC, PUBLIC_MAGIC, SealError, seal, unseal
from auth_server.storage import audit, signing_keys
from auth_server.storage.connection import Pool
from auth_server.storage.signing_keys import StoredKey
from farseal.clock import at
from farseal.service.postgres import database_errors

log = structlog.get_logger(__name__)

BATCH: Final = 16
"""Keys in one transaction: their rows are locked for a few milliseconds, and a run that is killed loses no more."""


@dataclass(frozen=True, slots=True)
class Rewrapped:
    """How far it is. ``refused`` are the kids that open under none of the KEKs; their rows are as they were."""

    done: int
    left: int
    refused: tuple[str, ...] = ()


async def rewrap(
    pool: Pool,
    keks: Keks,
    *,
    actor: str,
    now: int,
    reason: str | None = None,
    progress: Callable[[Rewrapped], None] = lambda _: None,
) -> Rewrapped:
    """Open every key that is not sealed under the first KEK, and seal it under that.

    Some in each transaction: a run may be killed at any time and started again, beside another one too. No state
    changes, and so the sequence stays; what replicas hold stays good. They need the old KEK until all is done.

    Args:
        pool: of the database.
        keks: the first seals, all of them open.
        actor: of the audit entries.
        now: seconds since the epoch.
        reason: why, in words of the actor.
        progress: told after each transaction.

    Raises:
        DatabaseUnavailable: the database cannot be reached; what was done stays done.
    """
    done, refused = 0, list[str]()
    while True:
        with database_errors():
            async with pool.acquire() as conn, conn.transaction():
                await signing_keys.limit_silence(conn)
                batch = await signing_keys.not_sealed_under(conn, keks[0].id, except_kids=refused, limit=BATCH)
                for stored in batch:
                    try:
                        anew = await asyncio.to_thread(_anew, stored, keks)
                    except SealError as error:
                        log.debug("a key cannot be sealed anew", kid=stored.kid, reason=str(error))
                        refused.append(stored.kid)
                        continue
                    await signing_keys.reseal(conn, anew)
                    await audit.append(
                        conn,
                        at=at(now),
                        actor=actor,
                        action="rewrap",
                        kid=stored.kid,
                        reason=reason,
                        before={"kek_id": stored.kek_id},
                        after={"kek_id": anew.kek_id},
                    )
                    done += 1
                left = await signing_keys.count_not_sealed_under(conn, keks[0].id) - len(refused)
        found = Rewrapped(done, left, tuple(refused))
        if not batch:
            return found
        progress(found)


def _anew(stored: StoredKey, keks: Keks) -> StoredKey:
    def sealed(old: bytes | None, magic: bytes) -> bytes | None:
        if old is None:
            return None
        plain = unseal(old, keks=keks, kid=stored.kid, magic=magic)
        return seal(plain, kek=keks[0], kid=stored.kid, magic=magic)

    return replace(
        stored,
        sealed_private_key=sealed(stored.sealed_private_key, MAGIC),
        sealed_public_key=sealed(stored.sealed_public_key, PUBLIC_MAGIC),
        kek_id=keks[0].id,
    )
