"""Everything about status lists, put together: what gives out entries, what publishes, what listens, what cleans up."""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from auth_server.background import beside, repeating
from auth_server.keys.signer import Signer
from auth_server.status import upkeep
from auth_server.status.directory import StatusDirectory
from auth_server.status.documents import ListTerms
from auth_server.status.entries import EntryPool
from auth_server.status.listening import listening
from auth_server.status.memory import AT_ONCE, ListMemory
from auth_server.status.publication import StatusLists
from auth_server.storage.status_lists import CHANNEL

if TYPE_CHECKING:
    from auth_server.metrics import AuthMetrics
    from auth_server.publication.refresher import Refresher
    from auth_server.settings import AuthServerSettings
    from auth_server.storage.connection import Pool
    from farseal.clock import Clock

LISTENER: Final = "auth_server listener"
"""Name of the connection that hears of changes, as operators see it."""

_MARGIN_SECONDS: Final = 2
"""For a cache of a second on the way, and for a second that a clock rounds away."""


@dataclass(frozen=True, slots=True)
class Revoking:
    """What others need of it."""

    lists: StatusLists
    entries: EntryPool


def lead_seconds(ttl: int) -> int:
    """From the publication of a list to its first use: two rounds of the slowest verifier, in which one may fail."""
    return 2 * (ttl + 1) + _MARGIN_SECONDS


@contextlib.asynccontextmanager
async def revoking(
    settings: "AuthServerSettings",
    pool: "Pool",
    refresher: "Refresher",
    signer: Signer,
    *,
    clock: "Clock",
    metrics: "AuthMetrics",
) -> AsyncIterator[Revoking]:
    """Started: the lists are read, signed and published, and the first one is open unless its publication fails.

    Args:
        settings: of the server.
        pool: of the database.
        refresher: started; gives the key that signs.
        signer: of the tokens; the signatures of lists are counted with its own.
        clock: seconds since the epoch.
        metrics: of the server.

    Raises:
        DatabaseUnavailable: the database cannot be reached.
    """
    terms = ListTerms(settings.issuer, life=settings.list_seconds, ttl=settings.status_ttl_seconds)
    list_signer = Signer("sign lists", threads=AT_ONCE, counts=signer.counts)
    async with contextlib.AsyncExitStack() as stack:
        stack.callback(list_signer.close)
        memory = ListMemory(list_signer, terms=terms)
        stack.push_async_callback(memory.close)
        entries = EntryPool(pool, issuer=settings.issuer)
        stack.push_async_callback(entries.close)
        directory = None
        if settings.publish_directory is not None:
            directory = StatusDirectory(settings.publish_directory, issuer=settings.issuer)
            stack.push_async_callback(directory.close)
        lists = StatusLists(
            pool,
            memory,
            refresher.active_key,
            directory,
            entries,
            issuer=settings.issuer,
            size=settings.status_list_size,
            lead_seconds=lead_seconds(settings.status_ttl_seconds),
            every_seconds=settings.refresh_seconds,
            clock=clock,
            metrics=metrics,
        )
        await lists.start()
        await stack.enter_async_context(beside("status lists", lists.run()))
        await stack.enter_async_context(listening(settings.database_url, CHANNEL, lists.notice, name=LISTENER))
        cleaning = upkeep.Upkeep(pool, clock=clock, longest_token=settings.max_token_seconds)
        await stack.enter_async_context(repeating("clean-up", cleaning.clean_up, every_seconds=upkeep.EVERY_SECONDS))
        yield Revoking(lists, entries)
