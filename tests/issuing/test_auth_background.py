"""Work that repeats: an error does not end it, the end of the service does."""

import asyncio

import pytest
from structlog.testing import capture_logs

from auth_server.background import repeating
from farseal.service.postgres import DatabaseUnavailable


@pytest.mark.parametrize(
    ("error", "told"),
    [
        pytest.param(ValueError("broken"), "background work failed", id="unforeseen"),
        pytest.param(DatabaseUnavailable(), "background work postponed", id="database-away"),
        pytest.param(ConnectionResetError(), "background work postponed", id="connection-lost"),
    ],
)
async def test_work_goes_on_after_an_error(error: Exception, told: str) -> None:
    """It is logged under its name and tried again."""
    done, again = 0, asyncio.Event()

    async def work() -> None:
        nonlocal done
        done += 1
        if done == 1:
            raise error
        again.set()

    with capture_logs() as logs:
        async with repeating("the work", work, every_seconds=0.001), asyncio.timeout(5):
            await again.wait()
    assert [(line["event"], line["work"]) for line in logs] == [(told, "the work")]


async def test_work_ends_with_its_block() -> None:
    """Nothing is done afterwards, not even what was under way."""
    begun, ended = asyncio.Event(), False

    async def work() -> None:
        nonlocal ended
        begun.set()
        await asyncio.sleep(0.2)
        ended = True

    async with repeating("the work", work, every_seconds=0.001), asyncio.timeout(5):
        await begun.wait()
    await asyncio.sleep(0.3)
    assert not ended
