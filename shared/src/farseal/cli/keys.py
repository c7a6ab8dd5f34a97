"""A key set for one look at a token: from a file, or from an address that somebody typed."""

import asyncio
import os
import re
from pathlib import Path
from typing import Final

from farseal.cli.fetching import FetchingError, address, fetch
from farseal.cli.words import without_tokens
from farseal.errors import FarsealError
from farseal.identifiers import is_loopback
from farseal.jwks import KeySet, KeySetError, parse_jwks
from farseal.sources.document import DocumentError, read_document, reason

_WHAT: Final = "the key set"
_RULE: Final = "https, or http on loopback"
_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:")


class KeysUnavailableError(FarsealError):
    """There is no key set to be had from there."""


def keys_from(place: str) -> KeySet:
    """The key set in a file or at a URL.

    A URL is https, or http on loopback, where no one in between can put keys of their own into the answer. Redirects
    are not followed: they would lead anywhere.

    Raises:
        KeysUnavailableError: it cannot be read, or is no key set. The message quotes none of it.
    """
    try:
        content = asyncio.run(_fetch(place)) if _SCHEME.match(place) else _read(Path(place))
        return parse_jwks(content)
    except (DocumentError, FetchingError, KeySetError) as error:
        # A token in the wrong place is the name of a file that is not there.
        raise KeysUnavailableError(without_tokens(str(error))) from None


def _read(file: Path) -> bytes:
    try:
        directory = os.open(file.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise KeysUnavailableError(f"the directory of the key set: {reason(error)}") from None
    try:
        return read_document(file.name, directory).content
    finally:
        os.close(directory)


async def _fetch(url: str) -> bytes:
    parts = address(url, _WHAT, rule=_RULE)
    if parts.scheme != "https" and not is_loopback(parts.hostname or ""):
        raise KeysUnavailableError(f"the address of {_WHAT} must be {_RULE}")
    return await fetch(url, _WHAT, accept="application/jwk-set+json, application/json")
