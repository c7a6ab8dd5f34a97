"""What a service trusts at one moment, for people and scripts: written by the service, read by ``farseal trust``. Pure.

Nothing in it is secret: keys are public, and only their names are told.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

from farseal.sources.source import IssuerStatus, SourceStatus, WorkerState
from farseal.status_list import StatusPolicy
from farseal.trust import IssuerTrust, Judgement, TrustSnapshot

FRESH: Final = "fresh"
STALE: Final = "stale"
"""Past the age that is warned about, and used still."""
REFUSED: Final = "refused"
"""There are no keys, or they are past their limit: every token of the issuer gets 503."""

MAX_LISTS_TOLD: Final = 100
"""Of one issuer: enough for people, and bounded."""

_WORDS: Final = {Judgement.USE: FRESH, Judgement.WARN: STALE, Judgement.REFUSE: REFUSED}


class ListReport(msgspec.Struct, frozen=True, kw_only=True):
    """One status list in force. Times are in seconds since the epoch, ages and ``ttl`` in seconds."""

    uri: str
    judgement: str
    age: int
    issued_at: int
    expires_at: int | None = None
    ttl: int | None = None
    version: int | None = None
    size: int
    bits: int
    kid: str


class IssuerReport(msgspec.Struct, frozen=True, kw_only=True):
    """What is trusted of one issuer, and how it is kept so. Times are in seconds since the epoch, ages in seconds.

    None stands for what is not known: there are no keys yet, or the source does not tell. ``status`` is the policy,
    ``judgement`` the worse of what the keys and, where the policy asks for them, the status lists allow. ``lists`` are
    the oldest `MAX_LISTS_TOLD` of those in force; ``lists_origin`` and what follows it are of the looks for them, where
    those are not the looks for the keys.
    """

    issuer: str
    judgement: str
    age: int | None = None
    published_at: int | None = None
    stale_after: int | None = None
    refuse_after: int | None = None
    sequence: int | None = None
    kids: tuple[str, ...] = ()
    revoked: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()
    origin: str | None = None
    from_disk: bool = False
    next_at: int | None = None
    last_attempt_at: int | None = None
    last_success_at: int | None = None
    attempts: int = 0
    failures: int = 0
    failure: str | None = None
    refused: int = 0
    refusal: str | None = None
    rollbacks: int = 0
    status: str = ""
    status_stale_after: int | None = None
    status_refuse_after: int | None = None
    lists: tuple[ListReport, ...] = ()
    lists_in_force: int = 0
    lists_refused: int = 0
    lists_refusal: str | None = None
    lists_rollbacks: int = 0
    lists_origin: str | None = None
    lists_from_disk: bool = False
    lists_next_at: int | None = None
    lists_last_attempt_at: int | None = None
    lists_last_success_at: int | None = None
    lists_attempts: int = 0
    lists_failures: int = 0
    lists_failure: str | None = None


class TrustReport(msgspec.Struct, frozen=True, kw_only=True):
    """What a service trusts. ``judgement`` is the worst of its issuers'."""

    at: int
    judgement: str
    generation: int
    loads: int
    refused: int
    rollbacks: int
    issuers: tuple[IssuerReport, ...]

    def as_json(self) -> dict[str, Any]:
        """The same as JSON has it."""
        made: dict[str, Any] = msgspec.to_builtins(self)
        return made


def report(
    snapshot: TrustSnapshot, status: SourceStatus, issuers: Mapping[str, StatusPolicy], *, now: int
) -> TrustReport:
    """What is trusted of ``issuers`` at ``now``, in seconds since the epoch, and how the source is doing.

    Args:
        snapshot: in force.
        status: of the source that holds it.
        issuers: all that the service takes tokens of, also those of which nothing was ever read, each with its policy.
        now: the moment of the report.
    """
    told = tuple(
        _issuer(
            issuer,
            policy,
            snapshot.issuers.get(issuer),
            status.issuers.get(issuer),
            status.workers.get(issuer),
            now=now,
        )
        for issuer, policy in issuers.items()
    )
    found = {one.judgement for one in told}
    return TrustReport(
        at=now,
        judgement=next((word for word in (REFUSED, STALE, FRESH) if word in found), REFUSED),
        generation=snapshot.generation,
        loads=status.loads,
        refused=status.refused,
        rollbacks=status.rollbacks,
        issuers=told,
    )


def _issuer(
    issuer: str,
    policy: StatusPolicy,
    trust: IssuerTrust | None,
    status: IssuerStatus | None,
    worker: WorkerState | None,
    *,
    now: int,
) -> IssuerReport:
    told: dict[str, Any] = {"issuer": issuer, "judgement": REFUSED, "status": policy.value}
    if trust is not None:
        told |= {
            "judgement": _judgement(trust, policy, now),
            "age": trust.age(now),
            "published_at": trust.published_at,
            "stale_after": trust.limits.warn_after,
            "refuse_after": trust.limits.refuse_after,
            "sequence": trust.sequence,
            "kids": tuple(sorted(trust.keys.keys() - trust.revoked)),
            "revoked": tuple(sorted(trust.revoked)),
            "skipped": tuple(f"key {key.position} ({key.kid or 'no kid'}): {key.reason}" for key in trust.skipped),
            "status_stale_after": trust.status_limits.warn_after,
            "status_refuse_after": trust.status_limits.refuse_after,
            "lists": tuple(_lists(trust, now)),
            "lists_in_force": len(trust.lists),
        }
    if status is not None:
        told |= {"refused": status.refused, "refusal": status.refusal, "rollbacks": status.rollbacks}
        told |= {
            "lists_refused": status.lists.refused,
            "lists_refusal": status.lists.refusal,
            "lists_rollbacks": status.lists.rollbacks,
        }
    if worker is not None:
        told |= _looks(worker)
        if worker.lists is not None:
            told |= {f"lists_{name}": value for name, value in _looks(worker.lists).items()}
    return IssuerReport(**told)


def _looks(worker: WorkerState) -> dict[str, Any]:
    return {
        "origin": worker.origin,
        "from_disk": worker.from_disk,
        "next_at": worker.next_at,
        "last_attempt_at": worker.last_attempt_at,
        "last_success_at": worker.last_success_at,
        "attempts": worker.attempts,
        "failures": worker.failures,
        "failure": worker.failure,
    }


def _judgement(trust: IssuerTrust, policy: StatusPolicy, now: int) -> str:
    found = {_WORDS[trust.judge(now)]}
    if policy is StatusPolicy.REQUIRE or (policy is StatusPolicy.IF_PRESENT and trust.lists):
        found.add(_WORDS[trust.judge_lists(now)])
    return next(word for word in (REFUSED, STALE, FRESH) if word in found)


def _lists(trust: IssuerTrust, now: int) -> Iterator[ListReport]:
    for one in sorted(trust.lists.values(), key=lambda one: (one.issued_at, one.uri))[:MAX_LISTS_TOLD]:
        yield ListReport(
            uri=one.uri,
            judgement=_WORDS[trust.status_limits.judge(one, now)],
            age=max(0, now - one.issued_at),
            issued_at=one.issued_at,
            expires_at=one.expires_at,
            ttl=one.ttl,
            version=one.version,
            size=one.size,
            bits=one.bits,
            kid=one.kid,
        )
