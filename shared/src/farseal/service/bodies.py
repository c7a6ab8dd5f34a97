"""Reading a request's body: bounded, of the right kind, strict, with the place of a fault in the answer.

Every refusal is a `ProblemError`: 413 beyond the limit, 415 for another media type, charset or any compression,
400 for everything malformed, 408 when the body does not arrive.
"""

import asyncio
from typing import Any, Final, TypeVar

import msgspec
from aiohttp import hdrs, web

from farseal.encoding import EncodingError, parse_json
from farseal.problems import ProblemError
from farseal.service.forms import Form, FormError, parse_form

T = TypeVar("T", bound=msgspec.Struct)

MAX_BODY_BYTES: Final = 64 * 1024
"""Far above what our APIs take, far below what would hurt: a thousand at once are 64 MiB."""

BODY_SECONDS: Final = 15.0
"""A body of `MAX_BODY_BYTES` needs 35 kbit/s; slower senders only hold a connection."""

JSON_MEDIA_TYPE: Final = "application/json"
FORM_MEDIA_TYPE: Final = "application/x-www-form-urlencoded"


async def read_json(request: web.Request, kind: type[T], *, max_bytes: int = MAX_BODY_BYTES) -> T:
    """The body as a ``kind``; members that ``kind`` does not know are refused.

    Nested structs need ``forbid_unknown_fields=True`` of their own.

    Raises:
        ProblemError: 400 ``json_malformed`` or ``body_invalid`` with the place in ``detail``, 408, 413, 415.
    """
    data = await read_body(request, JSON_MEDIA_TYPE, max_bytes=max_bytes)
    if not data.strip():
        raise ProblemError(400, "json_malformed", "the body is empty")
    try:
        value = parse_json(data, max_bytes=max_bytes)
    except EncodingError as error:
        raise ProblemError(400, "json_malformed", str(error)) from None
    place = _first_nul(value, "$")
    if place:
        raise ProblemError(400, "body_invalid", f"{place}: a NUL character")
    if isinstance(value, dict):
        known = {field.encode_name for field in msgspec.structs.fields(kind)}
        unknown = next((name for name in value if name not in known), None)
        if unknown is not None:
            raise ProblemError(400, "body_invalid", f"$: unknown member {_quoted(unknown)}")
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise ProblemError(400, "body_invalid", _placed(str(error))) from None


async def read_form(request: web.Request, *, max_bytes: int = MAX_BODY_BYTES) -> Form:
    """The body as an HTML form (the URL standard's ``application/x-www-form-urlencoded``).

    Raises:
        ProblemError: 400 ``form_malformed`` with the place in ``detail``, 408, 413, 415.
    """
    data = await read_body(request, FORM_MEDIA_TYPE, max_bytes=max_bytes)
    try:
        return parse_form(data)
    except FormError as error:
        raise ProblemError(400, "form_malformed", str(error)) from None


async def read_body(request: web.Request, media_type: str, *, max_bytes: int = MAX_BODY_BYTES) -> bytes:
    """The bytes of a body of this media type, of a stated length or chunked.

    Raises:
        ProblemError: 413 when it is longer than ``max_bytes``, 415 for another media type, a charset other than UTF-8
            or a content coding, 408 when it takes longer than `BODY_SECONDS`.
    """
    _check_headers(request, media_type)
    if request.content_length is not None and request.content_length > max_bytes:
        raise _too_large(max_bytes)
    data = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            while chunk := await request.content.readany():
                data += chunk
                if len(data) > max_bytes:
                    raise _too_large(max_bytes)
    except TimeoutError:
        raise ProblemError(
            408, "body_timeout", f"the body did not arrive within {BODY_SECONDS:g} s", {"Connection": "close"}
        ) from None
    return bytes(data)


def _check_headers(request: web.Request, media_type: str) -> None:
    types = request.headers.getall(hdrs.CONTENT_TYPE, [])
    if len(types) != 1 or request.content_type != media_type:
        raise ProblemError(415, "media_type_unsupported", f"Content-Type must be {media_type}", {"Accept": media_type})
    charset = request.charset
    if charset is not None and charset.lower() not in ("utf-8", "utf8"):
        raise ProblemError(415, "charset_unsupported", "the charset must be UTF-8", {"Accept": media_type})
    codings = ",".join(request.headers.getall(hdrs.CONTENT_ENCODING, []))
    if codings.strip().lower() not in ("", "identity"):
        # RFC 9110 section 8.4: 415 with the codings that would be accepted.
        raise ProblemError(
            415, "content_coding_unsupported", "the body must not be compressed", {"Accept-Encoding": "identity"}
        )


def _too_large(max_bytes: int) -> ProblemError:
    return ProblemError(413, "body_too_large", f"the body is longer than {max_bytes} bytes")


def _placed(message: str) -> str:
    """msgspec says "Expected `str`, got `int` - at `$.title`"; we say "$.title: expected str, got int"."""
    text, _, place = message.partition(" - at ")
    text = text.replace("`", "")
    return f"{place.replace('`', '') or '$'}: {text[:1].lower()}{text[1:]}"


def _first_nul(value: Any, place: str) -> str | None:
    match value:
        case str():
            return place if "\x00" in value else None
        case list():
            items = ((item, f"{place}[{index}]") for index, item in enumerate(value))
        case dict():
            if any("\x00" in name for name in value):
                return f"{place} (a member's name)"
            items = ((item, f"{place}.{name}") for name, item in value.items())
        case _:
            return None
    return next((found for item, at in items if (found := _first_nul(item, at))), None)


def _quoted(name: str) -> str:
    return ascii(name if len(name) <= 60 else name[:57] + "...")
