"""The notes service, asked with the caller's own token. Down, slow and wrong are values, no surprises."""

import asyncio
import ssl
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final

import aiohttp
import msgspec
from yarl import URL

from farseal.encoding import EncodingError, parse_json
from resource_b.reports import SeenNote, SeenNotes

PAGE_NOTES: Final = 100
"""The most that the notes service gives at once."""

MAX_PAGE_BYTES: Final = 1 << 20
"""1 MiB: twice a page of a hundred titles of 200 characters, each written as ``\\uXXXX``."""

MAX_CURSOR_CHARACTERS: Final = 512

JSON_MEDIA_TYPE: Final = "application/json"


class Failure(StrEnum):
    """Why there are no notes to report on. The values are codes of problems."""

    UNAUTHENTICATED = "upstream_token_refused"
    """The notes service does not honour this token: its session has ended, as far as that service knows, or the token
    is not for it."""
    REFUSED = "upstream_refused"
    """The notes service honours this token, but not for reading notes."""
    UNREACHABLE = "upstream_unreachable"
    """No connection, or one that broke."""
    TIMEOUT = "upstream_timeout"
    """No whole answer within the time allowed."""
    FAILED = "upstream_failed"
    """An error of its own."""
    INVALID = "upstream_invalid"
    """An answer that is no page of notes: a redirect, another media type, too long, malformed."""
    OVERLOADED = "overloaded"
    """Too many reports are being made here; the notes service was not even asked."""


_Text = Annotated[str, msgspec.Meta(min_length=1, max_length=1024)]
_Moment = Annotated[datetime, msgspec.Meta(tz=True)]


class _NoteForm(msgspec.Struct, frozen=True):
    """Members that this service does not know are no error: the notes service may tell more one day."""

    id: _Text
    owner: _Text
    org_id: _Text | None
    title: _Text
    characters: Annotated[int, msgspec.Meta(ge=0, le=2**31)]
    created_at: _Moment
    updated_at: _Moment


class _PageForm(msgspec.Struct, frozen=True):
    notes: Annotated[list[_NoteForm], msgspec.Meta(max_length=PAGE_NOTES)]
    next_cursor: Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_CURSOR_CHARACTERS)] | None


@dataclass(frozen=True, slots=True)
class Bounds:
    """What one report may cost."""

    timeout_seconds: float
    """For all pages of one report together, waiting for a place included."""
    concurrency: int
    """Reports that read notes at the same time."""
    max_notes: int
    """Notes read for one report; more are left unread, and the report says so."""


class NotesClient:
    """Reads the notes a token may see.

    The token goes to ``notes_url`` and nowhere else: redirects are not followed, and the session given must keep no
    cookies and heed no proxy of the environment (`open_session` makes such a one).
    """

    def __init__(self, session: aiohttp.ClientSession, notes_url: str, bounds: Bounds) -> None:
        self._session = session
        self._list_url = URL(notes_url.rstrip("/") + "/notes")
        self._bounds = bounds
        self._places = asyncio.Semaphore(bounds.concurrency)

    async def read(self, token: str, *, only_own: bool, request_id: str | None = None) -> SeenNotes | Failure:
        """Read the list page by page until it ends or a bound is met."""
        holds_place = False
        try:
            async with asyncio.timeout(self._bounds.timeout_seconds), self._places:
                holds_place = True
                return await self._read_pages(token, only_own=only_own, request_id=request_id)
        except TimeoutError:
            return Failure.TIMEOUT if holds_place else Failure.OVERLOADED

    async def _read_pages(self, token: str, *, only_own: bool, request_id: str | None) -> SeenNotes | Failure:
        notes: list[SeenNote] = []
        cursor: str | None = None
        # Counted in pages: one that is empty and still names a next one must not keep us here.
        for _ in range(-(-self._bounds.max_notes // PAGE_NOTES)):
            query = {"limit": str(PAGE_NOTES)}
            if only_own:
                query["owner"] = "me"
            if cursor is not None:
                query["cursor"] = cursor
            page = await self._read_page(token, query, request_id)
            if isinstance(page, Failure):
                return page
            notes += [_seen(form) for form in page.notes]
            cursor = page.next_cursor
            if cursor is None:
                break
        kept = tuple(notes[: self._bounds.max_notes])
        return SeenNotes(notes=kept, truncated=cursor is not None or len(kept) < len(notes))

    async def _read_page(self, token: str, query: dict[str, str], request_id: str | None) -> _PageForm | Failure:
        headers = {"Authorization": f"Bearer {token}", "Accept": JSON_MEDIA_TYPE, "Accept-Encoding": "identity"}
        if request_id is not None:
            headers["X-Request-Id"] = request_id
        try:
            async with self._session.get(
                self._list_url, params=query, headers=headers, allow_redirects=False
            ) as response:
                if response.status == 200:
                    return await _decode(response)
                return _failure_of(response.status)
        except aiohttp.ClientConnectionError:
            return Failure.UNREACHABLE
        except aiohttp.ClientError:
            return Failure.INVALID


def open_session(*, connections: int, ca_file: Path | None = None) -> aiohttp.ClientSession:
    """A session for one upstream: no cookies, no proxy from the environment, nothing unpacked behind our back.

    Args:
        connections: the most at a time.
        ca_file: PEM certificates to trust in place of the system's.

    Raises:
        OSError: the file cannot be read, or holds none (`ssl.SSLError`).
    """
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(
            limit=connections, ssl=True if ca_file is None else ssl.create_default_context(cafile=ca_file)
        ),
        cookie_jar=aiohttp.DummyCookieJar(),
        trust_env=False,
        auto_decompress=False,
        # The time allowed is kept by `NotesClient.read`, over all pages together.
        timeout=aiohttp.ClientTimeout(total=None),
    )


def _failure_of(status: int) -> Failure:
    if status == 401:
        return Failure.UNAUTHENTICATED
    if status == 403:
        return Failure.REFUSED
    return Failure.FAILED if status >= 500 or status == 429 else Failure.INVALID


async def _decode(response: aiohttp.ClientResponse) -> _PageForm | Failure:
    if response.content_type != JSON_MEDIA_TYPE or response.headers.get("Content-Encoding", "identity") != "identity":
        return Failure.INVALID
    body = bytearray()
    async for chunk in response.content.iter_chunked(1 << 16):
        body += chunk
        if len(body) > MAX_PAGE_BYTES:
            return Failure.INVALID
    try:
        return msgspec.convert(parse_json(bytes(body), max_bytes=MAX_PAGE_BYTES), _PageForm)
    except (EncodingError, msgspec.ValidationError):
        return Failure.INVALID


def _seen(form: _NoteForm) -> SeenNote:
    return SeenNote(
        id=form.id,
        owner=form.owner,
        org_id=form.org_id,
        title=form.title,
        characters=form.characters,
        created_at=form.created_at,
        updated_at=form.updated_at,
    )
