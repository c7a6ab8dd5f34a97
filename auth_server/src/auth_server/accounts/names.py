"""The forms of names: what may be stored, and the one spelling under which it is looked up.

Every function gives the name back in that spelling, or raises `NameRefusedError` with a sentence that says the rule
and never quotes the value, which may be a password typed into the wrong field.
"""

import re
import unicodedata
from typing import Final
from uuid import UUID

from farseal.identifiers import is_scope, resource_identifier
from farseal.vocabulary import REGISTERED_CLAIMS

USERNAME_CHARACTERS: Final = 128
DISPLAY_NAME_CHARACTERS: Final = 200
SCOPE_BYTES: Final = 128

_CLIENT_ID = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_ROLE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,63}")
_ATTRIBUTE = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}")
_CLAIM = re.compile(r"[A-Za-z_][A-Za-z0-9_.:/-]{0,127}")


class NameRefusedError(ValueError):
    """The text is not a name of its kind."""


def normalise_username(text: str) -> str:
    """Spell a username the one way it is stored: NFC, lower case. Never fails, whatever was typed."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).lower())


def username(text: str) -> str:
    """A name that a person logs in with: 1 to 128 characters after normalisation.

    No space, control or other unprintable character; no colon, which HTTP Basic cannot carry (RFC 7617 section 2);
    not shaped like a UUID, so that `sub` and username are told apart by their looks.
    """
    name = normalise_username(text)
    if not 1 <= len(name) <= USERNAME_CHARACTERS:
        raise NameRefusedError(f"a username has 1 to {USERNAME_CHARACTERS} characters")
    if ":" in name or " " in name or not name.isprintable():
        raise NameRefusedError("a username has no space, no colon and no control character")
    if _is_uuid(name):
        raise NameRefusedError("a username must not look like a UUID")
    return name


def client_id(text: str) -> str:
    """An id of 1 to 64 of a-z 0-9 . _ - that begins with a letter or digit and is not shaped like a UUID.

    A client's id is the `sub` of its own tokens and must never be mistaken for a user's (RFC 9068 section 5).
    """
    if not _CLIENT_ID.fullmatch(text):
        raise NameRefusedError("a client id is 1 to 64 of a-z 0-9 . _ - and begins with a letter or digit")
    if _is_uuid(text):
        raise NameRefusedError("a client id must not look like a UUID")
    return text


def audience(text: str) -> str:
    """An absolute URI without a fragment (RFC 8707 section 2), compared byte for byte."""
    try:
        return resource_identifier(text)
    except ValueError as error:
        raise NameRefusedError(f"a resource {error}") from None


def scope(text: str) -> str:
    """A scope-token of RFC 6749 section 3.3, at most 128 bytes."""
    if len(text) > SCOPE_BYTES or not is_scope(text):
        raise NameRefusedError(
            f"a scope is 1 to {SCOPE_BYTES} printable ASCII characters without space, quote and backslash"
        )
    return text


def role(text: str) -> str:
    """A role of 1 to 64 of A-Z a-z 0-9 . _ : - that begins with a letter or digit."""
    if not _ROLE.fullmatch(text):
        raise NameRefusedError("a role is 1 to 64 of A-Z a-z 0-9 . _ : - and begins with a letter or digit")
    return text


def attribute(text: str) -> str:
    """The name of a user's attribute: 1 to 64 of A-Z a-z 0-9 _ . - that begins with a letter or underscore."""
    if not _ATTRIBUTE.fullmatch(text):
        raise NameRefusedError("an attribute is 1 to 64 of A-Z a-z 0-9 _ . - and begins with a letter or an underscore")
    return text


def claim(text: str) -> str:
    """The name of a claim that shows an attribute. A registered claim is the issuer's own and is refused."""
    if not _CLAIM.fullmatch(text):
        raise NameRefusedError("a claim is 1 to 128 of A-Z a-z 0-9 _ . : / - and begins with a letter or an underscore")
    if text in REGISTERED_CLAIMS:
        raise NameRefusedError("this claim has a meaning of its own and cannot show an attribute")
    return text


def display_name(text: str) -> str:
    """A name for people: 1 to 200 printable characters, with no space around it."""
    if not 1 <= len(text) <= DISPLAY_NAME_CHARACTERS or not text.isprintable() or text != text.strip():
        raise NameRefusedError(
            f"a name is 1 to {DISPLAY_NAME_CHARACTERS} printable characters without spaces around them"
        )
    return text


def _is_uuid(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True
