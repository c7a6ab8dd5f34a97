"""Takes away what nobody needs any more: grants whose every token is dead, and lists that no grant names."""

import contextlib
from datetime import datetime
from typing import TYPE_CHECKING, Final

import asyncpg
import structlog

from auth_server.storage import status_lists
from farseal.clock import at
from farseal.service.postgres import database_errors

if TYPE_CHECKING:
    from auth_server.storage.connection import Pool
    from farseal.clock import Clock

log = structlog.get_logger(__name__)

EVERY_SECONDS: Final = 60
"""Between two clean-ups of one replica."""

BATCH: Final = 500
"""Grants that are deleted in one transaction: it takes milliseconds, and nobody waits for its locks."""

MOST_BATCHES: Final = 40
"""Of one clean-up: 20,000 a minute are more than come."""

MARGIN_SECONDS: Final = 3600
"""Beyond the longest life of a token, before a list is taken away. Far beyond the time for which servers keep entries
in memory, and enough for clocks that differ."""


class Upkeep:
    """Any replica may do it at any time: what another one has locked is passed over.

    A list is taken away when it was closed for longer than any token lives and no grant names it: no token that anybody
    would accept refers to it any more, whatever became of its grant.

    Args:
        pool: of the database.
        clock: seconds since the epoch.
        longest_token: seconds that an access token may live.
    """

    def __init__(self, pool: "Pool", *, clock: "Clock", longest_token: int) -> None:
        self._pool = pool
        self._clock = clock
        self._keep_seconds = longest_token + MARGIN_SECONDS

    async def clean_up(self) -> None:
        """Once.

        Raises:
            DatabaseUnavailable: the database cannot be reached.
        """
        now, swept = self._clock(), 0
        with database_errors():
            for _ in range(MOST_BATCHES):
                async with self._pool.acquire() as conn:
                    found = await status_lists.sweep_grants(conn, now=at(now), limit=BATCH)
                swept += found
                if found < BATCH:
                    break
            retired = await self._retire(at(now - self._keep_seconds))
        if swept:
            log.info("sessions of which nothing matters any more deleted", count=swept)
        for list_id in retired:
            log.info("status list retired", list_id=list_id)

    async def _retire(self, closed_before: datetime) -> list[str]:
        retired: list[str] = []
        async with self._pool.acquire() as conn:
            with contextlib.suppress(asyncpg.ForeignKeyViolationError):  # a grant of one was made in this moment
                while (list_id := await status_lists.retire(conn, closed_before=closed_before)) is not None:
                    retired.append(list_id)
        return retired
