"""What becomes of trust as documents come in, good and bad: the half that every source shares.

No I/O and no clock: a source says what it found, and when. What may not be taken leaves the last good set in force, is
logged and counted, and stays readable in `TrustKeeper.status`.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import inf
from types import MappingProxyType
from typing import Final

from farseal.jwks import KeySet
from farseal.sources.lists import FoundLists, IssuerLists
from farseal.sources.source import NO_WORKERS, IssuerStatus, SourceStatus, WorkerState
from farseal.trust import AgeLimits, IssuerTrust, Judgement, StatusLimits, TrustSnapshot
from farseal.vocabulary import JWKS_FILE

REMINDER_SECONDS: Final = 60
"""A fault that stays is logged again this often, and no more."""

NAMED_KEYS: Final = 5
"""Of a set, those that are not used are logged one by one up to here. A set may hold a thousand; the report has all."""

JUMP_SECONDS: Final = 60
"""Between two looks; a clock that gains or loses more was set, or its machine slept."""

_log = logging.getLogger("farseal")


@dataclass(frozen=True, slots=True)
class Moment:
    """One moment by two clocks.

    Args:
        now: seconds since the epoch, by a clock that somebody may set.
        uptime: seconds since whenever, by one that nobody can.
    """

    now: int
    uptime: float


class ClockWatch:
    """Tells where the clock was set, from one moment to the next that it is shown."""

    def __init__(self) -> None:
        self._offset: float | None = None

    def jump(self, at: Moment) -> float:
        """Seconds by which the clock was set since the moment before; 0 where that is the first, or next to nothing."""
        before, self._offset = self._offset, at.now - at.uptime
        jump = 0.0 if before is None else self._offset - before
        return jump if abs(jump) >= JUMP_SECONDS else 0.0


@dataclass(frozen=True, slots=True)
class Found:
    """A set of documents that may replace what is trusted of an issuer.

    Args:
        digest: of the key set as it was published.
        dated: when it was published by its own account, in seconds since the epoch.
        keys: None when the digest is that of the set in force. May hold no usable one: the keeper decides.
    """

    digest: bytes
    dated: int
    keys: KeySet | None


@dataclass(frozen=True, slots=True)
class Refused:
    """What is there must not replace what is trusted. ``reason`` is for people, and quotes no content."""

    reason: str


@dataclass(slots=True)
class _Memory:
    """Of one issuer, beside its trust: what the set in force was found as, and what is wrong with what is there now."""

    origin: str
    digest: bytes = b""
    dated: int = 0
    refusal: str | None = None
    refused: int = 0
    rollbacks: int = 0
    reminded_at: float = 0.0
    lists: IssuerLists = field(default_factory=IssuerLists)
    lists_reminded_at: float = -inf
    lists_told: frozenset[str] = frozenset()
    lists_refusal_told: str | None = None


class TrustKeeper:
    """Holds the snapshot of one source, and decides what may take its place.

    ``snapshot`` may be read from any thread at any time; everything else belongs to one.

    A set counts as published at its own date; once it was seen so dated, an older date on the same keys does not make
    them older. One from the future counts from the moment it was found.

    Args:
        origins: where the documents of each issuer are, in words for the log.
        limits: of the age, for every issuer.
        status_limits: of the age of status lists, for every issuer.
    """

    def __init__(
        self,
        origins: Mapping[str, str],
        limits: AgeLimits,
        status_limits: StatusLimits = StatusLimits(),  # noqa: B008 - frozen
    ) -> None:
        self.snapshot = TrustSnapshot()
        self._limits = limits
        self._status_limits = status_limits
        self._memories = {issuer: _Memory(origin) for issuer, origin in origins.items()}
        self._loads = 0
        self._clock = ClockWatch()

    def digest(self, issuer: str) -> bytes:
        """Of the key set in force; empty where there is none."""
        return self._memories[issuer].digest

    def lists(self, issuer: str) -> Mapping[str, bytes]:
        """The SHA-256 of the document of each status list in force, by URI."""
        trust = self.snapshot.issuers.get(issuer)
        return {} if trust is None else {uri: one.digest for uri, one in trust.lists.items()}

    def status(self, now: int, workers: Mapping[str, WorkerState] = NO_WORKERS) -> SourceStatus:
        """How it is doing at ``now``, in seconds since the epoch, with the states of those that feed it."""
        memories = self._memories
        refusals = [memory.refusal for memory in memories.values() if memory.refusal is not None]
        return SourceStatus(
            generation=self.snapshot.generation,
            loads=self._loads,
            refused=sum(memory.refused for memory in memories.values()),
            refusal="; ".join(refusals) or None,
            ages=MappingProxyType({name: trust.age(now) for name, trust in self.snapshot.issuers.items()}),
            rollbacks=sum(memory.rollbacks for memory in memories.values()),
            issuers=MappingProxyType(
                {
                    name: IssuerStatus(one.refused, one.refusal, one.rollbacks, one.lists.status())
                    for name, one in memories.items()
                }
            ),
            workers=workers,
        )

    def follow_clock(self, at: Moment) -> None:
        """Where the clock was set, date again what it had dated.

        A machine without a clock of its own begins in 1970. All it finds is from the future, and would be decades past
        its limit once the time is known. A clock that is set back makes what was found before seem to be from the
        future: it would not age until the clock has caught up. To be called before each look, at least.
        """
        jump = round(self._clock.jump(at))
        if not jump:
            return
        for issuer, trust in self.snapshot.issuers.items():
            dated, published_at = self._memories[issuer].dated, trust.published_at
            if published_at < dated:
                published_at = min(dated, published_at + jump)
            lists = self._memories[issuer].lists.dated_again(trust.lists, jump, at.now)
            self._age(replace(trust, published_at=min(published_at, at.now), lists=lists))

    def learn(self, issuer: str, outcome: Found | Refused | None, at: Moment, *, changed: bool = True) -> None:
        """Take what was found of an issuer into force, or keep what is, and say why.

        Args:
            issuer: one of those that the keeper was made for.
            outcome: None where nothing has changed since the last time.
            at: when it was found.
            changed: whether what is there was published since the last time, or at least may have been. The same
                fault in the same publication is one refusal, in another it is another.
        """
        memory = self._memories[issuer]
        if outcome is None:
            if memory.refusal is not None:
                self._warn(issuer, memory.refusal, at, again=True)
            return
        if isinstance(outcome, Found) and outcome.keys is not None:
            rollback = self._rollback(issuer, outcome.keys)
            if rollback is not None:
                self._keep(issuer, rollback, at, changed=changed, rollback=True)
                return
            unfit = self._unfit(issuer, outcome, outcome.keys, at.now)
            outcome = outcome if unfit is None else Refused(unfit)
        if isinstance(outcome, Refused):
            self._keep(issuer, outcome.reason, at, changed=changed)
            return
        if memory.refusal is not None:
            memory.refusal = None
            _log.info("%s is usable again", memory.origin)
        if outcome.keys is None:
            self._renew(issuer, outcome.dated, at.now)
        else:
            self._replace(issuer, outcome, outcome.keys, at.now)

    def learn_lists(
        self, issuer: str, found: FoundLists | Refused | None, at: Moment, *, under_way: bool = False
    ) -> None:
        """Take the status lists of an issuer into force, or keep those that are, and say why.

        The snapshot is another afterwards, and its generation the same: no verdict on a signature changes.

        Args:
            issuer: one of those that the keeper was made for.
            found: refused where the index cannot be read, None where nothing has changed since the last time. An
                issuer without an index has no lists.
            at: when it was found.
            under_way: whether more of the same look will follow. Nothing is logged before its end: with thousands of
                lists there would be a line for each.
        """
        memory, trust = self._memories[issuer], self.snapshot.issuers.get(issuer)
        if isinstance(found, Refused):
            memory.lists.refuse_index(found.reason)
        elif found is not None:
            lists = memory.lists.learn(found, trust, at.now)
            if trust is not None and lists != trust.lists:
                trust = replace(trust, lists=lists)
                self._age(trust)
        if not under_way:
            self._watch_lists(issuer, trust, at)

    def _watch_lists(self, issuer: str, trust: IssuerTrust | None, at: Moment) -> None:
        memory = self._memories[issuer]
        before, memory.lists_told = memory.lists_told, frozenset(() if trust is None else trust.lists)
        if memory.lists_told != before:
            _log.info("%d status lists of %s, %d before", len(memory.lists_told), issuer, len(before))
        known, memory.lists_refusal_told = memory.lists_refusal_told == memory.lists.refusal, memory.lists.refusal
        faults = [] if memory.lists.refusal is None else [f"not taken: {memory.lists.refusal}"]
        limits = self._status_limits
        if trust is not None and any(limits.judge(one, at.now) is not Judgement.USE for one in trust.lists.values()):
            faults.append(
                f"stale or expired (stale from {limits.warn_after} s, refused from {limits.refuse_after} s or exp)"
            )
        if not faults or (known and at.uptime - memory.lists_reminded_at < REMINDER_SECONDS):
            return
        memory.lists_reminded_at = at.uptime
        _log.warning("status lists of %s in %s: %s", issuer, memory.origin, "; ".join(faults))

    def _rollback(self, issuer: str, keys: KeySet) -> str | None:
        """Why a set goes back behind the one in force by its number, or None.

        Who lays an old set back, on purpose or not, would bring withdrawn keys back with it. The number of the set in
        force may be used again only for the same keys: a publisher may write them otherwise, with other blanks, say.
        """
        trust = self.snapshot.issuers.get(issuer)
        if trust is None or trust.sequence is None or (keys.issuer is not None and keys.issuer != issuer):
            return None
        if keys.sequence is None:
            return f"{JWKS_FILE}: it has no sequence, and what is in force has {trust.sequence}"
        if keys.sequence < trust.sequence:
            return f"{JWKS_FILE}: sequence {keys.sequence} is older than {trust.sequence}, which is in force"
        if keys.sequence == trust.sequence and not _same(trust, keys):
            return f"{JWKS_FILE}: another document under the same sequence {trust.sequence}"
        return None

    def _unfit(self, issuer: str, found: Found, keys: KeySet, now: int) -> str | None:
        """Why a set that is no step back must not replace what is in force, or None.

        What it withdraws of the keys in force is withdrawn even so: refused as a whole, it would leave a stolen key in
        force. Other kids are unknown anyway, and remembering those of every set that was refused would have no end.
        """
        if keys.issuer is not None and keys.issuer != issuer:
            return f"{JWKS_FILE}: the key set is of another issuer than {issuer}"
        trust = self.snapshot.issuers.get(issuer)
        # A backup laid back, or a copy that lost its dates, would otherwise turn good trust into an outage.
        too_old = (
            now - found.dated >= self._limits.refuse_after
            and trust is not None
            and trust.judge(now) is not Judgement.REFUSE
        )
        if keys.keys and not too_old:
            return None
        if trust is not None and (withdrawn := (keys.revoked & trust.keys.keys()) - trust.revoked):
            revoked = trust.revoked | withdrawn
            lists = self._memories[issuer].lists.without_withdrawn(trust.lists, revoked)
            self.snapshot = self.snapshot.with_issuer(replace(trust, revoked=revoked, lists=lists))
            _log.warning("generation %d: %d keys of %s are revoked", self.snapshot.generation, len(withdrawn), issuer)
        if too_old:
            return f"{JWKS_FILE}: dated past the limit of {self._limits.refuse_after} s"
        return f"{JWKS_FILE}: no usable key among {len(keys.skipped)}"

    def _keep(self, issuer: str, refusal: str, at: Moment, *, changed: bool, rollback: bool = False) -> None:
        memory = self._memories[issuer]
        known, memory.refusal = memory.refusal == refusal, refusal
        if changed or not known:
            memory.refused += 1
            memory.rollbacks += rollback
        self._warn(issuer, refusal, at, again=known)

    def _renew(self, issuer: str, dated: int, now: int) -> None:
        memory = self._memories[issuer]
        if dated != memory.dated:
            memory.dated = dated
            trust = self.snapshot.issuers[issuer]
            self._age(replace(trust, published_at=max(trust.published_at, min(dated, now))))

    def _replace(self, issuer: str, found: Found, keys: KeySet, now: int) -> None:
        memory = self._memories[issuer]
        memory.digest, memory.dated = found.digest, found.dated
        self._loads += 1
        before = self.snapshot.issuers.get(issuer)
        self.snapshot = self.snapshot.with_issuer(
            IssuerTrust(
                issuer=issuer,
                keys=keys.keys,
                published_at=min(found.dated, now),
                limits=self._limits,
                skipped=keys.skipped,
                revoked=keys.revoked,
                sequence=keys.sequence,
                lists=memory.lists.without_withdrawn({} if before is None else before.lists, keys.revoked),
                status_limits=self._status_limits,
            )
        )
        _log.info("generation %d: %d keys of %s", self.snapshot.generation, len(keys.keys), issuer)
        for skipped in keys.skipped[:NAMED_KEYS]:
            _log.warning("key %d of %s (%r) is not used: %s", skipped.position, issuer, skipped.kid, skipped.reason)
        if (more := len(keys.skipped) - NAMED_KEYS) > 0:
            _log.warning("%d more keys of %s are not used", more, issuer)

    def _age(self, trust: IssuerTrust) -> None:
        # The same keys, published again: no verdict changes, so the generation does not grow.
        issuers = MappingProxyType({**self.snapshot.issuers, trust.issuer: trust})
        self.snapshot = replace(self.snapshot, issuers=issuers)

    def _warn(self, issuer: str, refusal: str, at: Moment, *, again: bool) -> None:
        memory = self._memories[issuer]
        if again and at.uptime - memory.reminded_at < REMINDER_SECONDS:
            return
        memory.reminded_at = at.uptime
        kept = (
            "the last good keys stay in force"
            if issuer in self.snapshot.issuers
            else "there are no keys: every token gets 503"
        )
        _log.warning("published documents in %s are not taken: %s; %s", memory.origin, refusal, kept)


def _same(trust: IssuerTrust, keys: KeySet) -> bool:
    """Whether a set says of keys what is in force already."""
    if trust.revoked != keys.revoked or trust.keys.keys() != keys.keys.keys():
        return False
    return all(
        key.public_key.public_numbers() == trust.keys[kid].public_key.public_numbers() for kid, key in keys.keys.items()
    )
