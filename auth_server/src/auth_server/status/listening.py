"""A connection that hears at once when the database has something to tell."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Any, Final

import asyncpg
import structlog

from auth_server.background import beside
from farseal.service.postgres import DatabaseUnavailable, database_errors

if TYPE_CHECKING:
    from farseal.environment import Secret

log = structlog.get_logger(__name__)

_RANDOM: Final = random.SystemRandom()

FIRST_PAUSE_SECONDS: Final = 0.25
LONGEST_PAUSE_SECONDS: Final = 10.0
"""Between two attempts to connect. Meanwhile, whoever listens looks by himself now and then."""

PROBE_SECONDS: Final = 15.0
"""How often the connection is tried: one that died without a word hears nothing, and nobody would know."""


@contextlib.asynccontextmanager
async def listening(dsn: "Secret", channel: str, notice: Callable[[], None], *, name: str) -> AsyncIterator[None]:
    """Call ``notice`` whenever something was said on ``channel``, and each time that the connection is there again:
    what was said meanwhile is lost. The connection is made anew until the block ends; its loss is told once.

    Args:
        dsn: PostgreSQL connection string.
        channel: a name of letters and underscores.
        notice: called in the event loop.
        name: ``application_name`` of the connection.
    """
    async with beside("listen", _listen_for_ever(dsn, channel, notice, name)):
        yield


async def _listen_for_ever(dsn: "Secret", channel: str, notice: Callable[[], None], name: str) -> None:
    pause, told = FIRST_PAUSE_SECONDS, False

    def heard() -> None:
        nonlocal pause, told
        if told:
            log.info("notices of the database are heard again", channel=channel)
        pause, told = FIRST_PAUSE_SECONDS, False
        notice()

    while True:
        try:
            with database_errors():
                await _listen(dsn, channel, notice, heard, name)
            reason = "the connection was lost"
        except DatabaseUnavailable as error:
            reason = str(error.detail)
        except Exception as error:  # noqa: BLE001 - whatever it is, the next attempt is made and this one told
            reason = type(error).__name__
        if not told:
            log.warning("notices of the database are not heard", channel=channel, reason=reason)
            told = True
        await asyncio.sleep(pause * _RANDOM.uniform(0.8, 1.2))
        pause = min(2 * pause, LONGEST_PAUSE_SECONDS)


async def _listen(
    dsn: "Secret", channel: str, notice: Callable[[], None], heard: Callable[[], None], name: str
) -> None:
    """Until the connection is lost."""
    conn = await asyncpg.connect(
        dsn.reveal(), timeout=5.0, command_timeout=5.0, server_settings={"application_name": name}
    )
    lost = asyncio.Event()

    def on_notice(*_: Any) -> None:
        notice()

    try:
        conn.add_termination_listener(lambda _: lost.set())
        await conn.add_listener(channel, on_notice)
        heard()
        while not lost.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(PROBE_SECONDS):
                    await lost.wait()
            if not lost.is_set():
                await conn.fetchval("SELECT 1")
    finally:
        conn.terminate()
