"""The figures of a report, from claims and notes alone."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from farseal_testing.issuer import Issuer
from resource_b.reports import (
    LATEST_NOTES,
    TOP_AUTHORS,
    Author,
    SeenNote,
    SeenNotes,
    org_report,
    organisation_of,
    personal_report,
)
from tests.resources.people import principal_of, token_of


def note(number: int, owner: str = "alice", org_id: str | None = "acme") -> SeenNote:
    """A note of ``number`` characters, changed a minute after it was made."""
    made = datetime(2026, 11, 23, 10, number, tzinfo=UTC)
    return SeenNote(str(number), owner, org_id, f"note {number}", number, made, made.replace(second=30))


@pytest.fixture
def farseal_issuer(tmp_path: Path) -> Issuer:
    """With a clock that stands still."""
    return Issuer(tmp_path, now=lambda: 1_800_000_000)


def test_a_personal_report_says_who_and_what(issuer: Issuer) -> None:
    """Claims as they are, sorted where they are sets; of the notes the newest few by name, all by number."""
    seen = SeenNotes(tuple(note(n) for n in range(8, 0, -1)), truncated=False)
    report = personal_report(principal_of(token_of(issuer, sub="alice", roles=["org_admin", "analyst"])), seen)
    assert (report.subject, report.client_id, report.org_id) == ("alice", "login", "acme")
    assert report.scopes == ("notes:read", "notes:write", "reports:read")
    assert report.roles == ("analyst", "org_admin")
    assert int(report.token_expires_at.timestamp()) == 1_800_000_300
    assert (report.notes.count, report.notes.characters, report.notes.truncated) == (8, 36, False)
    assert [latest.id for latest in report.notes.latest] == ["8", "7", "6", "5", "4"]
    assert len(report.notes.latest) == LATEST_NOTES


def test_an_org_report_counts_the_organisation_alone() -> None:
    """Notes that the caller sees because they are its own, though of another organisation or none, are left out."""
    seen = SeenNotes(
        (note(5, "bob"), note(4), note(3, org_id=None), note(2, org_id="globex"), note(1, "bob")), truncated=True
    )
    report = org_report("acme", seen)
    assert (report.notes, report.authors, report.characters, report.truncated) == (3, 2, 10, True)
    assert report.top_authors == (Author("bob", 2), Author("alice", 1))
    assert report.first_created_at == note(1).created_at
    assert report.last_updated_at == note(5).updated_at


def test_an_organisation_without_notes() -> None:
    """Nothing is a figure too."""
    report = org_report("acme", SeenNotes((), truncated=False))
    assert (report.notes, report.authors, report.first_created_at, report.top_authors) == (0, 0, None, ())


def test_authors_that_tie_are_in_a_stable_order_and_bounded() -> None:
    """One state, one report, however many authors."""
    seen = SeenNotes(tuple(note(n, f"author-{n:02}") for n in range(20, 0, -1)), truncated=False)
    report = org_report("acme", seen)
    assert [author.owner for author in report.top_authors] == [f"author-{n:02}" for n in range(1, TOP_AUTHORS + 1)]
    assert report.authors == 20


def test_an_organisation_is_a_text(issuer: Issuer) -> None:
    """Whatever else the claim holds names none."""
    assert organisation_of(principal_of(token_of(issuer, org_id="acme"))) == "acme"
    for unfit in (None, "", 7, ["acme"]):
        assert organisation_of(principal_of(token_of(issuer, org_id=unfit))) is None
