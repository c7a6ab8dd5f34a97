"""Acts 5 and 6 are played where sessions are as they should be, and where one promise about them is broken."""

from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest

from demo.seed import PASSWORDS
from demo.services import Addresses
from demo.tour import logout, stolen, watched
from demo.tour.stage import Stage, StageError
from demo.tour.verdict import Verdict
from tests.support.ports import free_base
from tests.support.session_world import World, serving


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """The thief waits out a window of a quarter of a second."""
    monkeypatch.setattr(stolen, "AFTER_GRACE_SECONDS", 0.3)
    monkeypatch.setattr(watched, "PATIENCE_SECONDS", 2.0)
    monkeypatch.setattr(watched, "BEYOND_SECONDS", 0.2)


def world(**broken: Any) -> World:
    return World(**{"grace_seconds": 0.25} | broken)


async def played(act: Callable[[Stage], Awaitable[Any]], judge: Callable[[Any], Verdict], made: World) -> Verdict:
    addresses = Addresses(free_base(lambda port: Addresses(port).ports))
    async with serving(made, *(addresses.port + offset for offset in range(3))), aiohttp.ClientSession() as session:
        return judge(await act(Stage(SimpleNamespace(addresses=addresses, passwords=PASSWORDS), session)))


@pytest.mark.parametrize("act", [logout, stolen])
async def test_sessions_as_they_should_be(act) -> None:
    verdict = await played(act.play, act.judge, world())
    assert verdict.holds, verdict.faults
    assert "(bound 1 s), resource_b after" in verdict.figures
    assert "failures 0" in verdict.figures


@pytest.mark.parametrize(
    ("act", "broken", "fault"),
    [
        pytest.param(logout, {"news_seconds": 1.5}, "resource_a let a token in", id="the-news-is-late"),
        pytest.param(logout, {"news_seconds": 60}, "never refused", id="the-news-never-come"),
        pytest.param(logout, {"tells_an_outage": True}, "503 status_unavailable", id="an-end-is-told-as-an-outage"),
        pytest.param(stolen, {"forgives_for_ever": True}, "the thief was answered 200", id="the-thief-goes-on"),
        pytest.param(stolen, {"news_seconds": 60}, "never refused", id="the-thiefs-token-goes-on"),
        pytest.param(stolen, {"forgets_the_used": True}, "two tabs", id="the-second-tab-is-a-thief"),
    ],
)
async def test_a_broken_promise_is_seen(act, broken: dict[str, Any], fault: str) -> None:
    verdict = await played(act.play, act.judge, world(**broken))
    assert any(fault in line for line in verdict.faults), verdict.faults


@pytest.mark.parametrize("act", [logout, stolen])
async def test_tokens_that_were_never_good_prove_nothing(act) -> None:
    """The act cannot be played, which breaks its claim."""
    with pytest.raises(StageError, match="tokens are not answered"):
        await played(act.play, act.judge, world(refuses_the_living=True))
