"""Error bodies of our own APIs: RFC 9457 problem details, each with a stable ``code``."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

import msgspec
from aiohttp import web

from farseal.errors import FarsealError
from farseal.vocabulary import PROBLEM_MEDIA_TYPE

_CODES: Final = {
    400: "bad_request",
    401: "unauthenticated",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    406: "not_acceptable",
    408: "request_timeout",
    409: "conflict",
    411: "length_required",
    412: "precondition_failed",
    413: "body_too_large",
    414: "uri_too_long",
    415: "media_type_unsupported",
    417: "expectation_failed",
    422: "unprocessable",
    428: "precondition_required",
    429: "too_many_requests",
    431: "headers_too_large",
    500: "internal_error",
    501: "not_implemented",
    502: "bad_gateway",
    503: "unavailable",
    504: "gateway_timeout",
}
"""The code of a status that nothing more is known about: one word wherever it arises."""


class ProblemError(FarsealError):
    """Ends a request with a problem. Whoever answers the request renders it; nothing in it is secret.

    For what goes wrong while a request is read or served. A refusal by a business rule is a value, not this.
    """

    def __init__(
        self,
        status: int,
        code: str,
        detail: str | None = None,
        headers: Mapping[str, str] | None = None,
        **members: Any,
    ) -> None:
        super().__init__(f"{status} {code}" + (f": {detail}" if detail else ""))
        self.status = status
        self.code = code
        self.detail = detail
        self.headers = dict(headers or {})
        self.members = members


def problem(
    status: int,
    code: str,
    title: str | None = None,
    detail: str | None = None,
    headers: Mapping[str, str] | None = None,
    **members: Any,
) -> web.Response:
    """A problem+json response (RFC 9457 section 3).

    Args:
        status: of the response, repeated in the body.
        code: stable word that clients may branch on; ``type`` is made of it.
        title: the kind of problem; the status phrase unless told.
        detail: this occurrence; text that no UTF-8 can carry is replaced.
        headers: more headers, such as ``Retry-After``.
        members: extension members (RFC 9457 section 3.2) that msgspec can encode.
    """
    body: dict[str, Any] = {
        "type": f"urn:farseal:problem:{code}",
        "title": title or phrase(status),
        "status": status,
        "code": code,
    }
    if detail is not None:
        body["detail"] = detail.encode("utf-8", "replace").decode()
    body |= members
    return web.Response(
        status=status,
        body=msgspec.json.encode(body),
        headers={"Cache-Control": "no-store", **(headers or {}), "Content-Type": PROBLEM_MEDIA_TYPE},
    )


def phrase(status: int) -> str:
    """The status phrase of RFC 9110 section 15, or the number for a status without one."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return str(status)


def code_of(status: int) -> str:
    """The code of a problem of which only the status is known."""
    return _CODES.get(status, f"http_{status}")
