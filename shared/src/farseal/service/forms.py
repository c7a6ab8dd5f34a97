"""``application/x-www-form-urlencoded``, strictly: RFC 6749 appendix B over the URL standard's parser. Pure."""

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote_to_bytes

MAX_FIELDS: Final = 100
"""A token request has ten."""

_STRAY_PERCENT: Final = re.compile(rb"%(?![0-9A-Fa-f]{2})")


class FormError(ValueError):
    """The bytes are not a form. The message has the place and never quotes the data."""


@dataclass(frozen=True, slots=True, repr=False)
class Form:
    """Names and values in their order. Not shown by repr: a form may carry a secret."""

    fields: tuple[tuple[str, str], ...]

    def get(self, name: str) -> str | None:
        """The first value of a name; None when it is absent or empty (RFC 6749 section 3.2: as if omitted)."""
        return next((value for found, value in self.fields if found == name and value), None)

    def get_all(self, name: str) -> tuple[str, ...]:
        """Every value of a name that is not empty, such as the repeated ``resource`` of RFC 8707."""
        return tuple(value for found, value in self.fields if found == name and value)

    def names(self) -> tuple[str, ...]:
        """Each name once, in order of appearance."""
        return tuple(dict.fromkeys(name for name, _ in self.fields))

    def repeated(self, *, allowed: Collection[str] = ()) -> tuple[str, ...]:
        """Names sent more than once, which RFC 6749 section 3.2 forbids, but for ``allowed``."""
        names = [name for name, _ in self.fields]
        return tuple(name for name in self.names() if name not in allowed and names.count(name) > 1)


def parse_form(data: bytes) -> Form:
    """The fields of a form.

    Raises:
        FormError: a stray percent sign, bytes that are not UTF-8, a NUL, or more than `MAX_FIELDS` fields.
    """
    parts = [part for part in data.split(b"&") if part]
    if len(parts) > MAX_FIELDS:
        raise FormError(f"more than {MAX_FIELDS} fields")
    fields: list[tuple[str, str]] = []
    for number, part in enumerate(parts, start=1):
        name, _, value = part.partition(b"=")
        fields.append((_decoded(name, f"name of field {number}"), _decoded(value, f"value of field {number}")))
    return Form(tuple(fields))


def _decoded(data: bytes, place: str) -> str:
    if _STRAY_PERCENT.search(data):
        raise FormError(f"{place}: a stray percent sign")
    try:
        text = unquote_to_bytes(data.replace(b"+", b" ")).decode()
    except UnicodeDecodeError:
        raise FormError(f"{place}: not UTF-8") from None
    if "\x00" in text:
        raise FormError(f"{place}: a NUL character")
    return text
