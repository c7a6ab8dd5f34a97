"""The published documents over HTTP, from memory: nothing here waits for the database."""

import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime
from typing import TYPE_CHECKING, Final

from aiohttp import hdrs, web

if TYPE_CHECKING:
    from auth_server.publication.refresher import Served

_CORS: Final = {"Access-Control-Allow-Origin": "*", "Access-Control-Expose-Headers": "ETag"}
"""Public documents: any page may read them, no credentials are involved."""

_PREFLIGHT: Final = _CORS | {
    "Access-Control-Allow-Methods": "GET, HEAD",
    "Access-Control-Allow-Headers": "If-None-Match",
    "Access-Control-Max-Age": "86400",
}

_ENTITY_TAG: Final = re.compile(r'(?:W/)?("[\x21\x23-\x7e\x80-\xff]*")')


def is_fresh(etag: str, if_none_match: Sequence[str]) -> bool:
    """Whether the client's copy is the current one (RFC 9110 section 13.1.2).

    The header may be a list, repeated, ``*``, and hold weak tags: the comparison is weak. What is no entity tag is
    passed over.
    """
    return any(value.strip() == "*" or etag in _ENTITY_TAG.findall(value) for value in if_none_match)


def is_unmodified(served: "Served", if_modified_since: Sequence[str]) -> bool:
    """Whether the client's copy is no older than the current one (RFC 9110 section 13.1.3).

    A header that is repeated or cannot be read as a date is passed over. So is a moment at which this
    server gave out another content: in the second of a change the date alone does not tell the two apart.
    """
    if len(if_modified_since) != 1 or not served.modified:
        return False
    try:
        since = parsedate_to_datetime(if_modified_since[0])
    except (ValueError, TypeError, OverflowError, IndexError):  # it comes from anybody
        return False
    if since.tzinfo is None:
        since = since.replace(tzinfo=UTC)
    return since.timestamp() >= served.modified and since.timestamp() > served.replaced


def http_date(seconds: int) -> str:
    """The moment as RFC 9110 section 5.6.7 has it."""
    return format_datetime(datetime.fromtimestamp(seconds, UTC), usegmt=True)


def routes(path: str, document: "Callable[[web.Request], Served]", *, max_age: int) -> list[web.RouteDef]:
    """GET, HEAD and the CORS preflight of one document.

    Args:
        path: where it is served.
        document: gives the current one; asked at every request. ``Last-Modified`` is when the database confirmed it.
        max_age: seconds that caches may keep it.
    """

    async def get(request: web.Request) -> web.Response:
        served = document(request)
        current, headers = served.document, {**_CORS, "Cache-Control": f"public, max-age={max_age}"}
        headers["ETag"] = current.etag
        if served.modified:
            headers["Last-Modified"] = http_date(served.modified)
        if hdrs.IF_NONE_MATCH in request.headers:
            fresh = is_fresh(current.etag, request.headers.getall(hdrs.IF_NONE_MATCH))
        else:
            fresh = is_unmodified(served, request.headers.getall(hdrs.IF_MODIFIED_SINCE, []))
        if fresh:
            return web.Response(status=304, headers=headers)
        return web.Response(body=current.body, content_type=current.media_type, headers=headers)

    async def preflight(_request: web.Request) -> web.Response:
        return web.Response(status=204, headers=_PREFLIGHT)

    return [web.get(path, get), web.options(path, preflight)]
