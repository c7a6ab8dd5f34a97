"""A key set for one look at a token: from a file, or from an address that somebody typed."""

import asyncio
import os
import re
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import aiohttp

from farseal.cli.words import without_tokens
from farseal.errors import FarsealError
from farseal.identifiers import is_loopback
from farseal.jwks import KeySet, KeySetError, parse_jwks
from farseal.sources.document import MAX_DOCUMENT_BYTES, DocumentError, read_document, reason

TIMEOUT_SECONDS: Final = 5
"""For everything, the name included: a person waits."""

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
    except (DocumentError, KeySetError) as error:
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
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        raise KeysUnavailableError("the address of the key set is not a URL") from None
    if not (parts.scheme == "https" or (parts.scheme == "http" and is_loopback(host))) or not host:
        raise KeysUnavailableError("the address of the key set must be https, or http on loopback")
    if parts.username is not None or parts.password is not None:
        raise KeysUnavailableError("the address of the key set must not hold credentials")
    # Compressed answers are not asked for and not unpacked: the bound is on what is parsed.
    session = aiohttp.ClientSession(
        timeout=aiohttp.ClientTimeout(total=TIMEOUT_SECONDS),
        headers={"Accept": "application/jwk-set+json, application/json", "Accept-Encoding": "identity"},
        auto_decompress=False,
    )
    try:
        async with session, session.get(url, allow_redirects=False) as response:
            if response.status != 200:
                raise KeysUnavailableError(f"the address of the key set answers {response.status}")
            content = bytearray()
            async for chunk in response.content.iter_chunked(1 << 16):
                content += chunk
                if len(content) > MAX_DOCUMENT_BYTES:
                    raise KeysUnavailableError(f"the key set is larger than {MAX_DOCUMENT_BYTES} bytes")
            return bytes(content)
    except TimeoutError:
        raise KeysUnavailableError(f"the address of the key set did not answer in {TIMEOUT_SECONDS} s") from None
    except (aiohttp.ClientError, OSError, ValueError) as error:
        raise KeysUnavailableError(f"the address of the key set cannot be reached: {type(error).__name__}") from None
