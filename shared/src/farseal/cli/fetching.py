"""One document from an address that somebody typed, bounded: no redirect, no compression, no long wait."""

from typing import Final
from urllib.parse import SplitResult, urlsplit

import aiohttp

from farseal.errors import FarsealError
from farseal.sources.document import MAX_DOCUMENT_BYTES

TIMEOUT_SECONDS: Final = 5
"""For everything, the name included: a person waits."""


class FetchingError(FarsealError):
    """The document cannot be had. The message quotes neither the address nor the answer."""


def address(url: str, what: str, *, rule: str = "http or https") -> SplitResult:
    """The parts of an http or https URL with a host and without credentials; ``rule`` is for the message.

    Raises:
        FetchingError: it is none.
    """
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise FetchingError(f"the address of {what} is not a URL") from None
    if parts.username is not None or parts.password is not None:
        raise FetchingError(f"the address of {what} must not hold credentials")
    if parts.scheme not in {"http", "https"} or not host:
        raise FetchingError(f"the address of {what} must be {rule}")
    return parts


async def fetch(url: str, what: str, *, accept: str) -> bytes:
    """The body of a 200 answer, of at most `MAX_DOCUMENT_BYTES`.

    Args:
        url: as `address` takes it.
        what: the document, in words.
        accept: media types.

    Raises:
        FetchingError: there is none.
    """
    # Compressed answers are not asked for and not unpacked: the bound is on what is parsed.
    session = aiohttp.ClientSession(
        timeout=aiohttp.ClientTimeout(total=TIMEOUT_SECONDS),
        headers={"Accept": accept, "Accept-Encoding": "identity"},
        auto_decompress=False,
    )
    try:
        async with session, session.get(url, allow_redirects=False) as response:
            if response.status != 200:
                raise FetchingError(f"the address of {what} answers {response.status}")
            content = bytearray()
            async for chunk in response.content.iter_chunked(1 << 16):
                content += chunk
                if len(content) > MAX_DOCUMENT_BYTES:
                    raise FetchingError(f"{what} is larger than {MAX_DOCUMENT_BYTES} bytes")
            return bytes(content)
    except TimeoutError:
        raise FetchingError(f"the address of {what} did not answer in {TIMEOUT_SECONDS} s") from None
    except (aiohttp.ClientError, OSError, ValueError) as error:
        raise FetchingError(f"the address of {what} cannot be reached: {type(error).__name__}") from None
