"""The index of status lists at an address beside the key set, and where the lists are beside it."""

import asyncio
from collections.abc import Mapping
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Final
from urllib.parse import urljoin

from farseal.sources.fetch import UNCONDITIONAL, Fetcher, FetchError, Validators
from farseal.status_index import list_name, parse_index
from farseal.vocabulary import STATUS_DIRECTORY, STATUS_INDEX_FILE

ABSENT: Final = (403, 404, 410)
"""Statuses of what is not there. Stores of objects say 403 of it to those who may not ask what is."""


def index_address(keys_url: str) -> str:
    """Where the index is. What follows a ``?`` in the address of the keys is theirs alone, and left out."""
    return urljoin(keys_url, STATUS_INDEX_FILE)


def list_address(index_url: str, uri: str) -> str:
    """Where a list is fetched from: beside the index, by the last segment of its URI, and never by the URI's host.

    Raises:
        StatusListError: its URI has none that can be a name.
    """
    return urljoin(index_url, f"{STATUS_DIRECTORY}/{list_name(uri)}")


@dataclass(frozen=True, slots=True)
class Index:
    """An index as it was answered.

    Args:
        url: where it came from.
        validators: by what its server recognises it.
        document: byte for byte.
        lists: the digests that it gives, by URI; None where it gives none.
    """

    url: str
    validators: Validators
    document: bytes
    lists: Mapping[str, bytes | None]


class IndexPoller:
    """Asks for the index of one issuer. ``held`` is the one that there was; None where there was none.

    Args:
        issuer: whose it must be, where it says whose it is.
        fetcher: makes the requests.
        thread: to parse in.
    """

    def __init__(self, issuer: str, fetcher: Fetcher, thread: Executor) -> None:
        self.held: Index | None = None
        self._issuer = issuer
        self._fetcher = fetcher
        self._thread = thread
        self._ask_whole = False

    async def look(self, url: str) -> Index:
        """The index that there is.

        Raises:
            FetchError: there is no answer.
            StatusListError: what is there is no index of this issuer.
        """
        held = self.held if self.held is not None and self.held.url == url else None
        asked = UNCONDITIONAL if held is None or self._ask_whole else held.validators
        answer = await self._fetcher.get(url, asked)
        self._ask_whole = False
        if answer.body is None and held is not None:
            if not held.validators.may_be(answer.validators):
                self._ask_whole = True
                raise FetchError("it answers 304 for another document than was asked about")
            return held
        self.held, body = None, answer.body or b""
        lists = await asyncio.get_running_loop().run_in_executor(self._thread, parse_index, body, self._issuer)
        self.held = Index(url, answer.validators, body, lists)
        return self.held
