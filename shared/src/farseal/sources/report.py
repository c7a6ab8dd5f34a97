"""What a service trusts at one moment, for people and scripts: written by the service, read by ``farseal trust``. Pure.

Nothing in it is secret: keys are public, and only their names are told.
"""

from collections.abc import Iterable
from typing import Any, Final

import msgspec

from farseal.sources.source import IssuerStatus, SourceStatus, WorkerState
from farseal.trust import IssuerTrust, Judgement, TrustSnapshot

FRESH: Final = "fresh"
STALE: Final = "stale"
"""Past the age that is warned about, and used still."""
REFUSED: Final = "refused"
"""There are no keys, or they are past their limit: every token of the issuer gets 503."""

_WORDS: Final = {Judgement.USE: FRESH, Judgement.WARN: STALE, Judgement.REFUSE: REFUSED}


class IssuerReport(msgspec.Struct, frozen=True, kw_only=True):
    """What is trusted of one issuer, and how it is kept so. Times are in seconds since the epoch, ages in seconds.

    None stands for what is not known: there are no keys yet, or the source does not tell.
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


def report(snapshot: TrustSnapshot, status: SourceStatus, issuers: Iterable[str], *, now: int) -> TrustReport:
    """What is trusted of ``issuers`` at ``now``, in seconds since the epoch, and how the source is doing.

    Args:
        snapshot: in force.
        status: of the source that holds it.
        issuers: all that the service takes tokens of, also those of which nothing was ever read.
        now: the moment of the report.
    """
    told = tuple(
        _issuer(issuer, snapshot.issuers.get(issuer), status.issuers.get(issuer), status.workers.get(issuer), now)
        for issuer in issuers
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
    issuer: str, trust: IssuerTrust | None, status: IssuerStatus | None, worker: WorkerState | None, now: int
) -> IssuerReport:
    told: dict[str, Any] = {"issuer": issuer, "judgement": REFUSED}
    if trust is not None:
        told |= {
            "judgement": _WORDS[trust.judge(now)],
            "age": trust.age(now),
            "published_at": trust.published_at,
            "stale_after": trust.limits.warn_after,
            "refuse_after": trust.limits.refuse_after,
            "sequence": trust.sequence,
            "kids": tuple(sorted(trust.keys.keys() - trust.revoked)),
            "revoked": tuple(sorted(trust.revoked)),
            "skipped": tuple(f"key {key.position} ({key.kid or 'no kid'}): {key.reason}" for key in trust.skipped),
        }
    if status is not None:
        told |= {"refused": status.refused, "refusal": status.refusal, "rollbacks": status.rollbacks}
    if worker is not None:
        told |= {
            "origin": worker.origin,
            "from_disk": worker.from_disk,
            "next_at": worker.next_at,
            "last_attempt_at": worker.last_attempt_at,
            "last_success_at": worker.last_success_at,
            "attempts": worker.attempts,
            "failures": worker.failures,
            "failure": worker.failure,
        }
    return IssuerReport(**told)
