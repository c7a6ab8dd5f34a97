"""Answers that more than one endpoint gives."""

from collections.abc import Mapping
from typing import Final

import msgspec
from aiohttp import web

from farseal.identifiers import quotable

NO_STORE: Final = {"Cache-Control": "no-store", "Pragma": "no-cache"}
"""On whatever holds a token or says something about credentials (RFC 6749 section 5.1)."""

BASIC_CHALLENGE: Final = {"WWW-Authenticate": 'Basic realm="farseal", charset="UTF-8"'}
"""RFC 7617 section 2.1."""


def json_answer(body: object, *, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    """A JSON answer that nobody may keep."""
    return web.Response(
        status=status,
        body=msgspec.json.encode(body),
        content_type="application/json",
        headers={**NO_STORE, **(headers or {})},
    )


def oauth_error(
    error: str, description: str, *, status: int = 400, headers: Mapping[str, str] | None = None
) -> web.Response:
    """An error of an OAuth endpoint (RFC 6749 section 5.2).

    ``description`` may hold what the client sent: characters that the section forbids are replaced.
    """
    body = {"error": error, "error_description": quotable(description)}
    return json_answer(body, status=status, headers=headers)
