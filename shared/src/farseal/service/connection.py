"""One connection: what aiohttp does with bytes that are no HTTP request, without its traceback and without the bytes.

aiohttp answers a request that it cannot parse with the offending bytes in plain text, and logs them with a traceback; a
header that was too long may be the caller's token. Such a request never reaches an application's middlewares.
"""

import asyncio
from typing import Final

import structlog
from aiohttp import hdrs, web
from aiohttp.http import RawRequestMessage
from aiohttp.http_exceptions import HttpProcessingError, LineTooLong

from farseal.problems import code_of, problem
from farseal.service.crowd import Crowd
from farseal.service.metrics import ServiceMetrics

MAX_LINE_BYTES: Final = 8 * 1024
"""Of the request line: no path or query of ours comes near."""

MAX_FIELD_BYTES: Final = 20 * 1024
"""Of one header's value: a token of 16 KiB, the most that a verifier reads, fits."""

MAX_FIELDS: Final = 64

KEEPALIVE_SECONDS: Final = 75.0
"""Longer than the idle time of common proxies, so that the proxy closes first and no request crosses the close.

Bounds the arrival of a request's head too, however it drips: from the connection or from the last response on."""

LINGERING_SECONDS: Final = 2.0
"""How long the rest of a refused body is read and dropped, so that the client gets to read why."""

MALFORMED: Final = "malformed"
"""The route label of what could not be parsed."""

log = structlog.get_logger("farseal.service.connection")


class Connection(web.RequestHandler):
    """aiohttp's protocol with bounds, and with the parser's errors as short problems."""

    __slots__ = ("_crowd", "_metrics")

    def __init__(self, server: web.Server, metrics: ServiceMetrics, crowd: Crowd) -> None:
        super().__init__(
            server,
            loop=asyncio.get_running_loop(),
            access_log=None,  # type: ignore[arg-type] # how aiohttp's own runners have none
            max_line_size=MAX_LINE_BYTES,
            max_field_size=MAX_FIELD_BYTES,
            max_headers=MAX_FIELDS,
            keepalive_timeout=KEEPALIVE_SECONDS,
            lingering_time=LINGERING_SECONDS,
            auto_decompress=False,
        )
        self._metrics = metrics
        self._crowd = crowd

    @property
    def busy(self) -> bool:
        """Whether a request is being served or waits to be."""
        return self._request_in_progress or bool(self._messages)

    @property
    def has_asked(self) -> bool:
        """Whether a whole head of a request ever arrived."""
        return self._request_count > 0

    def give_way(self) -> None:
        """Close at once, with what was not sent yet, so that the descriptor is free."""
        transport = self.transport
        self.force_close()
        if transport is not None:
            transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin, unless there are too many already."""
        super().connection_made(transport)
        self._crowd.enter(self, now=asyncio.get_running_loop().time())

    def connection_lost(self, exc: BaseException | None) -> None:
        """Make room."""
        self._crowd.leave(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Feed the parser; a body that it cannot parse ends the handler's wait for it.

        aiohttp queues the parser's error behind the request whose body is broken, and that request waits for the rest.
        """
        super().data_received(data)
        current = self._current_request
        if current is not None and self._messages and not isinstance(self._messages[-1][0], RawRequestMessage):
            content = current.content
            if not content.is_eof():
                content.set_exception(web.RequestPayloadError())
                content.feed_eof()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002 - it quotes what the client sent
    ) -> web.StreamResponse:
        """Answer what no middleware answered, and close the connection.

        Raises:
            ConnectionError: a response had begun, another cannot be sent.
        """
        if request.writer.output_size > 0:
            raise ConnectionError("the response had begun") from exc
        if isinstance(exc, HttpProcessingError):
            status, code, detail = _refusal(exc)
            # Only the kind of error is told: its text quotes what the client sent.
            log.warning("request refused", code=code, error=type(exc).__name__)
            self._metrics.observe("other", MALFORMED, status, 0.0)
            response = problem(status, code, detail=detail)
        else:
            log.error("unexpected error outside of the application", exc_info=exc)
            response = problem(status, "internal_error")
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers[hdrs.SERVER] = "farseal"
        response.force_close()
        return response

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Send a response; an error of aiohttp that passed no middleware (``Expect``, 417) becomes a problem."""
        if isinstance(resp, web.HTTPException) and resp.status >= 400:
            resp = problem(resp.status, code_of(resp.status))
        return await super().finish_response(request, resp, start_time)


def _refusal(error: HttpProcessingError) -> tuple[int, str, str]:
    if isinstance(error, LineTooLong):
        limit = error.args[1] if len(error.args) > 1 else None
        if limit == MAX_FIELD_BYTES:
            return 431, "headers_too_large", f"a header is longer than {MAX_FIELD_BYTES} bytes"
        return 414, "uri_too_long", f"the request line is longer than {MAX_LINE_BYTES} bytes"
    if error.message.startswith("Too many headers"):
        return 431, "headers_too_large", f"more than {MAX_FIELDS} headers"
    return 400, "request_malformed", "this is not a well-formed HTTP request"
