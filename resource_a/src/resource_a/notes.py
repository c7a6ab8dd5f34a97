"""A note, the part of it that a list shows, and the answers that a change can get."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final
from uuid import UUID

MAX_TITLE_CHARACTERS: Final = 200
MAX_BODY_CHARACTERS: Final = 20_000
"""Both in Unicode code points, as Python and PostgreSQL count them; the same bounds stand in the table's CHECKs."""


@dataclass(frozen=True, slots=True)
class Note:
    """A note in one of its versions."""

    id: UUID
    owner: str
    """``sub`` of the token that created it, unique within its issuer."""
    org_id: str | None
    """The owner's organisation at that moment."""
    title: str
    body: str
    created_at: datetime
    updated_at: datetime
    version: int
    """1 at creation, one more with every change: the entity tag."""


@dataclass(frozen=True, slots=True)
class NoteSummary:
    """What a list shows of a note: all but the body, of which it tells the length.

    A page of a hundred bodies would be megabytes, and no reader of a list wants them.
    """

    id: UUID
    owner: str
    org_id: str | None
    title: str
    characters: int
    """Length of the body in code points."""
    created_at: datetime
    updated_at: datetime
    version: int


@dataclass(frozen=True, slots=True)
class Page:
    """Some notes, newest first, and where the next page begins: ``None`` when this was the last."""

    notes: tuple[NoteSummary, ...]
    next_position: int | None


class Refusal(StrEnum):
    """Why a note was not read or changed. Another person's note is not found: its existence is nobody's business."""

    NOT_FOUND = "note_not_found"
    NOT_OWNER = "not_owner"
    """The caller may read this note, and only its owner may change it."""
    STALE = "note_changed"
    """The note has another version than the caller believes."""
