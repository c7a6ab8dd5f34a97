"""The published documents over HTTP, from memory: nothing here waits for the database."""

import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from aiohttp import web

if TYPE_CHECKING:
    from auth_server.publication.documents import Document

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


def routes(path: str, document: "Callable[[web.Request], Document]", *, max_age: int) -> list[web.RouteDef]:
    """GET, HEAD and the CORS preflight of one document.

    Args:
        path: where it is served.
        document: gives the current one; asked at every request.
        max_age: seconds that caches may keep it.
    """

    async def get(request: web.Request) -> web.Response:
        current = document(request)
        headers = {**_CORS, "Cache-Control": f"public, max-age={max_age}", "ETag": current.etag}
        if is_fresh(current.etag, request.headers.getall("If-None-Match", [])):
            return web.Response(status=304, headers=headers)
        return web.Response(body=current.body, content_type=current.media_type, headers=headers)

    async def preflight(_request: web.Request) -> web.Response:
        return web.Response(status=204, headers=_PREFLIGHT)

    return [web.get(path, get), web.options(path, preflight)]
