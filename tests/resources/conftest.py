"""The notes service on a database that the tests of a module share, and the reports service in front of it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from farseal.clock import now
from tests.resources.stack import Service, notes_service, reports_service, trust
from tests.support.tokens import NOTES, REPORTS, Issuer


@pytest.fixture
def issuer() -> Issuer:
    """An issuer of this moment."""
    return Issuer(now=now())


@pytest.fixture
def published(issuer: Issuer, tmp_path: Path) -> Path:
    """The directory of the issuer's published documents."""
    return issuer.publish(tmp_path / "published")


@pytest.fixture
async def notes(database_url: str, published: Path) -> AsyncIterator[Service]:
    """resource_a."""
    async with notes_service(database_url, trust(published, NOTES)) as service:
        yield service


@pytest.fixture
async def reports(notes: Service, published: Path) -> AsyncIterator[Service]:
    """resource_b, in front of `notes`."""
    async with reports_service(notes.url, trust(published, REPORTS)) as service:
        yield service
