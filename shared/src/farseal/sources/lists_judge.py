"""Whether a document that came is a list of the issuer, judged in a thread by the keys that are in force."""

import asyncio
import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from farseal.clock import Clock
from farseal.sources.keeper import TrustKeeper
from farseal.status_index import MAX_ALL_LISTS_BYTES
from farseal.status_list import StatusKeyUnknownError, StatusList, StatusListError, read_status_list
from farseal.trust import IssuerTrust


class ListJudge:
    """Of the lists of one issuer.

    Args:
        keeper: has the keys.
        issuer: whose lists they are.
        clock: seconds since the epoch.
        wake_keys: called where a list is signed by a key that is not known.
    """

    def __init__(self, keeper: TrustKeeper, issuer: str, clock: Clock, wake_keys: Callable[[], None]) -> None:
        # One thread: the strain of it is the same whatever comes at once.
        self.thread = ThreadPoolExecutor(1, thread_name_prefix="farseal-source-judge")
        self._keeper = keeper
        self._issuer = issuer
        self._clock = clock
        self._wake_keys = wake_keys

    async def digest(self, document: bytes) -> bytes:
        """SHA-256 of a document."""
        return await asyncio.get_running_loop().run_in_executor(self.thread, _sha256, document)

    async def judge(self, uri: str, document: bytes, others: Callable[[], int]) -> StatusList | str:
        """The list in a document, or in words why it is none.

        Where other keys came into force while it was judged it is judged again: the last word is theirs.

        Args:
            uri: of the list.
            document: as it came.
            others: gives the bytes that the other lists of the issuer take, at the end of the judgement: several lists
                are under way at once, and whoever asks takes the list into force before another can be.
        """
        while True:
            trust = self._keeper.snapshot.issuers.get(self._issuer)
            if trust is None:
                return "There are no keys to judge it by"
            try:
                made = await asyncio.get_running_loop().run_in_executor(
                    self.thread, _read, document, uri, trust, self._clock()
                )
            except StatusKeyUnknownError as error:
                self._wake_keys()
                outcome: StatusList | str = str(error)
            except StatusListError as error:
                outcome = str(error)
            else:
                too_much = others() + len(made.data) > MAX_ALL_LISTS_BYTES
                outcome = f"With it the lists would be of more than {MAX_ALL_LISTS_BYTES} bytes" if too_much else made
            now = self._keeper.snapshot.issuers.get(self._issuer)
            if now is not None and now.keys is trust.keys and now.revoked == trust.revoked:
                return outcome

    def release(self) -> None:
        """Give the thread back."""
        self.thread.shutdown(wait=False, cancel_futures=True)


def _read(document: bytes, uri: str, trust: IssuerTrust, now: int) -> StatusList:
    return read_status_list(document, uri, issuer=trust.issuer, keys=trust.keys, revoked=trust.revoked, now=now)


def _sha256(document: bytes) -> bytes:
    return hashlib.sha256(document).digest()
