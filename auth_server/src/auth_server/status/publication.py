"""Publishes the lists: reads what has changed, signs, serves, writes. One turn after the other."""

import asyncio
import contextlib
import random
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final

import structlog

from auth_server.publication.refresher import NothingPublished, Served
from auth_server.status.conflicts import conflicts
from auth_server.status.documents import index_document
from auth_server.status.room import lists_with_room
from auth_server.storage import status_lists
from farseal.problems import ProblemError
from farseal.service.postgres import DatabaseUnavailable, database_errors

if TYPE_CHECKING:
    from auth_server.keys.custody import SigningKey
    from auth_server.metrics import AuthMetrics
    from auth_server.status.directory import Ahead, StatusDirectory
    from auth_server.status.documents import ListDocument
    from auth_server.status.entries import EntryPool
    from auth_server.status.memory import ListMemory
    from auth_server.storage.connection import Pool
    from auth_server.storage.status_lists import StoredList
    from farseal.clock import Clock

log = structlog.get_logger(__name__)

GATHER_SECONDS: Final = 0.005
"""From the first notice to the look at the database: what ends together is published together."""

SPACING_SECONDS: Final = 0.05
"""From one turn to the next, at least: a storm of changes costs twenty publications a second and no more."""

LOOK_SECONDS: Final = 0.01
"""Between two looks of who waits for a turn."""

PATIENCE_SECONDS: Final = 0.25
"""How long a turn waits for its own write. A disk takes milliseconds; one that takes longer is left alone meanwhile."""

START_PATIENCE_SECONDS: Final = 2.0
"""The same for the first list: whoever started the server likes to log in."""

_RANDOM: Final = random.SystemRandom()


class StatusLists:
    """Keeps the published lists true, and makes new ones in time.

    A list is signed only right after the database was read, and says a moment before that: its age tells verifiers
    how old the knowledge is. While the database is away, or the keys are not confirmed, the lists age, and so they
    must.

    A list is open, that is, entries of it are given out, only when it has been published for long enough for every
    verifier to have it; a publication that fails holds that back.

    A list of which the directory, or this server's memory, knows more than the database is not served, and no entry of
    it is given out.

    Args:
        pool: of the database.
        memory: reads and signs.
        active_key: gives the key that signs now, or raises `ProblemError`.
        directory: where to write; None publishes over HTTP alone. It says when it has.
        entries: says when a list is wanted, and is told which lists may be given out from.
        issuer: the configured string.
        size: of new lists.
        lead_seconds: from the publication of a list to its opening.
        every_seconds: how often to look without being told.
        clock: seconds since the epoch.
        metrics: of the server.
    """

    def __init__(
        self,
        pool: "Pool",
        memory: "ListMemory",
        active_key: "Callable[[], SigningKey]",
        directory: "StatusDirectory | None",
        entries: "EntryPool",
        *,
        issuer: str,
        size: int,
        lead_seconds: int,
        every_seconds: float,
        clock: "Clock",
        metrics: "AuthMetrics",
    ) -> None:
        self._pool = pool
        self._memory = memory
        self._active_key = active_key
        self._directory = directory
        self._entries = entries
        self._issuer = issuer
        self._size = size
        self._lead_seconds = lead_seconds
        self._every_seconds = every_seconds
        self._clock = clock
        self._metrics = metrics
        self._wake = asyncio.Event()
        self._noticed: float | None = None
        self._stored: tuple[StoredList, ...] = ()
        self._conflicts: Mapping[str, str] = {}
        self._gone: frozenset[str] = frozenset()
        self._begun: tuple[ListDocument, ...] | None = None
        self._served: Mapping[str, Served] = {}
        self._index: Served | None = None
        self._failure: str | None = None
        self._told: str | None = None
        self._counted = 0
        entries.wanted = self.notice
        if directory is not None:
            directory.done = self.written

    @property
    def index(self) -> Served:
        """The document that names the lists.

        Raises:
            NothingPublished: there has been none since the start.
        """
        if self._index is None:
            raise NothingPublished
        return self._index

    def find(self, list_id: str) -> Served | None:
        """A list; None where there is none of this id.

        Raises:
            NothingPublished: verifiers hold a newer one than this server has.
        """
        if list_id in self._conflicts:
            raise NothingPublished
        return self._served.get(list_id)

    def notice(self) -> None:
        """Look soon: something has changed."""
        if self._noticed is None:
            self._noticed = time.monotonic()
        self._wake.set()

    def look_at_key(self) -> None:
        """Sign anew at once when another key has become the active one."""
        with contextlib.suppress(ProblemError):
            kid = self._active_key().kid
            if any(document.kid != kid for document in self._memory.documents):
                self._wake.set()

    async def renewed(self) -> None:
        """Publish all lists by the key that is active now, and wait for it: see `Refresher.go_on`. Lists that are held
        back are not waited for, nor any while nothing is signed."""
        self._begun = None  # whatever another replica has written since
        while not self._is_by_active_key():
            self._wake.set()
            await asyncio.sleep(LOOK_SECONDS)

    def _is_by_active_key(self) -> bool:
        try:
            kid = self._active_key().kid
        except ProblemError:
            return True
        documents = self._memory.documents
        current = [one for one in documents if one.list_id not in self._conflicts]
        served = {list_id: one.document.etag for list_id, one in self._served.items()}
        if any(one.kid != kid or served.get(one.list_id) != one.etag for one in current):
            return False
        if self._directory is None or not documents:
            return True
        return self._begun == documents and not self._directory.is_busy() and self._directory.failure is None

    def written(self) -> None:
        """The directory has been written to: what waited for that goes on, and what it knows more of is looked at."""
        ahead = set() if self._directory is None else self._directory.written.ahead.keys() - self._conflicts.keys()
        if ahead or not all(one.published for one in self._stored) or self._begun != self._memory.documents:
            self._wake.set()

    async def start(self) -> None:
        """Make the first list if there is none, publish and open it. A publication that fails does not fail the start.

        Raises:
            DatabaseUnavailable: the database cannot be reached.
        """
        end = time.monotonic() + START_PATIENCE_SECONDS
        while True:
            await self._turn(patience=max(0.0, end - time.monotonic()))
            is_open = any(one.open for one in self._stored)
            opens_later = bool(self._stored) and all(one.published for one in self._stored)
            failed = self._failure is not None or (self._directory is not None and self._directory.failure is not None)
            if is_open or opens_later or failed or time.monotonic() >= end:
                break
            await asyncio.sleep(SPACING_SECONDS)
        self._tell()

    async def run(self) -> None:
        """Turn after turn, for ever."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._every_seconds * _RANDOM.uniform(0.8, 1.2)):
                    await self._wake.wait()
            await asyncio.sleep(GATHER_SECONDS)
            began = time.monotonic()
            await self.turn()
            await asyncio.sleep(max(0.0, began + SPACING_SECONDS - time.monotonic()))

    async def turn(self) -> None:
        """Look once, and publish what has changed. What fails is told, counted and leaves everything as it was."""
        self._wake.clear()
        try:
            await self._turn(patience=PATIENCE_SECONDS)
        except DatabaseUnavailable as error:
            self._note(f"not read: {error.detail}")
        except Exception as error:
            reason = f"unexpected {type(error).__name__}"
            if reason != self._failure:
                log.exception("the status lists failed")
            self._note(reason)
        self._tell()

    async def check(self) -> str | None:
        """For readiness: why the published lists may not say what the database says, or why nobody can log in."""
        found = [self._failure, *self._conflicts.values(), self._directory.problem if self._directory else None]
        if self._index is not None and not any(one.open for one in self._stored):
            until = " when the entries in memory are used up" if self._entries.held else ""
            found.append(f"no status list is open yet: nobody can log in{until}")
        return "; ".join(dict.fromkeys(reason for reason in found if reason)) or None

    async def _turn(self, *, patience: float) -> None:
        noticed, self._noticed = self._noticed, None
        # From before the look: what another replica has written by then is in the database too.
        ahead = {} if self._directory is None else self._directory.written.ahead
        now = self._clock()
        with database_errors():
            async with self._pool.acquire() as conn:
                stored = await lists_with_room(conn, size=self._size)
                self._gone |= await self._memory.read(conn, stored)
        self._stored = stored
        self._conflicts = self._judge(ahead, looked_since=True)
        self._entries.confirm([one.id for one in stored if one.usable], barred=self._conflicts)
        try:
            key = self._active_key()
        except ProblemError as error:
            self._note(f"not signed: {error.detail}")
            return
        await self._memory.renew(key, now=now)
        self._serve(ahead, now)
        await self._write(now, patience)
        if self._directory is not None:
            self._conflicts = self._judge(self._directory.written.ahead, looked_since=False)
        self._failure = None
        if noticed is not None:
            self._metrics.status_seconds.observe(time.monotonic() - noticed)
        await self._confirm()

    def _judge(self, ahead: "Mapping[str, Ahead]", *, looked_since: bool) -> Mapping[str, str]:
        return conflicts(
            self._stored, ahead, fallen=self._memory.fallen, before=self._conflicts, looked_since=looked_since
        )

    def _serve(self, ahead: "Mapping[str, Ahead]", now: int) -> None:
        """Take over what was signed. A list that is held back keeps the name that verifiers know it by."""
        self._served = self._memory.served
        if not self._served:
            return  # another replica is making the first one
        digests = {document.list_id: document.digest for document in self._memory.documents}
        digests |= {list_id: one.digest for list_id, one in ahead.items() if list_id in self._conflicts}
        index = index_document(self._issuer, digests)
        self._index = Served(index, now) if self._index is None else self._index.renewed(index, now=now)

    async def _write(self, now: int, patience: float) -> None:
        if self._directory is None:
            self._gone = frozenset()
            return
        if self._directory.is_busy():
            return  # `written` comes back to it
        documents = self._memory.documents
        if not documents:
            return
        if documents == self._begun and not self._gone and self._directory.failure is None:
            return
        self._begun, removed = documents, self._gone
        self._directory.begin(documents, gone=removed, now=now)
        await self._directory.wait(patience)
        if not self._directory.is_busy() and self._directory.failure is None:
            self._gone -= removed

    async def _confirm(self) -> None:
        """Note that lists are published. Where there is no directory, they are as soon as they are in memory."""
        waiting = {one.id for one in self._stored if not one.published}
        if self._directory is None:
            waiting &= self._served.keys()
        elif self._directory.is_busy() or self._directory.problem is not None:
            return
        else:
            waiting &= self._directory.written.lists
        if waiting:
            with database_errors():
                async with self._pool.acquire() as conn:
                    await status_lists.confirm(conn, sorted(waiting), lead_seconds=self._lead_seconds)
            self._wake.set()

    def _note(self, reason: str) -> None:
        self._metrics.status_failures.inc()
        self._failure = reason

    def _tell(self) -> None:
        """Log what changed, and set the figures."""
        self._metrics.status_lists.set(len(self._served))
        self._metrics.status_revocations.set(self._memory.revoked)
        self._metrics.status_entries_left.set(sum(one.left for one in self._stored if one.open))
        problems = [self._failure, *self._conflicts.values()]
        if self._directory is not None:
            problems.append(self._directory.failure)
            self._metrics.status_failures.inc(self._directory.failures - self._counted)
            self._counted = self._directory.failures
        problem = "; ".join(reason for reason in problems if reason) or None
        if problem is not None and problem != self._told:
            log.error("status lists are not published as they should be", reason=problem)
        elif problem is None and self._told is not None:
            log.info("status lists are published again")
        self._told = problem
