"""Who asks, as far as notes care: whose notes the caller owns, and whose else it may read."""

from dataclasses import dataclass
from typing import Final

from farseal.web import Principal

ORG_ADMIN_ROLE: Final = "org_admin"
ORG_CLAIM: Final = "org_id"
READ_SCOPE: Final = "notes:read"

MAX_IDENTIFIER_CHARACTERS: Final = 255
"""Of ``sub`` and ``org_id``: what OpenID Connect Core section 2 allows a ``sub``, and small enough for an index."""


@dataclass(frozen=True, slots=True)
class Caller:
    """The owner of what it creates, and the reader of what it may see."""

    issuer: str
    subject: str
    org_id: str | None
    """The organisation that its new notes belong to."""
    reads_org: bool
    """Whether it reads the notes of that organisation beside its own. Without an ``org_id`` this changes nothing."""

    @property
    def readable_org(self) -> str | None:
        return self.org_id if self.reads_org else None


@dataclass(frozen=True, slots=True)
class UnusableClaims:
    """The token is good, but a note cannot belong to what it names."""

    claim: str
    fault: str


def caller_of(principal: Principal) -> Caller | UnusableClaims:
    """Read the caller out of verified claims.

    The role ``org_admin`` opens the organisation's notes for reading only, and only together with the scope
    ``notes:read``: a token that may merely write learns nothing about the notes of others, not even that they exist.

    An ``org_id`` that is present and unfit is refused rather than taken for none: a note stored without its
    organisation would stay hidden from those who are meant to see it, silently.
    """
    claims = principal.claims
    if fault := identifier_fault(claims.subject):
        return UnusableClaims("sub", fault)
    org_id = claims.extra.get(ORG_CLAIM)
    if org_id is not None and (fault := identifier_fault(org_id)):
        return UnusableClaims(ORG_CLAIM, fault)
    return Caller(
        issuer=claims.issuer,
        subject=claims.subject,
        org_id=org_id,
        reads_org=ORG_ADMIN_ROLE in principal.roles and READ_SCOPE in principal.scopes,
    )


def identifier_fault(value: object) -> str | None:
    """What keeps ``value`` from being an identifier that PostgreSQL can hold and index, or ``None``."""
    if not isinstance(value, str):
        return "must be a string"
    if not 1 <= len(value) <= MAX_IDENTIFIER_CHARACTERS:
        return f"must have 1 to {MAX_IDENTIFIER_CHARACTERS} characters"
    if "\0" in value:
        return "must not hold a NUL character"
    return None
