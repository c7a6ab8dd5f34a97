"""The automatic rotation: whichever replica takes the lock first leads for one tick and takes the steps that are due.

Nothing of it is remembered between ticks. Everything of one step happens in one transaction, and the plan is made from
what is stored, so a leader that dies at any statement is followed by one that makes the same plan.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Final

import structlog

from auth_server.keys import lifecycle, requests
from auth_server.keys.lifecycle import Key, KeyState, active, in_state
from auth_server.keys.opening import Keks, open_private
from auth_server.keys.planner import Action, Step, plan
from auth_server.keys.policy import RotationPolicy
from auth_server.keys.pool import KeyPool, add_ready
from auth_server.keys.requests import Outcome, Refused
from auth_server.keys.store import LOCK_SECONDS, Changing, changing, leading
from auth_server.storage import signing_keys
from auth_server.storage.connection import Connection, Pool
from auth_server.storage.database_clock import database_clock
from farseal.service.postgres import database_errors

log = structlog.get_logger(__name__)

MAX_STEPS: Final = 2 * 32
"""In one tick. More cannot be due: an end to a loop that should have one by itself."""


class Rotation:
    """One replica's part in the rotation.

    Args:
        pool: of the database.
        keks: to tell, before the first keys are made, whether those that are there are ours.
        keys: makes keys.
        policy: the times.
        actor: of the audit entries.
        reference: gives the seconds since the epoch that the database holds for now.
        held: why nothing may be planned, or None; asked at each tick.
    """

    def __init__(
        self,
        pool: Pool,
        keks: Keks,
        keys: KeyPool,
        policy: RotationPolicy,
        *,
        actor: str,
        reference: Callable[[Connection], Awaitable[float]] = database_clock,
        held: Callable[[], str | None] = lambda: None,
    ) -> None:
        self._pool = pool
        self._keks = keks
        self._keys = keys
        self._policy = policy
        self._actor = actor
        self._reference = reference
        self._held = held
        self.problem: str | None = None
        """Why this replica plans nothing; None when it does, or when another one leads."""
        self.clock_difference: float = 0.0
        """Seconds by which this clock was ahead of the database's at the last look."""

    async def prepare(self) -> None:
        """Make the keys that are missing, once among all replicas: one that signs and one that is announced.

        The replica that takes the lock first generates; the others wait, look again and find nothing missing. Their
        moments are those of the database: a start is not refused because the clock of this machine is wrong, and a key
        that signs since next year would be replaced a rotation after that.

        Raises:
            KeyringError: the key that signs does not open: nothing is added under another KEK.
            DatabaseUnavailable: the database cannot be reached.
        """
        with database_errors():
            async with self._pool.acquire() as conn:
                if not _missing(await signing_keys.keys(conn)):
                    return
                while await self._prepare_step(conn):
                    pass

    async def tick(self, now: int) -> tuple[Step, ...] | None:
        """Take the steps that are due, if no other replica is at it; None when one is.

        A clock that differs from the database's by more than the policy allows plans nothing: `problem` says so.

        Raises:
            DatabaseUnavailable: the database cannot be reached; what was taken before is stored whole.
        """
        taken: list[Step] = []
        with database_errors():
            async with self._pool.acquire() as conn:
                for _ in range(MAX_STEPS):
                    async with leading(conn) as leads:
                        if not leads:
                            return tuple(taken) or None
                        step = await self._step(conn, now)
                    if step is None:
                        return tuple(taken)
                    log.info("signing keys changed", action=step.action, kid=step.kid, reason=step.reason)
                    taken.append(step)
        return tuple(taken)

    async def confirm(self, kids: Iterable[str], *, now: int) -> bool:
        """Store that a publication that holds ``kids`` has been seen whole: from ``now`` on verifiers learn them.

        False when another replica holds the lock, or this clock cannot be trusted: to be tried again.

        Raises:
            DatabaseUnavailable: the database cannot be reached.
        """
        published = frozenset(kids)
        with database_errors():
            async with self._pool.acquire() as conn, leading(conn) as leads:
                if not leads or await self._stopped(conn, now):
                    return False
                change = Changing(conn, await signing_keys.locked_keys(conn))
                after = [lifecycle.confirmed(key, self._policy, now=now) for key in change.keys if key.kid in published]
                new = [key for key in after if key not in change.keys]
                await change.note(new, actor=self._actor, action="confirm", reason="published", now=now)
        if new:
            log.info("publication confirmed", kids=[key.kid for key in new])
        return True

    async def _step(self, conn: Connection, now: int) -> Step | None:
        """The next due step, stored; None when nothing is due or nothing may be planned."""
        if await self._stopped(conn, now):
            return None
        due = [step for step in plan(await signing_keys.keys(conn), self._policy, now) if step.is_due(now)]
        if any(step.action is Action.MAKE for step in due):
            self._keys.begin(now=now)
        chosen = next((step for step in due if step.action is not Action.MAKE), None)
        if chosen is None:
            return None
        change = Changing(conn, await signing_keys.locked_keys(conn))
        return chosen if await self._take(change, chosen, now) else None

    async def _take(self, change: Changing, step: Step, now: int) -> bool:
        outcome = _decide(change.keys, step, self._policy, now)
        if isinstance(outcome, Refused):
            # The plan and the requests go by the same rules.
            log.error("a planned step was refused", action=step.action, kid=step.kid, reason=outcome.reason)
            self.problem = f"cannot {step.action} {step.kid}: {outcome.reason}"
            return False
        await change.store(outcome, actor=self._actor, action=step.action, reason=step.reason, now=now)
        return True

    async def _stopped(self, conn: Connection, now: int) -> bool:
        self.clock_difference = now - await self._reference(conn)
        skew = self._policy.clock_skew_seconds
        # `now` was rounded down: it is up to a second behind its clock, and never ahead of it.
        if not -skew - 1 < self.clock_difference <= skew:
            ahead = "ahead of" if self.clock_difference > 0 else "behind"
            self.problem = (
                f"this clock is {abs(self.clock_difference):.0f} s {ahead} the database's, {skew} s are allowed: "
                "nothing is rotated"
            )
        else:
            self.problem = self._held()
        return self.problem is not None

    async def _prepare_step(self, conn: Connection) -> bool:
        """One step towards the first keys; False when none is needed any more."""
        async with changing(conn, silence_seconds=LOCK_SECONDS) as change:
            if not _missing(change.keys):
                return False
            await self._is_our_kek(conn)
            now = int(await self._reference(conn))
            step = next(step for step in plan(change.keys, self._policy, now) if step.action is not Action.DROP)
            if step.action is Action.MAKE:
                stored = await self._keys.make(now=now)
                await add_ready(
                    conn, stored, actor=self._actor, action="make", reason="the first keys are missing", now=now
                )
                log.info("signing key made", kid=stored.kid, bits=stored.bits)
                return True
            return await self._take(change, step, now)

    async def _is_our_kek(self, conn: Connection) -> None:
        """Before anything is added, be sure that the KEKs are those of the keys that are there."""
        for stored in await signing_keys.list_states(conn, (KeyState.ACTIVE, KeyState.ANNOUNCED)):
            await asyncio.to_thread(open_private, stored, self._keks)


def _missing(keys: Iterable[Key]) -> bool:
    held = tuple(keys)
    return active(held) is None or not in_state(held, KeyState.ANNOUNCED)


def _decide(keys: tuple[Key, ...], step: Step, policy: RotationPolicy, now: int) -> Outcome:
    assert step.kid is not None  # noqa: S101 - only a key that is to be made has none
    match step.action:
        case Action.ANNOUNCE:
            return requests.announce(keys, step.kid, now=now)
        case Action.ACTIVATE:
            return requests.activate(keys, step.kid, policy, now=now)
        case _:
            return requests.retire(keys, step.kid, policy, now=now)
