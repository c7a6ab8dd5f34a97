"""One GET of one document, bounded in every direction, from a server that may be hostile.

No redirects, cookies, compression, credentials or proxies: each leads somewhere that the address does not say. A
connection serves one request, so that a name that moves is followed, and certificates that were withdrawn are met.
"""

import asyncio
import os
import ssl
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import aiohttp

from farseal.clock import Clock
from farseal.errors import FarsealError
from farseal.sources.document import MAX_DOCUMENT_BYTES, reason
from farseal.sources.freshness import delta_seconds, http_date, max_age, retry_after
from farseal.sources.resolver import ThreadResolver

MAX_ETAG_CHARACTERS: Final = 512
"""A longer one is not repeated in requests."""

LIST_TYPES: Final = "application/statuslist+jwt, */*;q=0.1"
"""``Accept`` of a status list (Token Status List section 8.1)."""

JSON_TYPES: Final = "application/jwk-set+json, application/json;q=0.9, */*;q=0.1"
"""``Accept`` of what is JSON."""

_HEADERS: Final = {
    "Accept-Encoding": "identity",
    "User-Agent": "farseal",
}


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds for each part of a fetch, and for all of it.

    Args:
        connect: to look up the name, connect and agree on TLS.
        head: from there to the end of the head of the answer.
        chunk: between two pieces of the body.
        whole: for everything: a body that trickles is ended by this.
    """

    connect: float = 3.0
    head: float = 3.0
    chunk: float = 3.0
    whole: float = 10.0


class FetchError(FarsealError):
    """There is no answer to be used. The message is for people, and quotes nothing that was received.

    ``retry_after`` is in seconds; None where the server did not ask for it. ``status`` is that of an answer that was
    whole and no 200; None where there was none.
    """

    def __init__(self, message: str, *, retry_after: int | None = None, status: int | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        self.status = status


@dataclass(frozen=True, slots=True)
class Validators:
    """By what a server recognises a document that we hold (RFC 9110 section 8.8), as it wrote them."""

    etag: str | None = None
    last_modified: str | None = None

    def conditions(self) -> dict[str, str]:
        """The fields of a request that asks for the document only if it is another (RFC 9110 section 13.1)."""
        fields = {"If-None-Match": self.etag, "If-Modified-Since": self.last_modified}
        return {name: value for name, value in fields.items() if value is not None}

    def may_be(self, named: "Validators") -> bool:
        """Whether a 304 that names these is of this document, and not of another by its ``ETag`` (section 8.8.3.2)."""
        own, other = self.etag, named.etag
        return own is None or other is None or own.removeprefix("W/") == other.removeprefix("W/")


UNCONDITIONAL: Final = Validators()


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer.

    Args:
        body: None for a 304: the document that was asked about is the one there is.
        validators: of the body; of a 304 what it repeats of them.
        last_modified: seconds since the epoch; None where it is not said.
        max_age: seconds; None where it is not said.
        age: seconds in caches; 0 where it is not said.
    """

    body: bytes | None
    validators: Validators
    last_modified: int | None
    max_age: int | None
    age: int


class Fetcher:
    """Makes bounded requests.

    Args:
        threads: for names and certificates.
        clock: seconds since the epoch.
        ca_file: PEM certificates to trust in place of the system's. Read for each request: it may be renewed.
        timeouts: of each request.
        accept: the media types to ask for, as a field of the request.
        max_bytes: of a document; one of more is no answer.
    """

    def __init__(
        self,
        threads: Executor,
        clock: Clock,
        ca_file: Path | None,
        timeouts: Timeouts,
        *,
        accept: str = JSON_TYPES,
        max_bytes: int = MAX_DOCUMENT_BYTES,
    ) -> None:
        self._accept = accept
        self._max_bytes = max_bytes
        self._threads = threads
        self._clock = clock
        self._ca_file = ca_file
        self._timeouts = timeouts

    async def get(self, url: str, held: Validators = UNCONDITIONAL) -> Answer:
        """The document at an address that `AddressPolicy` allows, or that it is still the one that is held.

        Raises:
            FetchError: anything else than a whole 200, or a 304 to a question for it.
        """
        phase = _Phase(self._timeouts)
        try:
            async with asyncio.timeout(self._timeouts.whole):
                context = await self._tls() if url.startswith("https:") else None
                return await self._get(url, held, context, phase)
        except TimeoutError:
            raise FetchError(phase.timed_out()) from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise FetchError(_in_words(error)) from None

    async def _get(self, url: str, held: Validators, context: ssl.SSLContext | None, phase: "_Phase") -> Answer:
        connector = aiohttp.TCPConnector(
            resolver=ThreadResolver(self._threads),
            use_dns_cache=False,
            force_close=True,
            limit=1,
            ssl=True if context is None else context,
        )
        async with (
            aiohttp.ClientSession(
                connector=connector,
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=None, sock_read=self._timeouts.chunk),
                headers=_HEADERS | {"Accept": self._accept},
                auto_decompress=False,
                trust_env=False,
                trace_configs=[phase.trace()],
            ) as session,
            asyncio.timeout(self._timeouts.connect) as deadline,
        ):
            phase.deadline = deadline
            async with session.get(url, headers=held.conditions(), allow_redirects=False) as response:
                phase.begin("body", None)
                return await self._answer(response, conditional=held != UNCONDITIONAL)

    async def _answer(self, response: aiohttp.ClientResponse, *, conditional: bool) -> Answer:
        headers = response.headers
        if response.status == 304 and conditional:
            body = None
        elif response.status == 304:
            raise FetchError("it answers 304 to a request without conditions")
        elif response.status != 200:
            raise FetchError(
                f"it answers {response.status}",
                retry_after=retry_after(headers.get("Retry-After"), self._clock()),
                status=response.status,
            )
        elif any(coding.strip().lower() not in ("", "identity") for coding in headers.getall("Content-Encoding", ())):
            raise FetchError("its answer is compressed, which was not asked for")
        else:
            body = await _read(response, self._max_bytes)
        modified = http_date(headers.get("Last-Modified"))
        etag = headers.get("ETag")
        return Answer(
            body,
            Validators(
                etag if etag and len(etag) <= MAX_ETAG_CHARACTERS and etag.isascii() and etag.isprintable() else None,
                headers.get("Last-Modified") if modified is not None else None,
            ),
            modified,
            max_age(headers.getall("Cache-Control", ())),
            delta_seconds(headers.get("Age")) or 0,
        )

    async def _tls(self) -> ssl.SSLContext:
        return await asyncio.get_running_loop().run_in_executor(self._threads, _context, self._ca_file)


class _Phase:
    """Which part of a fetch is under way, and until when it may be."""

    def __init__(self, timeouts: Timeouts) -> None:
        self.deadline: asyncio.Timeout | None = None
        self._timeouts = timeouts
        self._name = "connect"

    def begin(self, name: str, seconds: float | None) -> None:
        self._name = name
        if self.deadline is not None:
            self.deadline.reschedule(None if seconds is None else asyncio.get_running_loop().time() + seconds)

    def trace(self) -> aiohttp.TraceConfig:
        async def connected(*_: Any) -> None:
            self.begin("head", self._timeouts.head)

        trace = aiohttp.TraceConfig()
        trace.on_connection_create_end.append(connected)
        return trace

    def timed_out(self) -> str:
        return {
            "connect": f"no connection within {self._timeouts.connect:g} s",
            "head": f"no answer within {self._timeouts.head:g} s",
            "body": f"its answer does not come to an end within {self._timeouts.whole:g} s, or stalls",
        }[self._name]


async def _read(response: aiohttp.ClientResponse, most: int) -> bytes:
    too_large = FetchError(f"its answer is larger than {most} bytes")
    if (response.content_length or 0) > most:
        raise too_large
    content = bytearray()
    async for chunk in response.content.iter_chunked(1 << 16):
        content += chunk
        if len(content) > most:
            raise too_large
    return bytes(content)


def _context(ca_file: Path | None) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=None if ca_file is None else str(ca_file))
    except ssl.SSLError:
        raise FetchError("the CA file holds no certificates that can be read") from None
    except OSError as error:
        raise FetchError(f"the CA file: {reason(error)}") from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def _in_words(error: Exception) -> str:
    match error:
        case aiohttp.ClientConnectorCertificateError(certificate_error=ssl.SSLCertVerificationError() as fault):
            return f"its certificate is not accepted: {fault.verify_message.rstrip('.')}"
        case aiohttp.ClientConnectorSSLError():
            return "no agreement on TLS"
        case aiohttp.ClientConnectorDNSError():
            return "its name has no address"
        case aiohttp.ClientConnectorError(os_error=fault):
            return f"no connection: {os.strerror(fault.errno).lower()}" if fault.errno else "no connection"
        case aiohttp.ClientPayloadError():
            return "its answer breaks off"
        case aiohttp.ClientResponseError():
            return "its answer is not HTTP, or has too large a head"
        case aiohttp.ServerDisconnectedError() | aiohttp.ClientOSError() | OSError():
            return "it closed the connection"
        case _:
            return f"the request failed: {type(error).__name__}"
