"""Reports, computed from the claims of a token and from the notes that its holder may see. Nothing is stored."""

from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from farseal.clock import at
from farseal.web import Principal

ORG_CLAIM: Final = "org_id"

LATEST_NOTES: Final = 5
"""Notes named in a personal report."""

TOP_AUTHORS: Final = 10
"""Authors named in a report about an organisation."""


@dataclass(frozen=True, slots=True)
class SeenNote:
    """What the notes service tells of a note in its list."""

    id: str
    owner: str
    org_id: str | None
    title: str
    characters: int
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class SeenNotes:
    """The notes the caller may see, newest first."""

    notes: tuple[SeenNote, ...]
    truncated: bool
    """There are more than this service was willing to read: every figure is a lower bound."""


@dataclass(frozen=True, slots=True)
class LatestNote:
    id: str
    title: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class NoteFigures:
    count: int
    characters: int
    truncated: bool
    latest: tuple[LatestNote, ...]


@dataclass(frozen=True, slots=True)
class PersonalReport:
    """Who the caller is, as the token says, and what it has written."""

    subject: str
    client_id: str
    org_id: str | None
    scopes: tuple[str, ...]
    roles: tuple[str, ...]
    token_expires_at: datetime
    notes: NoteFigures


@dataclass(frozen=True, slots=True)
class Author:
    owner: str
    notes: int


@dataclass(frozen=True, slots=True)
class OrgReport:
    """The figures of an organisation, as far as the caller may see its notes."""

    org_id: str
    notes: int
    authors: int
    characters: int
    first_created_at: datetime | None
    last_updated_at: datetime | None
    truncated: bool
    top_authors: tuple[Author, ...]


def organisation_of(principal: Principal) -> str | None:
    """The caller's organisation; a claim that is no text names none."""
    org_id = principal.claims.extra.get(ORG_CLAIM)
    return org_id if isinstance(org_id, str) and org_id else None


def personal_report(principal: Principal, seen: SeenNotes) -> PersonalReport:
    """Report on the caller. ``seen`` holds notes of the caller's own only."""
    return PersonalReport(
        subject=principal.id,
        client_id=principal.client_id,
        org_id=organisation_of(principal),
        scopes=tuple(sorted(principal.scopes)),
        roles=tuple(sorted(principal.roles)),
        token_expires_at=at(principal.claims.expires_at),
        notes=NoteFigures(
            count=len(seen.notes),
            characters=sum(note.characters for note in seen.notes),
            truncated=seen.truncated,
            latest=tuple(LatestNote(note.id, note.title, note.created_at) for note in seen.notes[:LATEST_NOTES]),
        ),
    )


def org_report(org_id: str, seen: SeenNotes) -> OrgReport:
    """Report on an organisation.

    The caller may also see notes of its own that belong to no organisation, or to one it has left: not counted.
    Authors with as many notes as each other are listed by their subject, so that one state gives one report.
    """
    notes = [note for note in seen.notes if note.org_id == org_id]
    written = Counter(note.owner for note in notes)
    ranked = sorted(written.items(), key=lambda entry: (-entry[1], entry[0]))
    return OrgReport(
        org_id=org_id,
        notes=len(notes),
        authors=len(written),
        characters=sum(note.characters for note in notes),
        first_created_at=min((note.created_at for note in notes), default=None),
        last_updated_at=max((note.updated_at for note in notes), default=None),
        truncated=seen.truncated,
        top_authors=tuple(Author(owner, count) for owner, count in ranked[:TOP_AUTHORS]),
    )
