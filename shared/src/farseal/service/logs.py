"""Structured logs, and the one step that lets no token, secret or password through.

Everything goes one way: structlog's events and the standard library's records (aiohttp, asyncpg, asyncio) become one
event, are redacted, and are written as one line. Redaction works by the name of a field and by the look of a value,
in every string at every depth, exception texts included. A traceback names files, lines and functions, no locals.
"""

import logging
import sys
import traceback
from typing import Any, Final, Literal, TextIO

import msgspec
import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from farseal.service.redaction import redact_event, redact_text

Format = Literal["json", "console"]

_LEVELS: Final = {"debug": 10, "info": 20, "warning": 30, "error": 40, "critical": 50}

_QUIET: Final = ("asyncio", "aiohttp", "asyncpg", "watchfiles")
"""Libraries whose debug and info lines are about themselves."""


def configure_logging(
    service: str,
    *,
    level: str = "info",
    format: Format = "json",  # noqa: A002 - the word of the setting
    stream: TextIO | None = None,
) -> None:
    """Send every log of this process to ``stream`` (standard error unless told), one redacted line each.

    May be called again; the last call holds.

    Raises:
        ValueError: an unknown level or format.
    """
    if level not in _LEVELS or format not in ("json", "console"):
        raise ValueError(f"no such log level or format: {level}, {format}")
    stream = sys.stderr if stream is None else stream

    def put_first(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        # People read lines from the left.
        first = {"timestamp": event.pop("timestamp"), "level": event.pop("level"), "service": service}
        return {**first, "event": event.pop("event", ""), **event}

    render: Processor = _render_json
    if format == "console":
        render = structlog.dev.ConsoleRenderer(
            colors=stream.isatty(), exception_formatter=structlog.dev.plain_traceback
        )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            format_exception,
            redact,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            put_first,
            render,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
        logger_factory=structlog.WriteLoggerFactory(stream),
        cache_logger_on_first_use=False,
    )
    root = logging.getLogger()
    root.handlers[:] = [handler for handler in root.handlers if not isinstance(handler, _ToStructlog)]
    root.addHandler(_ToStructlog())
    root.setLevel(_LEVELS[level])
    for library in _QUIET:
        logging.getLogger(library).setLevel(max(_LEVELS[level], logging.WARNING))
    logging.captureWarnings(True)


def redact(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """The structlog processor: every field of the event, redacted."""
    return redact_event(event)


def format_exception(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Put ``exc_info`` as text into ``exception``: files, lines and functions of the whole chain, no locals."""
    found = event.pop("exc_info", None)
    if found is True:
        found = sys.exc_info()
    if isinstance(found, tuple):
        found = found[1]
    if isinstance(found, BaseException):
        event["exception"] = exception_text(found)
    return event


def exception_text(error: BaseException) -> str:
    """The traceback of an error and of what caused it, redacted."""
    lines = traceback.TracebackException.from_exception(error, limit=-30, capture_locals=False).format()
    return redact_text("".join(lines).rstrip())


class _ToStructlog(logging.Handler):
    """Hands a record of the standard library over as a structlog event."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            fields: dict[str, Any] = {"logger": record.name}
            if record.exc_info:
                fields["exc_info"] = record.exc_info
            structlog.get_logger().log(record.levelno, record.getMessage(), **fields)
        except Exception:  # noqa: BLE001 - a log line must not end what it tells of
            self.handleError(record)


def _render_json(_logger: WrappedLogger, _method: str, event: EventDict) -> str:
    return msgspec.json.encode(event, order=None).decode()
