"""What a verifier holds at one moment: each issuer's keys and their age. Immutable; swapped whole, never edited."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from types import MappingProxyType

from farseal.errors import TrustUnavailableError
from farseal.jwks import SkippedKey, VerificationKey
from farseal.status_list import StatusList


class Judgement(Enum):
    """What to do with an issuer's documents at their age."""

    USE = "use"
    WARN = "warn"
    """Use them and say so: the publication has fallen behind."""
    REFUSE = "refuse"
    """Answer 503: nobody can tell whether a key has been withdrawn since."""


@dataclass(frozen=True, slots=True)
class AgeLimits:
    """Seconds since publication from which documents are warned about, and from which they are refused."""

    warn_after: int = 900
    refuse_after: int = 86_400

    def __post_init__(self) -> None:
        if not 0 < self.warn_after <= self.refuse_after:
            raise ValueError("0 < warn_after <= refuse_after must hold")

    def judge_age(self, age: int) -> Judgement:
        """An age equal to a limit has reached it."""
        if age >= self.refuse_after:
            return Judgement.REFUSE
        return Judgement.WARN if age >= self.warn_after else Judgement.USE


@dataclass(frozen=True, slots=True)
class StatusLimits(AgeLimits):
    """Seconds since a status list was issued from which it is warned about, and from which it is refused.

    Far less than those of keys: what a list does not know is who logged out since.
    """

    warn_after: int = 300
    refuse_after: int = 3600

    def judge(self, found: StatusList, now: int) -> Judgement:
        """By its age; and ``exp`` is a limit as well, whatever the age."""
        if found.expires_at is not None and now >= found.expires_at:
            return Judgement.REFUSE
        return self.judge_age(now - found.issued_at)


def _no_lists() -> Mapping[str, StatusList]:
    return MappingProxyType({})


@dataclass(frozen=True, slots=True)
class IssuerTrust:
    """The keys of one issuer as published at one moment.

    ``published_at`` is in seconds since the epoch; what counts as publication is the source's to say. A kid among
    ``revoked`` is withdrawn for ever, and goes before ``keys``. ``sequence`` numbers the sets of an issuer that counts
    them: a lower one is older. ``lists`` are its status lists, by URI, and ``status_limits`` those of their age.
    """

    issuer: str
    keys: Mapping[str, VerificationKey]
    published_at: int
    limits: AgeLimits = AgeLimits()
    skipped: tuple[SkippedKey, ...] = ()
    revoked: frozenset[str] = frozenset()
    sequence: int | None = None
    lists: Mapping[str, StatusList] = field(default_factory=_no_lists)
    status_limits: StatusLimits = StatusLimits()

    def judge_lists(self, now: int) -> Judgement:
        """What can be said at ``now`` of tokens that name a list: nothing without one that may be relied on.

        With one that may be and one that may not it is a warning: it is some tokens that get 503.
        """
        judged = {self.status_limits.judge(one, now) for one in self.lists.values()}
        if judged <= {Judgement.REFUSE}:
            return Judgement.REFUSE
        return Judgement.USE if judged == {Judgement.USE} else Judgement.WARN

    def age(self, now: int) -> int:
        """Seconds since publication. A publisher's clock that runs ahead gives 0, not a negative age."""
        return max(0, now - self.published_at)

    def judge(self, now: int) -> Judgement:
        """By their age. Without a key that is not withdrawn they are refused at any."""
        return Judgement.REFUSE if self.keys.keys() <= self.revoked else self.limits.judge_age(self.age(now))


def _nobody() -> Mapping[str, IssuerTrust]:
    return MappingProxyType({})


@dataclass(frozen=True, slots=True)
class TrustSnapshot:
    """All issuers at one moment, keyed so that a key is found by (issuer, kid) and never by kid alone.

    ``generation`` grows by one with each replacement of keys: a verdict on a signature remembered from generation N
    says nothing about N + 1. Status lists and ages change without it: they are asked at every request.
    """

    generation: int = 0
    issuers: Mapping[str, IssuerTrust] = field(default_factory=_nobody)

    def with_issuer(self, trust: IssuerTrust) -> "TrustSnapshot":
        """The next generation, in which this issuer's documents are replaced whole. A key left out is forgotten."""
        return TrustSnapshot(self.generation + 1, MappingProxyType({**self.issuers, trust.issuer: trust}))

    def usable(self, issuer: str, now: int) -> IssuerTrust:
        """The documents of an issuer, if they may still be relied on.

        Raises:
            TrustUnavailableError: none were ever read, they have reached their hard limit, or all are withdrawn.
        """
        trust = self.issuers.get(issuer)
        if trust is None:
            raise TrustUnavailableError("No keys of the issuer have been read yet", issuer=issuer)
        if trust.judge(now) is Judgement.REFUSE:
            withdrawn = trust.keys.keys() <= trust.revoked
            why = "have all been withdrawn" if withdrawn else "are older than their limit"
            raise TrustUnavailableError(f"The keys of the issuer {why}", issuer=issuer)
        return trust
