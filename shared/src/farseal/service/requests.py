"""Around every request: an id, one access line, the metrics, and errors in one shape.

One middleware, outermost, so that it sees the answer that leaves. Paths, queries and headers reach neither logs nor
metrics: a route template and a method of a fixed set do.
"""

import asyncio
import re
import time
from collections.abc import Callable, Mapping
from typing import Any, Final
from uuid import uuid4

import structlog
from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware
from multidict import CIMultiDict

from farseal.problems import ProblemError, code_of, problem
from farseal.service.metrics import ServiceMetrics, bounded_method

ErrorForm = Callable[[web.Request, int, str, str | None, Mapping[str, str]], web.Response | None]
"""Answers an error in another form (``request, status, code, detail, headers``), or gives None for problem+json."""

REQUEST_ID_HEADER: Final = "X-Request-Id"
UNMATCHED: Final = "unmatched"
"""The route label of every path that no route serves."""

CLIENT_GONE: Final = 499
"""Status in logs and metrics of a request whose client left before the answer; nginx's number."""

_SANE_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
_REQUEST_ID: Final = web.RequestKey("farseal.request_id", str)

log = structlog.get_logger("farseal.service.requests")


def install(app: web.Application, *, metrics: ServiceMetrics, error_form: ErrorForm | None = None) -> None:
    """Wrap ``app``: this middleware goes before those that are there, and must stay the first.

    Every response gets ``X-Request-Id`` and ``X-Content-Type-Options: nosniff``.
    """
    app.middlewares.insert(0, _around(metrics, error_form))
    app.on_response_prepare.append(_mark_response)


def request_id(request: web.Request) -> str:
    """The id of this request: the caller's when it was sane, else one of ours."""
    known = request.get(_REQUEST_ID)
    if known is None:
        given = request.headers.getall(REQUEST_ID_HEADER, [])
        known = given[0] if len(given) == 1 and _SANE_ID.fullmatch(given[0]) else uuid4().hex
        request[_REQUEST_ID] = known
    return known


def route_template(request: web.Request) -> str:
    """The template of the matched route, such as ``/notes/{id}``; `UNMATCHED` for 404 and 405."""
    resource = request.match_info.route.resource
    return UNMATCHED if resource is None else resource.canonical


def _around(metrics: ServiceMetrics, error_form: ErrorForm | None) -> Middleware:
    @web.middleware
    async def around(request: web.Request, handler: Handler) -> web.StreamResponse:
        started = time.perf_counter()
        route, status = route_template(request), CLIENT_GONE
        with structlog.contextvars.bound_contextvars(request_id=request_id(request)):
            metrics.in_flight.inc()
            try:
                response = await _answer(request, handler, error_form)
            except web.HTTPException as redirect:
                status = redirect.status
                raise
            else:
                status = CLIENT_GONE if request.transport is None else response.status
                return response
            finally:
                seconds = time.perf_counter() - started
                metrics.in_flight.dec()
                metrics.observe(request.method, route, status, seconds)
                log.info(
                    "request",
                    method=bounded_method(request.method),
                    route=route,
                    status=status,
                    duration_ms=round(seconds * 1000, 2),
                )

    return around


async def _answer(request: web.Request, handler: Handler, error_form: ErrorForm | None) -> web.StreamResponse:
    """What the handler answers, or its error in the one shape; redirects, cancellation, a broken stream escape.

    Raises:
        ConnectionResetError: the response had begun, so an error would be written into the middle of it. aiohttp
            breaks the connection off, so that nobody takes what was sent for whole.
    """

    def answer(
        status: int, code: str, detail: str | None = None, headers: Mapping[str, str] | None = None, **members: Any
    ) -> web.Response:
        if _begun(request):
            if request.transport is not None:
                log.warning("response broken off", code=code)
            raise ConnectionResetError("the response had begun")
        formed = error_form(request, status, code, detail, headers or {}) if error_form else None
        return formed or problem(status, code, detail=detail, headers=headers, **members)

    try:
        response: object = await handler(request)
        if isinstance(response, web.StreamResponse):
            return response
        log.error("the handler gave no response", given=type(response).__name__)
    except ProblemError as error:
        if error.status >= 500:
            log.warning("request failed", code=error.code, cause=error.__cause__)
        return answer(error.status, error.code, error.detail, error.headers, **error.members)
    except web.HTTPException as error:
        if error.status < 400 and not _begun(request):
            raise
        return answer(error.status, code_of(error.status), None, _kept(error.headers))
    except web.RequestPayloadError:
        return answer(400, "body_malformed", "the body breaks off or is not framed as its headers say")
    except Exception as error:
        if request.transport is None and isinstance(error, (ConnectionError, asyncio.TimeoutError)):
            # Nobody reads this answer; aiohttp notices so when it writes, without a traceback.
            return answer(400, "client_gone")
        log.exception("unexpected error")
    return answer(500, "internal_error")


def _begun(request: web.Request) -> bool:
    """Whether anything of a response was sent: the head of another would then land in its body."""
    return request.writer.output_size > 0


def _kept(headers: CIMultiDict[str]) -> dict[str, str]:
    """What an aiohttp error says beside its text: Allow, WWW-Authenticate, Retry-After."""
    return {name: value for name, value in headers.items() if not name.lower().startswith("content-")}


async def _mark_response(request: web.Request, response: web.StreamResponse) -> None:
    response.headers[REQUEST_ID_HEADER] = request_id(request)
    response.headers.setdefault("X-Content-Type-Options", "nosniff")
    # Versions of the interpreter and of the server are nobody's business.
    response.headers[hdrs.SERVER] = "farseal"
