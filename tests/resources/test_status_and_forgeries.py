"""Both services with an issuer whose tokens name a status list, as the real one's do: what is refused, and as what."""

import asyncio
import uuid

import pytest

from farseal_testing.forge import Forgery
from farseal_testing.issuer import Issuer
from tests.resources.stack import Service, notes_service, reports_service
from tests.support.tokens import NOTES, REPORTS

SCOPE = "notes:read notes:write reports:read"


@pytest.fixture
async def notes(database_url: str, farseal_issuer: Issuer):
    async with notes_service(database_url, farseal_issuer.trust(NOTES)) as service:
        yield service


@pytest.fixture
async def reports(notes: Service, farseal_issuer: Issuer):
    async with reports_service(notes.url, farseal_issuer.trust(REPORTS)) as service:
        yield service


def token_of(issuer: Issuer, **changes) -> str:
    return issuer.mint([NOTES, REPORTS], **({"scope": SCOPE, "sub": str(uuid.uuid4()), "org_id": "acme"} | changes))


async def both(notes: Service, reports: Service, token: str) -> list[tuple[int, str | None]]:
    """What each of them answers: status, and code where it refuses."""
    answers = [await notes.ask("GET", "/notes", token), await reports.ask("GET", "/reports/mine", token)]
    return [(answer.status, None if answer.status == 200 else answer.code) for answer in answers]


async def test_no_forgery_is_taken(notes, reports, farseal_issuer, farseal_forgery: Forgery) -> None:
    token = token_of(farseal_issuer)
    assert await both(notes, reports, token) == [(200, None)] * 2
    forged = farseal_issuer.forged(farseal_forgery, token)
    assert await both(notes, reports, forged) == [(401, farseal_forgery.code)] * 2


async def test_a_session_that_ended_is_refused_and_another_one_is_not(notes, reports, farseal_issuer) -> None:
    ended, living = token_of(farseal_issuer), token_of(farseal_issuer)
    assert await both(notes, reports, ended) == [(200, None)] * 2
    farseal_issuer.revoke(ended)
    async with asyncio.timeout(10):
        while await both(notes, reports, ended) != [(401, "token_revoked")] * 2:  # noqa: ASYNC110 - of the outside
            await asyncio.sleep(0.05)
    assert await both(notes, reports, living) == [(200, None)] * 2


async def test_a_rotation_fails_nobody(notes, reports, farseal_issuer) -> None:
    old = token_of(farseal_issuer)
    kid = farseal_issuer.announce()
    async with asyncio.timeout(10):
        while await both(notes, reports, token_of(farseal_issuer, kid=kid)) != [(200, None)] * 2:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    farseal_issuer.activate(kid)
    assert await both(notes, reports, token_of(farseal_issuer)) == [(200, None)] * 2
    assert await both(notes, reports, old) == [(200, None)] * 2
