"""People come, refresh and go; a replica that dies costs them nothing, and a refusal of the living is seen."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable

import pytest

from demo.asking import REVOKED, Target
from soak import people as module
from soak.people import People
from tests.support.session_world import World, serving

USE_SECONDS = 1.0


@contextlib.asynccontextmanager
async def living_in(world: World) -> AsyncIterator[Callable[[Callable[[People], bool]], "asyncio.Future[None]"]]:
    async with serving(world) as (url,):
        people = People([url], [Target("resource_a", url, "/notes", 1.0)], lives=3, use_seconds=USE_SECONDS)
        tasks = [asyncio.ensure_future(work) for work in people.work()]

        async def until(holds: Callable[[People], bool]) -> None:
            async with asyncio.timeout(20):
                while not holds(people):
                    for task in tasks:
                        assert not task.done(), task.exception()
                    await asyncio.sleep(0.02)

        try:
            yield lambda holds: asyncio.ensure_future(until(holds))
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for a password here."""
    monkeypatch.setattr(module, "ARRIVING_SECONDS", 0.1)


async def test_sessions_end_and_nobody_else_is_refused() -> None:
    async with living_in(World()) as until:
        seen: list[People] = []
        await until(lambda people: seen.append(people) or people.ledger.refused["resource_a"] >= 3)
        ledger = seen[-1].ledger
    assert not ledger.failures
    assert ledger.counts["logout"] >= 3
    assert ledger.counts["refresh"] >= 3
    assert not +ledger.late
    json.dumps(ledger.encoded())


async def test_a_lost_answer_is_asked_for_again() -> None:
    """The successor is given once more, and counted."""
    async with living_in(World(loses_answers=True)) as until:
        seen: list[People] = []
        await until(lambda people: seen.append(people) or people.ledger.counts["refresh after a lost answer"] >= 3)
    assert not seen[-1].ledger.failures


@pytest.mark.parametrize(
    ("world", "failure"),
    [
        pytest.param(World(refuses_the_living=True), ("resource_a", REVOKED), id="the-living-are-refused"),
        pytest.param(
            World(loses_answers=True, forgets_the_used=True),
            ("auth_server", "refresh: 400 invalid_grant"),
            id="a-retry-is-taken-for-a-replay",
        ),
    ],
)
async def test_a_broken_promise_is_seen(world: World, failure: tuple[str, str]) -> None:
    async with living_in(world) as until:
        await until(lambda people: people.ledger.failures[failure] > 0)
