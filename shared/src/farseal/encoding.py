"""Strict base64url and JSON: one accepted spelling for the first, one possible reading for the second.

Why not the standard library's: `base64` skips characters it does not know and ignores stray bits, so one token has many
spellings, which defeats caches and deny lists keyed on its text. `json` keeps the last of duplicate members, reads NaN
and lone surrogates, and so two parsers may see two different tokens (RFC 8725 section 2.4 and 3.7, RFC 8259 section 4).
"""

import json
import re
from binascii import a2b_base64, b2a_base64
from math import isinf
from typing import Any, Final, NoReturn

import msgspec

MAX_JSON_BYTES: Final = 1 << 20
"""1 MiB: forty times a JWKS of a hundred 2048-bit keys."""

MAX_JSON_DEPTH: Final = 16
"""Levels of arrays and objects. Tokens and key sets need 4; parsers overflow their stack at about 1,000."""

ALPHABET: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
"""Of base64url."""
_TO_STANDARD: Final = bytes.maketrans(b"-_", b"+/")
_TO_URL: Final = bytes.maketrans(b"+/", b"-_")
_PADDING: Final = (b"", b"", b"==", b"=")
# The last character of a group of 2 carries 4 bits that no byte owns, of a group of 3 it carries 2: they must be zero.
_LAST_OF_2: Final = frozenset(b"AQgw")
_LAST_OF_3: Final = frozenset(b"AEIMQUYcgkosw048")

# A string without its end takes the rest: were it no match, each quote in it would begin another scan to the end.
_STRING_OR_BRACKET: Final = re.compile(rb'"(?:[^"\\]|\\.?)*+"?|([\[{])|([\]}])', re.DOTALL)


class EncodingError(ValueError):
    """The bytes are not the strict form. The message names the fault and never quotes the data."""


def b64url_encode(data: bytes) -> str:
    """Base64url without padding (RFC 7515 section 2)."""
    return b2a_base64(data, newline=False).translate(_TO_URL).rstrip(b"=").decode("ascii")


def b64url_decode(text: str | bytes) -> bytes:
    """Bytes of the canonical base64url spelling: no padding, no foreign character, no stray bit (RFC 7515 section 2).

    Raises:
        EncodingError: this text is not the one spelling of any bytes.
    """
    if isinstance(text, str):
        try:
            text = text.encode("ascii")
        except UnicodeEncodeError:
            raise EncodingError("not base64url: a character outside the alphabet") from None
    if text.translate(None, ALPHABET):
        raise EncodingError("not base64url: a character outside the alphabet")
    group = len(text) & 3
    if group:
        if group == 1:
            raise EncodingError("not base64url: an impossible length")
        if text[-1] not in (_LAST_OF_2 if group == 2 else _LAST_OF_3):
            raise EncodingError("not base64url: stray bits in the last character")
    return a2b_base64(text.translate(_TO_STANDARD) + _PADDING[group])


def parse_json(data: bytes, *, max_bytes: int = MAX_JSON_BYTES, max_depth: int = MAX_JSON_DEPTH) -> Any:
    """The one value that these bytes can mean (RFC 8259, with section 4's SHOULDs as MUSTs).

    Refused: other encodings than UTF-8, a byte order mark, lone surrogates, duplicate members (after unescaping), NaN
    and Infinity, numbers beyond a double, trailing data, more than ``max_bytes`` or ``max_depth`` levels.

    Bytes that are already what we would write are proved free of duplicates by writing them again, which costs a
    quarter of a scan for duplicates; everything else is scanned.

    Raises:
        EncodingError: with the kind of fault and, where a parser knows it, the byte.
    """
    if len(data) > max_bytes:
        raise EncodingError(f"JSON is longer than {max_bytes} bytes")
    if data.count(b"{") + data.count(b"[") > max_depth and _depth_exceeds(data, max_depth):
        raise EncodingError(f"JSON is nested deeper than {max_depth} levels")
    try:
        value = _DECODER.decode(data)
        if msgspec.json.encode(value) != data:
            json.loads(data.decode(), object_pairs_hook=_refuse_duplicates, parse_constant=_refuse_constant)
    except EncodingError:
        raise
    except UnicodeDecodeError:
        raise EncodingError("JSON is not UTF-8") from None
    except msgspec.DecodeError as error:
        raise EncodingError(_fault(data, str(error))) from None
    except (ValueError, RecursionError):
        raise EncodingError("JSON is malformed") from None
    return value


def parse_json_object(
    data: bytes, *, max_bytes: int = MAX_JSON_BYTES, max_depth: int = MAX_JSON_DEPTH
) -> dict[str, Any]:
    """`parse_json`, and the value must be an object.

    Raises:
        EncodingError: as `parse_json`, or the value is of another kind.
    """
    value = parse_json(data, max_bytes=max_bytes, max_depth=max_depth)
    if not isinstance(value, dict):
        raise EncodingError("JSON is not an object")
    return value


def _finite(text: str) -> float:
    number = float(text)
    if isinf(number):
        raise ValueError("number out of range")
    return number


_DECODER: Final = msgspec.json.Decoder(float_hook=_finite)
"""Without the hook msgspec needs 6 us for an awkward number, 0.3 s for a document of them, and lets nobody else run."""


def _depth_exceeds(data: bytes, max_depth: int) -> bool:
    depth = 0
    for match in _STRING_OR_BRACKET.finditer(data):
        if match.group(1):
            depth += 1
            if depth > max_depth:
                return True
        elif match.group(2):
            depth -= 1
    return False


def _refuse_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise EncodingError("JSON has duplicate members")
    return members


def _refuse_constant(_name: str) -> NoReturn:
    raise EncodingError("JSON has a number that is not one")


def _fault(data: bytes, message: str) -> str:
    """The kind of fault and the byte. What msgspec appends about the place in the value could hold member names."""
    kind = message.split(" - ", maxsplit=1)[0]
    if kind != "Input data was truncated":
        return kind if kind.startswith("JSON is malformed") else f"JSON is malformed: {kind.lower()}"
    # The same words for an end that comes too early and for half a surrogate pair, which the standard library reads.
    try:
        json.loads(data)
    except (ValueError, RecursionError):
        return f"JSON is malformed: it ends too early (byte {len(data)})"
    return "JSON has half a surrogate pair"
