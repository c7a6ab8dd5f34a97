"""A world of replicas, caches and verifiers around the keys, as bad as a policy allows, and no worse.

Nothing here is drawn by lot but what the rules of a test do. Whoever only reads is modelled by all that it could have
seen: a verifier may hold any document that was current since `World.horizon`, a replica may sign with any key that it
could have read within its lease, and stamps a token with the clock that errs most. What holds here holds for every
replica and every verifier at once, in whatever phase they are.

Time is true time in milliseconds; whoever acts reads a clock that is off by up to ``clock_skew_seconds``, and rounds
down.

A policy describes the world, so the world obeys a new one from the moment in which it is set: replicas start again and
read the keys; before a time of theirs is shortened, verifiers and caches have been made faster, clocks better, and
leases short enough that no token is about that is against the new policy.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from auth_server.keys import lifecycle, planner, requests
from auth_server.keys.lifecycle import PUBLISHED, Key, KeyState
from auth_server.keys.planner import Action, Step
from auth_server.keys.policy import RotationPolicy
from auth_server.keys.requests import Changed, Outcome, Refused

SECOND = 1000
"""In the unit of true time, milliseconds."""

EPOCH = 1_000_000 * SECOND
"""When every world begins. Any moment does, far enough from zero for a clock to be behind."""


@dataclass(frozen=True, slots=True)
class Document:
    """A key set that verifiers could fetch from ``since`` on, until the next one."""

    since: int
    sequence: int
    kids: frozenset[str]


class World:
    """The stored keys, what was published of them, what was signed. Raises AssertionError where a promise breaks."""

    def __init__(self, policy: RotationPolicy) -> None:
        self.policy = policy
        self.now = EPOCH
        self.stored: dict[str, Key] = {}
        self.sequence = 0
        self.documents: list[Document] = []
        self.horizon = EPOCH
        """Nobody holds a document any more that was replaced before this moment."""
        self.signing: dict[str, int | None] = {}
        """Until when some replica signs with a key; None for the one that is active."""
        self.alive: dict[str, int] = {}
        """``exp`` of the last token of a key, for keys of which some verifier may still have to accept one."""
        self.longest: dict[str, int] = {}
        """Life of the longest token of a key that was signed, in seconds."""
        self.early: set[str] = set()
        """Keys that somebody was warned about: not yet held by every verifier."""
        self.dropped: set[str] = set()
        """Keys dropped by force while their tokens lived."""

    @property
    def keys(self) -> tuple[Key, ...]:
        return tuple(self.stored.values())

    def clock(self, error: float) -> int:
        """What somebody's clock shows whose error is this share, -1 to 1, of the allowed one."""
        return (self.now + round(error * self.policy.clock_skew_seconds * SECOND)) // SECOND

    def in_state(self, *states: KeyState) -> list[str]:
        return [key.kid for key in lifecycle.in_state(self.keys, *states)]

    # -- what passes by itself

    def wait(self, until: int) -> None:
        """Let time pass. Replicas sign all the while; tokens die when the slowest clock says so."""
        self.now = max(self.now, until)
        for kid, end in list(self.signing.items()):
            self._sign(kid, self.now if end is None else min(self.now, end))
            if end is not None and end <= self.now:
                del self.signing[kid]
        over = self.policy.leeway_seconds + self.policy.clock_skew_seconds
        self.alive = {kid: exp for kid, exp in self.alive.items() if self.now < (exp + over) * SECOND}
        held = self.policy.verifier_refresh_seconds + self.policy.cache_seconds + self.policy.publication_seconds
        self.horizon = max(self.horizon, self.now - held * SECOND)
        while len(self.documents) > 1 and self.documents[1].since < self.horizon:
            del self.documents[0]
        if self.documents:
            self.early = {kid for kid in self.early if not all(kid in document.kids for document in self.documents)}
        self.check()

    def _sign(self, kid: str, moment: int) -> None:
        key = self.stored[kid]
        if key.state is not KeyState.REVOKED:
            self.longest[kid] = max(self.longest.get(kid, 0), self.policy.max_token_seconds)
            assert key.token_seconds >= self.longest[kid], f"{kid} signs longer tokens than is stored"
            exp = moment // SECOND + self.policy.clock_skew_seconds + self.policy.max_token_seconds
            self.alive[kid] = max(self.alive.get(kid, 0), exp)

    def change_policy(self, policy: RotationPolicy) -> None:
        """Everybody starts again. A replica that may issue longer tokens has that stored before it does."""
        self.policy = policy
        self.signing = {kid: None for kid, end in self.signing.items() if end is None}
        for kid in self.signing:
            key = self.stored[kid]
            self.store(replace(key, token_seconds=max(key.token_seconds, policy.max_token_seconds)))
        latest = self.now // SECOND + policy.clock_skew_seconds
        judged = policy.leeway_seconds + 2 * policy.clock_skew_seconds
        for kid, exp in self.alive.items():
            # One that retires meanwhile is owed what was promised, or what the new policy says: no mixture of both.
            free = self.stored[kid].may_go_from(policy)
            owed = latest + self.longest[kid] if free is None else free - judged
            self.alive[kid] = min(exp, latest + self.longest[kid], owed)
        self.wait(self.now)

    # -- what is done to the keys

    def make(self, error: float) -> None:
        """A key of the pool is there at last."""
        kid = f"k{len(self.stored)}"
        self.store(Key(kid=kid, state=KeyState.READY, created_at=self.clock(error)))

    def ask(self, outcome: Outcome, *, planned: bool = False) -> Outcome:
        """Store what a request leads to, all of it or nothing."""
        if isinstance(outcome, Changed):
            assert not (planned and outcome.warnings), outcome.warnings
            for key in outcome.keys:
                self.store(key, warned=bool(outcome.warnings))
            self.wait(self.now)
        return outcome

    def take(self, step: Step, now: int) -> None:
        """A due step of the plan is never refused."""
        match step.action:
            case Action.ANNOUNCE:
                outcome = requests.announce(self.keys, step.kid, now=now)
            case Action.ACTIVATE:
                outcome = requests.activate(self.keys, step.kid, self.policy, now=now)
            case Action.DROP:
                assert step.kid is not None
                outcome = requests.retire(self.keys, step.kid, self.policy, now=now)
            case Action.MAKE:
                raise AssertionError("keys are made outside of the plan's transaction")
        assert not isinstance(self.ask(outcome, planned=True), Refused), (step, outcome)

    def tick(self, now: int, steps: int | None = None) -> None:
        """A leader takes what is due, planning again after each step; one that dies takes the first ``steps`` alone."""
        most = 2 * len(self.stored) + 4
        for _ in range(most if steps is None else min(steps, most)):
            due = [step for step in self.plan(now) if step.is_due(now) and step.action is not Action.MAKE]
            if not due:
                return
            self.take(due[0], now)
        assert steps is not None, f"after {most} steps something is due still: {self.plan(now)}"

    def plan(self, now: int) -> tuple[Step, ...]:
        """The plan, which depends on nothing but the keys, the policy and the moment."""
        steps = planner.plan(self.keys, self.policy, now)
        assert steps == planner.plan(reversed(self.keys), self.policy, now)
        return steps

    def store(self, key: Key, *, warned: bool = False) -> None:
        """One row. Holds what must hold between a row and the one before."""
        before = self.stored.get(key.kid)
        if before is not None:
            self._hold_promises(before, key)
        if key.state is KeyState.ACTIVE and (before is None or before.state is not KeyState.ACTIVE):
            self.signing[key.kid] = None
            if warned:
                self.early.add(key.kid)
        elif before is not None and before.state is KeyState.ACTIVE and key.state is not KeyState.ACTIVE:
            self.signing[key.kid] = self.now + self.policy.lease_seconds * SECOND
        if key.state is KeyState.REVOKED:
            self.alive.pop(key.kid, None)
        if key.state is KeyState.GONE and before is not None and before.state is KeyState.RETIRING and warned:
            self.dropped.add(key.kid)
        self.stored[key.kid] = key
        self.sequence += 1

    def _hold_promises(self, before: Key, after: Key) -> None:
        for promised, kept in (
            (before.activate_after, after.activate_after),
            (before.keep_until, after.keep_until),
            (before.token_seconds, after.token_seconds),
        ):
            assert promised is None or (kept is not None and kept >= promised), "a promise was taken back"
        assert before.state is not KeyState.REVOKED or after.state is KeyState.REVOKED, "a revoked key came back"
        assert before.state is not KeyState.GONE or after.state in {KeyState.GONE, KeyState.REVOKED}, "a key came back"

    # -- what is published

    def read(self) -> Document:
        """What a publisher has read, and may write later."""
        return Document(self.now, self.sequence, frozenset(self.in_state(*PUBLISHED)))

    def write(self, document: Document, error: float | None) -> None:
        """The document is where verifiers look, and its keys are confirmed, unless ``error`` is None: a crash between.

        An older one never replaces a newer one: verifiers refuse a sequence that falls.
        """
        if self.documents and document.sequence < self.documents[-1].sequence:
            return
        if not document.kids:
            assert not self.documents, "an empty key set would be published"
            return
        self.documents.append(replace(document, since=self.now))
        if error is not None:
            for kid in document.kids:
                self.store(lifecycle.confirmed(self.stored[kid], self.policy, now=self.clock(error)))
        self.wait(self.now)

    # -- what must always hold

    def check(self) -> None:
        states = [key.state for key in self.keys]
        started = any(key.activated_at is not None for key in self.keys)
        assert states.count(KeyState.ACTIVE) == int(started), "exactly one key signs once one did"
        assert not started or PUBLISHED & set(states), "something is published"
        for kid in self._owed():
            lacking = [document for document in self.documents if kid not in document.kids]
            assert not lacking or kid in self.early, f"a verifier that holds {lacking} refuses the tokens of {kid}"
            state = self.stored[kid].state
            assert state in PUBLISHED, f"{kid} is {state} while its tokens live"
        for kid in self.early - set(self.in_state(KeyState.REVOKED)):
            known = self.stored[kid].may_sign_from(self.policy)
            assert known is None or kid not in self.early or self.clock(-1) <= known, f"{kid} is not held when promised"

    def _owed(self) -> Iterable[str]:
        """The keys whose tokens every verifier has to accept now."""
        revoked = set(self.in_state(KeyState.REVOKED))
        return sorted(({*self.alive, *self.signing} - revoked) - self.dropped)
