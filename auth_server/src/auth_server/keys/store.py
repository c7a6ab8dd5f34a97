"""The one way in which keys change: under one lock, in one transaction, with its audit entry and the next sequence.

The rotation and the operator's commands both go through `apply`. A process that is killed at any statement leaves the
keys as they were, or as they are to be.
"""

import contextlib
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import asdict, dataclass
from typing import Any, Final

from auth_server.keys.lifecycle import Key
from auth_server.keys.requests import Changed, Outcome
from auth_server.storage import audit, publication, signing_keys
from auth_server.storage.connection import Connection
from farseal.clock import at

LOCK_SECONDS: Final = 120
"""How long a change waits for another one: the first start makes two keys of 4096 bits under the lock."""

Decide = Callable[[tuple[Key, ...]], Outcome]
"""From the keys as they are to what becomes of them; pure."""


@dataclass(frozen=True, slots=True)
class Changing:
    """A transaction that holds the lock. ``keys`` are as they were when it began, oldest first."""

    conn: Connection
    keys: tuple[Key, ...]

    async def store(self, changed: Changed, *, actor: str, action: str, reason: str | None, now: int) -> None:
        """Store the keys that are different now, an audit entry for each, and one bump of the sequence.

        Warnings of a forced change stay with the entries. ``reason`` becomes that of a revocation as well.

        Raises:
            asyncpg.IntegrityConstraintViolationError: the change breaks a rule that the database holds.
        """
        await self._write(changed.keys, changed.warnings, actor=actor, action=action, reason=reason, now=now)
        await publication.bump(self.conn)

    async def note(self, keys: Iterable[Key], *, actor: str, action: str, reason: str | None, now: int) -> None:
        """Store what is known of keys in addition, with its audit entries. No state differs, and so no sequence."""
        await self._write(tuple(keys), (), actor=actor, action=action, reason=reason, now=now)

    async def _write(
        self,
        keys: tuple[Key, ...],
        warnings: tuple[str, ...],
        *,
        actor: str,
        action: str,
        reason: str | None,
        now: int,
    ) -> None:
        before = {key.kid: key for key in self.keys}
        for key in keys:
            await signing_keys.update(self.conn, key, revoked_reason=reason)
            old, new = _difference(before[key.kid], key)
            if warnings:
                new["warnings"] = list(warnings)
            await audit.append(
                self.conn, at=at(now), actor=actor, action=action, kid=key.kid, reason=reason, before=old, after=new
            )


@contextlib.asynccontextmanager
async def changing(
    conn: Connection, *, wait_seconds: float = LOCK_SECONDS, silence_seconds: int = signing_keys.SILENCE_SECONDS
) -> AsyncIterator[Changing]:
    """A transaction in which nobody else changes keys; it ends with the block, and what the block raises undoes it.

    Args:
        conn: a connection.
        wait_seconds: how long to wait for the lock.
        silence_seconds: how long the block may ask the database nothing before that gives up on it.
    """
    async with conn.transaction():
        await signing_keys.lock(conn, timeout=wait_seconds, silence_seconds=silence_seconds)
        yield Changing(conn, await signing_keys.locked_keys(conn))


@contextlib.asynccontextmanager
async def leading(conn: Connection) -> AsyncIterator[bool]:
    """A transaction with the same lock for whoever takes it first; False for the others, who do not wait."""
    async with conn.transaction():
        yield await signing_keys.try_lock(conn)


async def apply(conn: Connection, decide: Decide, *, actor: str, action: str, reason: str | None, now: int) -> Outcome:
    """Decide over the keys as they are, and store what comes of it.

    Args:
        conn: a connection, in a transaction or not.
        decide: see `auth_server.keys.requests`; asked once, with the lock held.
        actor: who, as the audit shows it.
        action: one word.
        reason: why, in words of the actor.
        now: seconds since the epoch.

    Returns:
        What was decided. For a `Refused` nothing is stored.
    """
    async with changing(conn) as change:
        outcome = decide(change.keys)
        if isinstance(outcome, Changed):
            await change.store(outcome, actor=actor, action=action, reason=reason, now=now)
        return outcome


def _difference(before: Key, after: Key) -> tuple[dict[str, Any], dict[str, Any]]:
    """What differs, from and to."""
    old, new = asdict(before), asdict(after)
    names = [name for name in old if old[name] != new[name]]
    return {name: old[name] for name in names}, {name: new[name] for name in names}
