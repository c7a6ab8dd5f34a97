"""One look at an address after the other: what was found is taught to the keeper, and kept on the disk."""

import asyncio
import logging
import time
from concurrent.futures import Executor
from dataclasses import replace

from farseal.clock import Clock
from farseal.jwks import KeySet
from farseal.sources.address import AddressPolicy
from farseal.sources.discovery import discover
from farseal.sources.disk import Copy
from farseal.sources.fetch import UNCONDITIONAL, Answer, Fetcher, FetchError
from farseal.sources.held import Examined, Held, dated, examine, is_ours
from farseal.sources.keeper import Found, Moment, Refused, TrustKeeper
from farseal.sources.shelf import Shelf

_log = logging.getLogger("farseal")


class Poller:
    """Looks when it is told to; never twice at once.

    Args:
        keeper: what to teach.
        issuer: whose keys they are.
        url: of the key set; None asks the issuer's metadata for it, once.
        addresses: to which the metadata may lead.
        fetcher: makes the requests.
        shelf: for the disk copy.
        threads: to parse in: a large set takes long.
        clock: seconds since the epoch.
    """

    def __init__(
        self,
        keeper: TrustKeeper,
        issuer: str,
        url: str | None,
        *,
        addresses: AddressPolicy,
        fetcher: Fetcher,
        shelf: Shelf,
        threads: Executor,
        clock: Clock,
    ) -> None:
        self.url = url
        self.from_disk = False
        self._keeper = keeper
        self._issuer = issuer
        self._addresses = addresses
        self._fetcher = fetcher
        self._shelf = shelf
        self._threads = threads
        self._clock = clock
        self._held: Held | None = None
        self._ask_whole = False
        self._refused = b""
        self._unusable: Examined | None = None

    async def look(self) -> Answer | None:
        """Ask, and teach the keeper what was found. None where it did not take it.

        Raises:
            FetchError: there is no answer.
        """
        self._keeper.follow_clock(self._moment())
        if self.url is None:
            self.url = await discover(self._fetcher, self._issuer, self._addresses, self._threads)
        if self._held is not None and self._held.digest != self._keeper.digest(self._issuer):
            self._held = None
        held = self._held
        conditional = held is not None and held.copy.url == self.url and not self._ask_whole
        # From before the question, so that the answer is never taken for younger than it is (RFC 9111 section 4.2.3).
        asked_at = self._clock()
        answer = await self._fetcher.get(
            self.url, held.validators if held is not None and conditional else UNCONDITIONAL
        )
        if answer.body is None and held is not None:
            if not held.is_meant_by(answer):
                self._ask_whole = True
                raise FetchError("it answers 304 for another document than was asked about")
            self._ask_whole = held.leaves_open(answer)
            self._teach(held.confirmed(answer, asked_at), None)
            return answer
        self._ask_whole = False
        examined = await asyncio.get_running_loop().run_in_executor(
            self._threads, examine, answer.body or b"", b"" if held is None else held.digest, self._unusable
        )
        if isinstance(examined.keys, str):
            changed, self._refused = examined.digest != self._refused, examined.digest
            self._unusable = examined
            self._keeper.learn(self._issuer, Refused(examined.keys), self._moment(), changed=changed)
            return None
        ours = is_ours(examined.keys) if examined.keys is not None else held is not None and held.ours
        copy = Copy(
            self._issuer,
            self.url,
            dated(answer, asked_at, ours=ours),
            asked_at - answer.age,
            answer.validators.etag,
            answer.validators.last_modified,
            answer.body or b"",
        )
        return answer if self._teach(Held(copy, examined.digest, ours), examined.keys) else None

    def _teach(self, held: Held, keys: KeySet | None) -> bool:
        """Whether the keeper took it; then it is what we hold."""
        revoked = self._revoked()
        self._keeper.learn(
            self._issuer,
            Found(held.digest, held.copy.dated, keys),
            self._moment(),
            changed=held.digest != self._refused,
        )
        if self._keeper.status(0).issuers[self._issuer].refusal is not None:
            self._refused = held.digest
            if self._revoked() != revoked:
                # It was not taken, and yet withdrew keys of ours: our copy must not bring them back.
                self._held = None
                self._shelf.discard()
            return False
        self._held, self._refused = held, b""
        self.from_disk = False
        # A date in the future is kept as when it was found: its age at the next start could not be told otherwise.
        published_at = self._keeper.snapshot.issuers[self._issuer].published_at
        self._shelf.keep(replace(held.copy, dated=min(held.copy.dated, published_at)))
        return True

    async def restore(self, limit: int) -> None:
        """Take the disk copy into force where nothing is, if it is younger than ``limit`` seconds."""
        if self._keeper.digest(self._issuer):
            return
        copy = await self._shelf.load(self._clock(), limit)
        if copy is None:
            return
        examined = await asyncio.get_running_loop().run_in_executor(self._threads, examine, copy.body)
        at = self._moment()
        self._keeper.follow_clock(at)
        if not isinstance(examined.keys, KeySet):
            _log.warning("the disk copy of the keys of %s is not used: %s", self._issuer, examined.keys)
            return
        self._keeper.learn(self._issuer, Found(examined.digest, copy.dated, examined.keys), at)
        if self._keeper.digest(self._issuer) == examined.digest:  # There was none before.
            self._held = Held(copy, examined.digest, is_ours(examined.keys))
            self.from_disk = True
            age = max(0, at.now - copy.dated)
            _log.warning("the keys of %s are those of the disk copy, %d s old, until it answers", self._issuer, age)

    def _revoked(self) -> frozenset[str]:
        trust = self._keeper.snapshot.issuers.get(self._issuer)
        return frozenset() if trust is None else trust.revoked

    def _moment(self) -> Moment:
        return Moment(self._clock(), time.monotonic())
