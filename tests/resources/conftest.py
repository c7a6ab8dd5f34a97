"""The notes service on a database that the tests of a module share, and the reports service in front of it."""

from collections.abc import AsyncIterator

import pytest

from farseal_testing.issuer import Issuer
from tests.resources.people import NOTES, REPORTS
from tests.resources.stack import Service, notes_service, reports_service


@pytest.fixture
def issuer(farseal_issuer: Issuer) -> Issuer:
    """The one that farseal-testing gives to each test, by a shorter name."""
    return farseal_issuer


@pytest.fixture
async def notes(database_url: str, issuer: Issuer) -> AsyncIterator[Service]:
    """resource_a."""
    async with notes_service(database_url, issuer.trust(NOTES)) as service:
        yield service


@pytest.fixture
async def reports(notes: Service, issuer: Issuer) -> AsyncIterator[Service]:
    """resource_b, in front of `notes`."""
    async with reports_service(notes.url, issuer.trust(REPORTS)) as service:
        yield service
