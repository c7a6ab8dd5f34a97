"""Trust from a directory of published documents, watched: a volume, a synchronised folder, a Kubernetes ConfigMap.

A change is in force within a second, whichever way it came: a file renamed into place, a symbolic link swapped, the
directory itself replaced. File system events make it quick where there are any; a look every half second makes it
certain, because volumes shared between containers and network mounts often send none.

What is there replaces what is trusted only when it is whole and has at least one usable key. Anything else (a file half
written, emptied, broken, gone, unreadable, of another issuer, dated past the hard limit) leaves the last good set in
force, is logged and counted, and stays readable in `status`. The set kept so goes on ageing, and `AgeLimits` decide how
long that may go on.
"""

import asyncio
import hashlib
import logging
import os
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Final, Self

from watchfiles import awatch

from farseal.clock import Clock, now
from farseal.encoding import EncodingError, parse_json_object
from farseal.errors import FarsealError
from farseal.jwks import KeySet, KeySetError, parse_jwks
from farseal.sources.document import (
    Document,
    DocumentError,
    DocumentMissingError,
    Fingerprint,
    fingerprint,
    read_document,
    reason,
)
from farseal.sources.source import SourceStatus
from farseal.trust import AgeLimits, IssuerTrust, Judgement, TrustSnapshot
from farseal.vocabulary import ISSUER_METADATA_FILE, JWKS_FILE

POLL_SECONDS: Final = 0.5
"""Half of the second within which a change must be in force."""

SETTLED_SECONDS: Final = 2
"""A file changed this lately is read again although it looks the same: the clocks of file systems are coarse."""

REMINDER_SECONDS: Final = 60
"""A fault that stays is logged again this often, and no more."""

JUMP_SECONDS: Final = 60
"""Between two looks; a clock that gains or loses more was set, or its machine slept."""

_log = logging.getLogger("farseal")
_events_log = logging.getLogger("watchfiles.main")


class DirectoryRefusedError(FarsealError):
    """What the directory holds must not replace what is trusted."""


@dataclass(frozen=True, slots=True)
class _Look:
    """The directory from outside: nothing was read."""

    directory: tuple[int, int] | str
    jwks: Fingerprint | str
    metadata: Fingerprint | str

    def settled(self, at: int) -> bool:
        """Whether another look that equals this one means equal contents."""
        return all(
            isinstance(seen, str) or at - max(seen.modified_ns, seen.changed_ns) / 1e9 >= SETTLED_SECONDS
            for seen in (self.jwks, self.metadata)
        )


@dataclass(frozen=True, slots=True)
class _Found:
    """A set of documents that may replace what is trusted."""

    digest: bytes
    modified_at: int
    keys: KeySet | None
    """None when the digest is that of the set in force."""


@dataclass(slots=True)
class _Reading:
    look: _Look
    settled: bool
    found: _Found | None = None
    refusal: str | None = None


class DirectorySource:
    """Keeps a snapshot of the one issuer whose documents a directory carries.

    An async context manager, or `start` and `stop`. ``snapshot`` may be read from any thread at any time.

    Args:
        directory: holds ``jwks.json``, and ``oauth-authorization-server.json`` where the publisher writes it. It
            need not exist yet.
        issuer: whose documents they are. A metadata document that names another issuer condemns the whole directory.
        limits: of the age. A set counts as published when its ``jwks.json`` was last modified; once it was seen so
            dated, an older date on the same keys does not make them older. A file from the future counts from the
            moment it was found.
        clock: seconds since the epoch.
        poll_seconds: between two looks.
    """

    def __init__(
        self,
        directory: Path,
        issuer: str,
        limits: AgeLimits = AgeLimits(),  # noqa: B008 - frozen
        *,
        clock: Clock = now,
        poll_seconds: float = POLL_SECONDS,
    ) -> None:
        self.directory = directory
        self.issuer = issuer
        self.snapshot = TrustSnapshot()
        self._limits = limits
        self._clock = clock
        self._poll_seconds = poll_seconds
        self._wake = asyncio.Event()
        self._moved = asyncio.Event()
        self._tasks: tuple[asyncio.Task[None], ...] = ()
        # A thread of its own: the loop's are shared with whatever the application does in threads, and waits for it.
        self._reader: ThreadPoolExecutor | None = None
        self._last: _Reading | None = None
        self._digest = b""
        self._modified_at = 0
        self._loads = 0
        self._refused = 0
        self._reminded_at = 0.0
        self._clock_offset = 0.0

    async def start(self) -> None:
        """Read the directory once, then watch it.

        Raises:
            RuntimeError: it runs already.
        """
        if self._tasks:
            raise RuntimeError("the source runs already")
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="farseal-source")
        await self._refresh()
        self._tasks = (
            asyncio.create_task(self._poll(), name="farseal-source-poll"),
            asyncio.create_task(self._listen(), name="farseal-source-events"),
        )

    async def stop(self) -> None:
        """End the watching. The snapshot stays."""
        tasks, self._tasks = self._tasks, ()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._reader is not None:
            self._reader.shutdown(wait=False)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self.stop()

    def status(self) -> SourceStatus:
        """How it is doing, by the source's own clock."""
        at = self._clock()
        return SourceStatus(
            generation=self.snapshot.generation,
            loads=self._loads,
            refused=self._refused,
            refusal=None if self._last is None else self._last.refusal,
            ages=MappingProxyType({name: trust.age(at) for name, trust in self.snapshot.issuers.items()}),
        )

    async def _poll(self) -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._poll_seconds):
                    await self._wake.wait()
            self._wake.clear()
            try:
                await self._refresh()
            except Exception:  # noqa: BLE001 - logged below
                # The watch must outlive whatever this was: a source that died silently would age unnoticed.
                _log.exception("looking at %s failed", self.directory)

    async def _listen(self) -> None:
        """Turn file system events into early looks. Losing them costs promptness and nothing else."""
        if not _events_log.level:
            # One line for each publication would be a line a minute in every service, and tells nothing.
            _events_log.setLevel(logging.WARNING)
        while True:
            self._moved.clear()
            try:
                async for _ in awatch(
                    self.directory,
                    watch_filter=None,
                    recursive=False,
                    debounce=100,
                    step=20,
                    stop_event=self._moved,
                    ignore_permission_denied=True,
                ):
                    self._wake.set()
            except (OSError, RuntimeError) as error:
                _log.debug("no events from %s: %s", self.directory, type(error).__name__)
            await asyncio.sleep(self._poll_seconds)

    async def _refresh(self) -> None:
        self._follow_clock()
        before = self._last
        reading = await asyncio.get_running_loop().run_in_executor(
            self._reader, _read_directory, self.directory, self.issuer, self._clock(), before, self._digest
        )
        if reading is None:
            if before is not None and before.refusal is not None:
                self._warn(before.refusal, again=True)
            return
        self._last = reading
        if reading.found is not None and self._is_rollback(reading.found):
            reading.found, reading.refusal = None, f"{JWKS_FILE}: dated past the limit of {self._limits.refuse_after} s"
        if before is not None and before.look.directory != reading.look.directory:
            self._moved.set()
        if reading.refusal is not None:
            self._keep(reading, before)
        elif reading.found is not None:
            self._take(reading.found, recovered=before is not None and before.refusal is not None)

    def _keep(self, reading: _Reading, before: _Reading | None) -> None:
        refusal = reading.refusal or ""
        known = before is not None and before.refusal == refusal
        if not known or before is None or before.look != reading.look:
            self._refused += 1
        self._warn(refusal, again=known)

    def _take(self, found: _Found, *, recovered: bool) -> None:
        if recovered:
            _log.info("%s is usable again", self.directory)
        if found.keys is None:
            if found.modified_at != self._modified_at:
                self._modified_at = found.modified_at
                trust = self.snapshot.issuers[self.issuer]
                published_at = max(trust.published_at, min(found.modified_at, self._clock()))
                self._age(replace(trust, published_at=published_at))
            return
        self._digest, self._modified_at = found.digest, found.modified_at
        self._loads += 1
        self.snapshot = self.snapshot.with_issuer(
            IssuerTrust(
                issuer=self.issuer,
                keys=found.keys.keys,
                published_at=min(found.modified_at, self._clock()),
                limits=self._limits,
                skipped=found.keys.skipped,
            )
        )
        _log.info("generation %d: %d keys of %s", self.snapshot.generation, len(found.keys.keys), self.issuer)
        for skipped in found.keys.skipped:
            _log.warning(
                "key %d of %s (%r) is not used: %s", skipped.position, self.issuer, skipped.kid, skipped.reason
            )

    def _is_rollback(self, found: _Found) -> bool:
        """Whether other keys, too old to be used, would take the place of keys that are not.

        A backup laid back, or a copy that lost its dates, would otherwise turn good trust into an outage.
        """
        at = self._clock()
        trust = self.snapshot.issuers.get(self.issuer)
        return (
            found.keys is not None
            and at - found.modified_at >= self._limits.refuse_after
            and trust is not None
            and trust.judge(at) is not Judgement.REFUSE
        )

    def _follow_clock(self) -> None:
        """Where the clock was set, date again what it had dated: a set whose file seemed to be from the future.

        A machine without a clock of its own begins in 1970. All it finds is from the future, and would be decades past
        its limit once the time is known.
        """
        offset = self._clock() - time.monotonic()
        jump, self._clock_offset = round(offset - self._clock_offset), offset
        trust = self.snapshot.issuers.get(self.issuer)
        if trust is not None and trust.published_at < self._modified_at and abs(jump) >= JUMP_SECONDS:
            self._age(replace(trust, published_at=min(self._modified_at, trust.published_at + jump)))

    def _age(self, trust: IssuerTrust) -> None:
        # The same keys, published again: no verdict changes, so the generation does not grow.
        issuers = MappingProxyType({**self.snapshot.issuers, self.issuer: trust})
        self.snapshot = replace(self.snapshot, issuers=issuers)

    def _warn(self, refusal: str, *, again: bool) -> None:
        at = time.monotonic()
        if again and at - self._reminded_at < REMINDER_SECONDS:
            return
        self._reminded_at = at
        kept = (
            "the last good keys stay in force" if self.snapshot.issuers else "there are no keys: every token gets 503"
        )
        _log.warning("published documents in %s are not taken: %s; %s", self.directory, refusal, kept)


def _read_directory(path: Path, issuer: str, at: int, before: _Reading | None, digest: bytes) -> _Reading | None:
    """One look, and a reading where something may have changed since ``before``; None where nothing has."""
    try:
        directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        fault = f"the directory: {reason(error)}"
        look = _Look(fault, fault, fault)
        return None if before is not None and before.look == look else _Reading(look, settled=True, refusal=fault)
    try:
        itself = os.fstat(directory)
        look = _Look(
            (itself.st_dev, itself.st_ino),
            fingerprint(JWKS_FILE, directory),
            fingerprint(ISSUER_METADATA_FILE, directory),
        )
        if before is not None and before.settled and before.look == look:
            return None
        reading = _Reading(look, look.settled(at))
        try:
            reading.found = _read_documents(directory, issuer, digest)
        except (DocumentError, DirectoryRefusedError, KeySetError) as error:
            reading.refusal = str(error)
        return reading
    finally:
        os.close(directory)


def _read_documents(directory: int, issuer: str, digest: bytes) -> _Found:
    jwks = read_document(JWKS_FILE, directory)
    with suppress(DocumentMissingError):
        _check_issuer(read_document(ISSUER_METADATA_FILE, directory), issuer)
    found = hashlib.sha256(jwks.content).digest()
    if found == digest:
        return _Found(found, jwks.modified_at, None)
    keys = parse_jwks(jwks.content)
    if not keys.keys:
        raise DirectoryRefusedError(f"{JWKS_FILE}: no usable key among {len(keys.skipped)}")
    return _Found(found, jwks.modified_at, keys)


def _check_issuer(metadata: Document, issuer: str) -> None:
    try:
        named = parse_json_object(metadata.content).get("issuer")
    except EncodingError as error:
        raise DirectoryRefusedError(f"{ISSUER_METADATA_FILE}: {error}") from None
    if named != issuer:
        raise DirectoryRefusedError(f"{ISSUER_METADATA_FILE}: the documents are of another issuer than {issuer}")
