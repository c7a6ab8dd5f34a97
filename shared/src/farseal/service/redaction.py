"""What a secret looks like, by the name of its field and by its own look. Pure; always errs towards hiding."""

import re
from collections.abc import Mapping, MutableMapping
from functools import lru_cache
from typing import Any, Final

from farseal.environment import Secret
from farseal.environment.secret import SHOWN

MAX_TEXT_CHARACTERS: Final = 16_000
"""Longer text is cut before it is searched: a log line is not a transport."""

MAX_DEPTH: Final = 6
"""Levels of containers shown."""

_SECRET_NAME: Final = re.compile(
    r"passw(or)?d|passphrase|secret|authorization|cookie|credential|private_?key|api_?key|assertion"
    r"|(^|_)(token|jwt|dsn|kek|code_verifier|refresh|bearer)$|(^|_)(database|db|postgres\w*)_ur[il]$"
)
_NOT_SECRET_NAME: Final = re.compile(r"_(file|count|id|bytes|seconds|total|method|methods|type|length|path)$")
"""`kek_file` is a path, `secret_count` a number."""

_CHAR: Final = r"[A-Za-z0-9_-]"
_NOT_A_CREDENTIAL: Final = (
    r"auth\b|authentication\b|authorization\b|challenge\b|credentials?\b|header\b|realm\b|scheme\b|tokens?\b"
    r"|[a-z_]+=\""
)
"""Words of prose and parameters of a challenge that follow the name of a scheme."""

_PRIVATE_KEY: Final = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL
)
# A compact JWS or JWE: its header begins as a JSON object does, or it has three long parts.
_TOKEN: Final = re.compile(
    rf"(?<!{_CHAR})e[wy]{_CHAR}{{6,}}\.{_CHAR}*(?:\.{_CHAR}*)*"
    rf"|(?<![\w.-]){_CHAR}{{16,}}\.{_CHAR}{{16,}}\.{_CHAR}{{16,}}(?:\.{_CHAR}*)*"
)
_SCHEME: Final = re.compile(
    rf"\b(Bearer|Basic|DPoP|Negotiate|Digest)(\s+|%20|\+)(?!{_NOT_A_CREDENTIAL})[^\s,;'\"<>]{{4,}}", re.IGNORECASE
)
# The greedy run reaches the last @: a password may hold one that nobody escaped.
_DSN_PASSWORD: Final = re.compile(r"\b([a-z][a-z0-9+.-]{1,20}://[^\s:/@]*):[^\s]+@", re.IGNORECASE)
# What a client authenticates with, as the auth server makes it: the prefix is there to be found.
_CLIENT_SECRET: Final = re.compile(rf"fsc_{_CHAR}{{20,}}")
_HASH: Final = re.compile(r"\$(?:argon2(?:id|i|d)|2[aby]|scrypt|pbkdf2[\w-]*)\$[^\s'\"]+")
_ASSIGNED: Final = re.compile(
    r"(passw(?:or)?d|passphrase|secret|assertion|(?:access|refresh|id)_token|\btoken|api_?key|authorization"
    r"|private_key|code_verifier)(\\?[\"']?\s*(?:=>|=|:)\s*)"
    rf"(?!{re.escape(SHOWN)}|\[token\]|(?:Bearer|Basic|DPoP|Negotiate|Digest)\b)"
    r"(\\?\"[^\"]*\"?|\\?'[^']*'?|[^\s,;&)}\]\"']+)",
    re.IGNORECASE,
)
_VALUES: Final = (
    ("-----BEGIN ", _PRIVATE_KEY, "[private key]"),
    (".", _TOKEN, "[token]"),
    ("", _SCHEME, rf"\1 {SHOWN}"),
    ("://", _DSN_PASSWORD, rf"\1:{SHOWN}@"),
    ("fsc_", _CLIENT_SECRET, "[client secret]"),
    ("$", _HASH, "[password hash]"),
    ("", _ASSIGNED, rf"\1\2{SHOWN}"),
)
"""What a text must contain for a pattern to be tried, the pattern, and what stands there instead."""

_PLAIN: Final = re.compile(r"(?!.*fsc_)[A-Za-z0-9_/{}\[\]()<>*@#!?,;|~^-]*")
"""But for a client secret, no pattern matches without a character missing here: most values are proved so at once."""


_CONTROL: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029]")
_LINE_ENDS: Final = re.compile(r"[\n\t]")


@lru_cache(maxsize=1024)
def is_secret_name(name: str) -> bool:
    """Whether a field of this name holds a secret whatever it looks like."""
    lowered = name.lower().replace("-", "_")
    return bool(_SECRET_NAME.search(lowered)) and not _NOT_SECRET_NAME.search(lowered)


def redact_text(text: str) -> str:
    """The text without anything that looks like a secret; control bytes that could forge a line are escaped."""
    if len(text) > MAX_TEXT_CHARACTERS:
        text = text[:MAX_TEXT_CHARACTERS] + "..."
    if _PLAIN.fullmatch(text):
        return text
    for needed, pattern, replacement in _VALUES:
        if needed in text:
            text = pattern.sub(replacement, text)
    return _CONTROL.sub(_escaped, text.encode("utf-8", "backslashreplace").decode())


def redact_event(event: MutableMapping[str, Any]) -> dict[str, Any]:
    """Every field of a log event, redacted at every depth."""
    return {_one_line(key): _field(key, value, 0) for key, value in event.items()}


def _field(name: str, value: Any, depth: int) -> Any:
    if is_secret_name(name) and not isinstance(value, (bool, int, float, type(None))):
        return SHOWN
    if name == "exception" and isinstance(value, str):
        return redact_text(value)
    return _value(value, depth)


def _value(value: Any, depth: int) -> Any:
    match value:
        case None | bool() | int() | float():
            return value
        case str():
            return _one_line(value)
        case bytes() | bytearray() | memoryview():
            return f"[{len(value)} bytes]"
        case Secret():
            return SHOWN
        case BaseException():
            return _one_line(f"{type(value).__name__}: {value}")
    if depth >= MAX_DEPTH:
        return "..."
    match value:
        case Mapping():
            return {_one_line(str(key)): _field(str(key), item, depth + 1) for key, item in value.items()}
        case list() | tuple() | set() | frozenset():
            return [_value(item, depth + 1) for item in value]
        case _:
            return _one_line(str(value))


def _one_line(text: str) -> str:
    return _LINE_ENDS.sub(_escaped, redact_text(text))


def _escaped(match: re.Match[str]) -> str:
    return ascii(match.group())[1:-1]
