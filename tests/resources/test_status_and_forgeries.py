"""Both services with an issuer that ends sessions, rotates and is imitated: what is refused, and as what."""

import asyncio

from farseal_testing.forge import Forgery
from tests.resources.people import token_of
from tests.resources.stack import Service


async def both(notes: Service, reports: Service, token: str) -> list[tuple[int, str | None]]:
    """What each of them answers: status, and code where it refuses."""
    answers = [await notes.ask("GET", "/notes", token), await reports.ask("GET", "/reports/mine", token)]
    return [(answer.status, None if answer.status == 200 else answer.code) for answer in answers]


async def test_no_forgery_is_taken(notes, reports, issuer, farseal_forgery: Forgery) -> None:
    token = token_of(issuer)
    assert await both(notes, reports, token) == [(200, None)] * 2
    forged = issuer.forged(farseal_forgery, token)
    assert await both(notes, reports, forged) == [(401, farseal_forgery.code)] * 2


async def test_a_session_that_ended_is_refused_and_another_one_is_not(notes, reports, issuer) -> None:
    ended, living = token_of(issuer), token_of(issuer)
    assert await both(notes, reports, ended) == [(200, None)] * 2
    issuer.revoke(ended)
    async with asyncio.timeout(10):
        while await both(notes, reports, ended) != [(401, "token_revoked")] * 2:  # noqa: ASYNC110 - of the outside
            await asyncio.sleep(0.05)
    assert await both(notes, reports, living) == [(200, None)] * 2


async def test_a_token_that_names_no_list_is_refused(notes, reports, issuer) -> None:
    assert await both(notes, reports, token_of(issuer, status=None)) == [(401, "status_missing")] * 2


async def test_a_rotation_fails_nobody(notes, reports, issuer) -> None:
    old = token_of(issuer)
    kid = issuer.announce()
    async with asyncio.timeout(10):
        while await both(notes, reports, token_of(issuer, kid=kid)) != [(200, None)] * 2:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    issuer.activate(kid)
    assert await both(notes, reports, token_of(issuer)) == [(200, None)] * 2
    assert await both(notes, reports, old) == [(200, None)] * 2
