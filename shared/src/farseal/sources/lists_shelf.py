"""The disk copies of one issuer's status lists and their index, kept in the background for a start without network.

Each list proves itself by its signature, and its copy is judged as what comes from the network is. The index is not
signed: whoever can write it as this user can leave lists out of it, and their tokens get 503.
"""

import asyncio
import hashlib
import logging
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from farseal.sources.document import MAX_DOCUMENT_BYTES
from farseal.sources.keeper import REMINDER_SECONDS
from farseal.sources.own_files import CopyError, put, remove, sweep, take
from farseal.sources.shelf import CLOSE_SECONDS, LOAD_SECONDS, RENEWAL_SECONDS
from farseal.status_index import parse_index
from farseal.status_list import MAX_LIST_TOKEN_BYTES, StatusList, StatusListError

MAX_LOADED_BYTES: Final = 64 << 20
"""Of all copies of one issuer, read at the start."""

_log = logging.getLogger("farseal")


def index_name(issuer: str) -> str:
    """Of the copy of an issuer's index."""
    return f"{_hash(issuer)}.status-lists"


def list_name(issuer: str, uri: str) -> str:
    """Of the copy of a list, bound to issuer and list."""
    return f"{_hash(issuer)}.{_hash(uri)}.status"


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Loaded:
    """Copies as they are on the disk, not judged yet.

    Args:
        documents: of lists, by URI.
        names: of all files of lists that are there.
        faults: of those that may not be used, by URI, in words.
    """

    documents: Mapping[str, bytes] = field(default_factory=dict)
    names: frozenset[str] = frozenset()
    faults: Mapping[str, str] = field(default_factory=dict)


def read_copies(directory: Path, issuer: str, now: int) -> Loaded:
    """The copies of an issuer's lists, of those that the copy of its index names. Blocks.

    Args:
        directory: of the copies.
        issuer: whose they are.
        now: seconds since the epoch.

    Raises:
        CopyError: the index is there, and must not be used.
    """
    sweep(directory, f"{_hash(issuer)}.*status*", now)
    names: frozenset[str] = frozenset()
    with suppress(OSError):
        names = frozenset(path.name for path in directory.glob(f"{_hash(issuer)}.*.status"))
    index = take(directory, index_name(issuer), MAX_DOCUMENT_BYTES)
    if index is None:
        return Loaded(names=names)
    try:
        uris = parse_index(index, issuer)
    except StatusListError as error:
        raise CopyError(str(error)) from None
    documents: dict[str, bytes] = {}
    faults: dict[str, str] = {}
    left = MAX_LOADED_BYTES
    for uri in uris:
        try:
            document = take(directory, list_name(issuer, uri), min(left, MAX_LIST_TOKEN_BYTES))
        except CopyError as error:
            faults[uri] = str(error)
            continue
        if document is not None:
            documents[uri] = document
            left -= len(document)
    return Loaded(documents, names, faults)


class ListShelf:
    """Writes what changed, one file at a time, lists before the index, and of each the newest only.

    Args:
        directory: of the copies; None keeps none.
        issuer: whose lists they are.
    """

    def __init__(self, directory: Path | None, issuer: str) -> None:
        self.failures = 0
        self._directory = directory
        self._issuer = issuer
        # A thread of its own: a disk that hangs holds up nothing else.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="farseal-source-disk")
        self._kept: dict[str, tuple[int | None, int]] = {}
        self._index: bytes | None = None
        self._names: frozenset[str] = frozenset()
        self._waiting: dict[str, bytes | None] = {}
        self._task: asyncio.Task[None] | None = None
        self._fault: tuple[str, float] = ("", 0.0)

    async def load(self, now: int) -> Mapping[str, bytes]:
        """The copies of lists, as far as they are read within `LOAD_SECONDS`; why one may not be used is logged.

        Args:
            now: seconds since the epoch.
        """
        if self._directory is None:
            return {}
        try:
            async with asyncio.timeout(LOAD_SECONDS):
                loaded = await asyncio.get_running_loop().run_in_executor(
                    self._thread, read_copies, self._directory, self._issuer, now
                )
        except TimeoutError:
            self._log_unused(f"the disk does not answer within {LOAD_SECONDS:g} s")
            return {}
        except CopyError as error:
            self._log_unused(str(error))
            return {}
        self._names = loaded.names
        for fault in sorted(set(loaded.faults.values())):
            self._log_unused(fault)
        return loaded.documents

    def keep(self, document: bytes, made: StatusList) -> None:
        """Write a list that is in force, unless the copy says as much and is hardly older."""
        if self._directory is None:
            return
        version, issued_at = self._kept.get(made.uri, (None, 0))
        if version is not None and version == made.version and made.issued_at - issued_at < RENEWAL_SECONDS:
            return
        self._kept[made.uri] = (made.version, made.issued_at)
        self._waiting[list_name(self._issuer, made.uri)] = document

    def keep_index(self, document: bytes, uris: Mapping[str, object]) -> None:
        """Begin to write what waits, and the index last; then remove the lists that it does not name."""
        if self._directory is None or (document == self._index and not self._waiting):
            return
        wanted = {list_name(self._issuer, uri) for uri in uris}
        self._kept = {uri: kept for uri, kept in self._kept.items() if uri in uris}
        if document != self._index:
            self._index = document
            self._waiting[index_name(self._issuer)] = document
        for name in (self._names | self._waiting.keys()) - wanted - {index_name(self._issuer)}:
            self._waiting[name] = None
        self._names = frozenset(wanted)
        if self._waiting and (self._task is None or self._task.done()):
            self._task = asyncio.create_task(self._work(self._directory), name="farseal-source-disk-lists")

    async def close(self) -> None:
        """Let what is being written come to its end, for a moment."""
        if self._task is not None:
            try:
                await asyncio.wait({self._task}, timeout=CLOSE_SECONDS)
            finally:
                self._task.cancel()

    def release(self) -> None:
        """Give the thread back."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def _work(self, directory: Path) -> None:
        while self._waiting:
            name = min(self._waiting, key=self._turn)
            content = self._waiting.pop(name)
            try:
                await asyncio.get_running_loop().run_in_executor(
                    self._thread, *((remove, directory, name) if content is None else (put, directory, name, content))
                )
            except CopyError as error:
                self.failures += 1
                self._waiting.setdefault(name, content)
                self._warn(str(error))
                # What waits is tried again after the next look.
                return
            except Exception:  # noqa: BLE001 - logged
                self.failures += 1
                _log.exception("the disk copies of the status lists of %s cannot be kept", self._issuer)

    def _turn(self, name: str) -> int:
        """Lists, the index, then what is removed: an index never names a list that is not there for a fault of ours."""
        if self._waiting[name] is None:
            return 2
        return int(name == index_name(self._issuer))

    def _warn(self, fault: str) -> None:
        known, reminded_at = self._fault
        if fault == known and time.monotonic() - reminded_at < REMINDER_SECONDS:
            return
        self._fault = (fault, time.monotonic())
        _log.warning("the disk copies of the status lists of %s cannot be kept: %s", self._issuer, fault)

    def _log_unused(self, fault: str) -> None:
        _log.warning("disk copies of the status lists of %s are not used: %s", self._issuer, fault)
