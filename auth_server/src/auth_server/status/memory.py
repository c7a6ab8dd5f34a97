"""The lists in memory: their bits as the database has them, and the documents that say so."""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeVar

from auth_server.gate import Gate
from auth_server.publication.publisher import HEARTBEAT_SECONDS
from auth_server.publication.refresher import Served
from auth_server.status.bits import Bits
from auth_server.status.documents import ListDocument, encoded, list_document, list_payload
from auth_server.storage import status_lists
from farseal.vocabulary import STATUS_LIST_TYPE

if TYPE_CHECKING:
    from auth_server.keys.custody import SigningKey
    from auth_server.keys.signer import Signer
    from auth_server.status.documents import ListTerms
    from auth_server.storage.connection import Connection
    from auth_server.storage.status_lists import StoredList

T = TypeVar("T")

AT_ONCE: Final = 2
"""Lists that are built and signed at once, in threads of their own: no token waits behind them."""


@dataclass(slots=True)
class _Held:
    """One list. ``snapshot`` is what was encoded last, as of version ``encoded``, and ``lst`` what came of it.

    ``changed``: the document says less than the bits.
    """

    bits: Bits
    fallen: bool = False
    changed: bool = True
    encoded: int = 0
    snapshot: bytes = b""
    lst: str = ""
    served: Served | None = None
    document: ListDocument | None = None


class ListMemory:
    """Reads and signs the lists; close it when the service ends.

    What a list says of its own age is a multiple of the heartbeat: replicas that know the same sign the same bytes, and
    a verifier behind a load balancer is not told of a change at every look.

    A version that falls means that the database was restored from a backup. Such a list is not signed any more, so that
    it ages; when its version has passed the one in memory it is read from the beginning, and what was set stays set.

    Args:
        signer: with threads of its own.
        terms: of all lists.
    """

    def __init__(self, signer: "Signer", *, terms: "ListTerms") -> None:
        self._signer = signer
        self._terms = terms
        self._heartbeat = max(1, min(HEARTBEAT_SECONDS, terms.life // 4))
        self._gate = Gate("status", threads=AT_ONCE, waiting=2 * AT_ONCE)
        self._at_once = asyncio.Semaphore(AT_ONCE)
        self._held: dict[str, _Held] = {}

    @property
    def documents(self) -> tuple[ListDocument, ...]:
        """As they were signed last, in the order of the ids."""
        return tuple(held.document for _, held in sorted(self._held.items()) if held.document is not None)

    @property
    def served(self) -> Mapping[str, Served]:
        """The same by id, with the moment at which the database confirmed each."""
        return {list_id: held.served for list_id, held in self._held.items() if held.served is not None}

    @property
    def fallen(self) -> frozenset[str]:
        """The lists whose version has fallen."""
        return frozenset(list_id for list_id, held in self._held.items() if held.fallen)

    @property
    def revoked(self) -> int:
        """How many entries are set."""
        return sum(held.bits.revoked for held in self._held.values())

    async def read(self, conn: "Connection", stored: "Iterable[StoredList]") -> frozenset[str]:
        """Take over what has changed; gives the lists that are no more.

        Raises:
            IndexError: a revocation lies outside of its list.
        """
        known = set()
        for one in stored:
            known.add(one.id)
            held = self._held.setdefault(one.id, _Held(Bits(one.size)))
            if one.version < held.bits.version:
                held.fallen = True
            elif held.fallen or one.version > held.bits.version:
                await self._catch_up(conn, one, held)
        gone = frozenset(self._held.keys() - known)
        for list_id in gone:
            del self._held[list_id]
        return gone

    async def renew(self, key: "SigningKey", *, now: int) -> None:
        """Sign what has changed, what has another key, and what is of another heartbeat. A clock that was set back is
        another heartbeat too.

        Args:
            key: the active one.
            now: a moment before the database was read, in seconds since the epoch.
        """
        issued_at = now - now % self._heartbeat
        due = [
            self._renew_one(list_id, held, key, issued_at, now)
            for list_id, held in self._held.items()
            if not held.fallen and not _says(held, key.kid, issued_at)
        ]
        for outcome in await asyncio.gather(*due, return_exceptions=True):
            if outcome is not None:
                raise outcome

    async def close(self) -> None:
        """Let the threads go."""
        await asyncio.to_thread(self._gate.close)

    async def _catch_up(self, conn: "Connection", one: "StoredList", held: _Held) -> None:
        above = 0 if held.fallen else held.bits.version
        packed = await status_lists.revoked(conn, one.id, one.size, above=above, up_to=one.version)
        held.changed = True
        await self._in_thread(lambda: held.bits.take_over(packed, version=one.version))
        if held.fallen:
            held.fallen, held.encoded = False, 0

    async def _renew_one(self, list_id: str, held: _Held, key: "SigningKey", issued_at: int, now: int) -> None:
        version = held.bits.version

        def payload() -> bytes:
            if held.encoded != version:
                held.snapshot = bytes(held.bits.data)
                held.lst, held.encoded = encoded(held.snapshot), version
            return list_payload(self._terms, list_id, lst=held.lst, version=version, issued_at=issued_at)

        def document(token: str) -> ListDocument:
            return list_document(token, list_id, version=version, issued_at=issued_at, kid=key.kid, bits=held.snapshot)

        async with self._at_once:
            token = await self._signer.sign(await self._in_thread(payload), key, token_type=STATUS_LIST_TYPE)
            held.document = signed = await self._in_thread(lambda: document(token))
        held.changed = False
        held.served = Served(signed, now) if held.served is None else held.served.renewed(signed, now=now)

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await self._gate.run(work)


def _says(held: _Held, kid: str, issued_at: int) -> bool:
    """Whether the document says what is held, by this key and of this moment."""
    if held.changed or held.document is None:
        return False
    return (held.document.kid, held.document.issued_at) == (kid, issued_at)
