"""What one server answered while a session ended is held against the bound, to the request."""

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from demo.asking import REVOKED, Ending, Heard, Target, ending, keep_showing, targets_of
from demo.services import Addresses

ENDED, BOUND = 100.0, 1.0
Answers = Sequence[tuple[str, float, float]]
"""Kind, when it was sent, when the answer was there."""

GOOD_BEFORE: Answers = [("200", 99.0, 99.1), ("200", 99.8, 100.05)]


def heard(answers: Answers) -> Heard:
    seen = Heard()
    for kind, sent, came in answers:
        seen.note(kind, sent, came)
    return seen


def seen(answers: Answers) -> Ending:
    return ending([heard(answers)], BOUND, ENDED)


@pytest.mark.parametrize(
    ("answers", "late", "refused_after", "let_in_after"),
    [
        pytest.param([*GOOD_BEFORE, (REVOKED, 100.1, 100.2)], False, 0.2, 0.0, id="at-once"),
        pytest.param([*GOOD_BEFORE, ("200", 100.9, 101.3), (REVOKED, 101.4, 101.5)], False, 1.5, 0.9, id="in-time"),
        pytest.param(
            [*GOOD_BEFORE, ("200", 101.0, 101.1), (REVOKED, 101.2, 101.3)], False, 1.3, 1.0, id="the-boundary"
        ),
        pytest.param([*GOOD_BEFORE, ("200", 101.1, 101.2), (REVOKED, 101.3, 101.4)], True, 1.4, 1.1, id="too-late"),
        pytest.param(
            [*GOOD_BEFORE, ("401 upstream_token_refused", 101.1, 101.2), (REVOKED, 101.3, 101.4)],
            True,
            1.4,
            1.1,
            id="resource_b-let-it-in-and-resource_a-did-not",
        ),
        pytest.param([*GOOD_BEFORE, ("200", 100.5, 100.6)], True, None, 0.5, id="never-refused"),
        pytest.param([*GOOD_BEFORE, (REVOKED, 99.9, 99.95)], False, 0.0, 0.0, id="news-before-the-answer"),
    ],
)
def test_a_request_counts_from_when_it_was_sent_and_a_refusal_from_when_it_was_there(
    answers: Answers, late: bool, refused_after: float | None, let_in_after: float
) -> None:
    told = seen(answers)
    assert told.late is late
    assert told.refused_after == (None if refused_after is None else pytest.approx(refused_after))
    assert told.let_in_after == pytest.approx(let_in_after)
    assert told.let_in_before
    assert told.turned == 0


def test_a_server_that_changes_its_mind_is_seen() -> None:
    """A list that is rolled back. What was under way when the refusal came does not count."""
    answers = [*GOOD_BEFORE, ("200", 100.1, 100.4), (REVOKED, 100.2, 100.3)]
    assert seen([*answers, ("200", 100.25, 100.5)]).turned == 0
    assert seen([*answers, ("200", 100.35, 100.5)]).turned == 1


def test_what_is_neither_is_named() -> None:
    told = seen([*GOOD_BEFORE, ("503 status_unavailable", 100.1, 100.2), (REVOKED, 100.3, 100.4)])
    assert told.others == {"503 status_unavailable": 1}


def test_of_several_tokens_the_worst_counts() -> None:
    quick, slow = (
        [*GOOD_BEFORE, (REVOKED, 100.1, 100.2)],
        [*GOOD_BEFORE, ("200", 100.7, 100.8), (REVOKED, 100.9, 101.1)],
    )
    both = ending([heard(quick), heard(slow)], BOUND, ENDED)
    assert (both.refused_after, both.let_in_after) == (pytest.approx(1.1), pytest.approx(0.7))
    assert ending([heard(quick), heard(GOOD_BEFORE)], BOUND, ENDED).refused_after is None
    assert not ending([heard(quick), Heard()], BOUND, ENDED).let_in_before


@pytest.fixture
async def service() -> AsyncIterator[str]:
    """A server that learns of the end at its third request."""
    asked = 0

    async def get(_: web.Request) -> web.Response:
        nonlocal asked
        asked += 1
        return web.json_response({}) if asked < 3 else web.json_response({"code": "token_revoked"}, status=401)

    app = web.Application()
    app.router.add_get("/notes", get)
    async with TestServer(app) as server:
        yield f"http://127.0.0.1:{server.port}"


async def test_a_token_is_shown_until_that_is_enough(service: str) -> None:
    noted = Heard()
    showing = asyncio.create_task(keep_showing(Target("a", service, "/notes", 1.0), "token", noted, pause=0.001))
    async with asyncio.timeout(10):
        while noted.refused < 3:  # noqa: ASYNC110  # counts are no event
            await asyncio.sleep(0.01)
    showing.cancel()
    assert noted.let_in == 2
    assert not noted.others
    assert noted.last_let_in is not None
    assert noted.first_refused is not None
    assert noted.last_let_in < noted.first_refused


def test_each_server_has_the_bound_of_its_way() -> None:
    """A folder 1 s, a poll one ttl more."""
    assert [(target.name, target.bound) for target in targets_of(Addresses(9000))] == [
        ("resource_a", 1.0),
        ("resource_b", 2.0),
    ]
    assert [target.bound for target in targets_of(Addresses(9000), 5)] == [1.0, 6.0]
