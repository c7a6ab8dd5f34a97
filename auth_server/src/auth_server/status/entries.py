"""Gives out entries from memory, a block at a time from the database."""

import asyncio
from collections import deque
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from auth_server.status.documents import list_uri
from auth_server.status.entry import StatusEntry
from auth_server.status.permutation import index_at
from auth_server.storage import status_lists
from farseal.clock import uptime
from farseal.problems import ProblemError
from farseal.service.postgres import RETRY_AFTER_SECONDS, database_errors

if TYPE_CHECKING:
    from auth_server.storage.connection import Pool
    from auth_server.storage.status_lists import Block

BLOCK: Final = 32
"""Entries that are taken at once: a login costs a thirty-second of an UPDATE of a row that all replicas share, and a
process that is killed loses that many of a million."""

KEEP_SECONDS: Final = 1800
"""How long entries may lie in memory without a look at the database. Past it their list may be gone: one is retired an
hour after it was closed, at the earliest."""


class NoListOpen(ProblemError):  # noqa: N818 - a state of the world, as DatabaseUnavailable is
    """No list is published yet that has entries left: nobody could tell the end of a session. 503, Retry-After."""

    def __init__(self) -> None:
        super().__init__(
            503,
            "status_lists_unavailable",
            "no status list is published that has room",
            {"Retry-After": str(RETRY_AFTER_SECONDS)},
        )


@dataclass(frozen=True, slots=True)
class _Held:
    block: "Block"
    position: int


class EntryPool:
    """See `Entries`. An entry leaves memory before it is handed over: who is cancelled loses it, nobody gets it again.

    Args:
        pool: of the database.
        issuer: the configured string.
        monotonic: seconds of a clock that is never set, and goes on while the machine sleeps.
    """

    def __init__(
        self,
        pool: "Pool",
        *,
        issuer: str,
        monotonic: Callable[[], float] = uptime,
    ) -> None:
        self._pool = pool
        self._issuer = issuer
        self._monotonic = monotonic
        self._held: deque[_Held] = deque()
        self._filling: asyncio.Task[None] | None = None
        self._seen = monotonic()
        self._barred: frozenset[str] = frozenset()
        self.wanted: Callable[[], None] | None = None
        """Called when no list is open."""

    @property
    def held(self) -> int:
        """How many lie ready."""
        return len(self._held)

    def uri(self, list_id: str) -> str:
        """The address of a list."""
        return list_uri(self._issuer, list_id)

    async def take(self) -> StatusEntry:
        """An entry that nobody has, of a list that is published.

        Raises:
            NoListOpen: 503, no list has room.
            DatabaseUnavailable: 503.
        """
        while True:
            if self._monotonic() - self._seen > KEEP_SECONDS:
                self._held.clear()
            if self._held:
                held = self._held.popleft()
                if len(self._held) < BLOCK // 2:
                    self._fill()
                index = index_at(held.position, size=held.block.size, key=held.block.permutation_key)
                return StatusEntry(held.block.list_id, index, self.uri(held.block.list_id))
            filling = self._fill()
            await asyncio.wait({filling})
            if not self._held and not filling.cancelled() and (error := filling.exception()) is not None:
                raise error

    def confirm(self, usable: Collection[str], *, barred: Collection[str]) -> None:
        """What a look at the database has found: entries of other lists than ``usable`` are thrown away.

        Args:
            usable: lists that may be given out from, those among them that were full lately.
            barred: lists of which none are to be taken.
        """
        self._seen, self._barred = self._monotonic(), frozenset(barred)
        known = set(usable) - self._barred
        if any(held.block.list_id not in known for held in self._held):
            self._held = deque(held for held in self._held if held.block.list_id in known)

    async def close(self) -> None:
        """Wait for what is being taken."""
        if self._filling is not None:
            self._filling.cancel()
            await asyncio.wait({self._filling})

    def _fill(self) -> "asyncio.Task[None]":
        """Take a block in the background, whoever waits for it; one at a time."""
        if self._filling is None:
            self._filling = asyncio.create_task(self._take_block(), name="status entries")
            self._filling.add_done_callback(self._filled)
        return self._filling

    def _filled(self, filling: "asyncio.Task[None]") -> None:
        self._filling = None
        if not filling.cancelled():
            filling.exception()  # whoever waits raises it; where nobody does, the next one to take tries again

    async def _take_block(self) -> None:
        with database_errors():
            async with self._pool.acquire() as conn:
                block = await status_lists.take(conn, BLOCK, without=self._barred)
        if block is None:
            if self.wanted is not None:
                self.wanted()
            raise NoListOpen
        if not self._held:
            self._seen = self._monotonic()
        self._held.extend(_Held(block, block.first + offset) for offset in range(block.count))
