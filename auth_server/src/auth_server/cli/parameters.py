"""The words after a command, checked by the rules of names before anything is done."""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, TypeAlias
from uuid import UUID

import click

from auth_server.accounts import names
from auth_server.accounts.names import NameRefusedError

UserRef: TypeAlias = str | UUID

if TYPE_CHECKING:
    _Text = click.ParamType[str]
    _Pair = click.ParamType[tuple[str, str]]
    _User = click.ParamType[UserRef]
    _Since = click.ParamType[datetime]
    _Duration = click.ParamType[int | str]
else:  # generic since click 8.5 only
    _Text = _Pair = _User = _Since = _Duration = click.ParamType

_KID: Final = re.compile("[A-Za-z0-9_-]{43}")
_AGO: Final = re.compile("([0-9]{1,6})(s|min|h|d)")
_DURATION: Final = re.compile("([0-9]{1,9})(s|min|h|d)?")
_UNIT_SECONDS: Final = {"s": 1, "min": 60, "h": 3600, "d": 86400}
DEFAULT: Final = "default"
"""Instead of a time: the server's own setting."""
NONE: Final = "none"
"""Instead of a client: nobody. A client of that name can be named in a manifest."""
REASON_CHARACTERS: Final = 500
ACTOR_CHARACTERS: Final = 64


class Name(_Text):
    """A name of one kind."""

    def __init__(self, word: str, rule: Callable[[str], str]) -> None:
        self.name = word
        self._rule = rule

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The one spelling of the name, or a usage error that says the rule."""
        try:
            return self._rule(value)
        except NameRefusedError as error:
            self.fail(str(error), param, ctx)


class Mapped(_Pair):
    """NAME=VALUE."""

    def __init__(self, word: str, left: Callable[[str], str], right: Callable[[str], str]) -> None:
        self.name = word
        self._left = left
        self._right = right

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        """Both sides, each by its rule."""
        if isinstance(value, tuple):
            return value
        left, equals, right = value.partition("=")
        if not equals:
            self.fail(f"expected {self.name}", param, ctx)
        try:
            return self._left(left), self._right(right)
        except NameRefusedError as error:
            self.fail(str(error), param, ctx)


class User(_User):
    """A username, or the id that is the `sub` of tokens."""

    name = "user"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> UserRef:
        """A UUID when it looks like one, else the name in its one spelling."""
        if isinstance(value, UUID):
            return value
        try:
            return UUID(value)
        except ValueError:
            pass
        try:
            return names.username(value)
        except NameRefusedError as error:
            self.fail(str(error), param, ctx)


class Since(_Since):
    """A moment in the past: a duration such as 90s, 30min, 6h or 7d, or a date with or without a time."""

    name = "since"

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """The moment; one without an offset is UTC."""
        if isinstance(value, datetime):
            return value
        ago = _AGO.fullmatch(value)
        if ago is not None:
            seconds = int(ago[1]) * _UNIT_SECONDS[ago[2]]
            return datetime.fromtimestamp(max(0, int(self._now().timestamp()) - seconds), UTC)
        try:
            moment = datetime.fromisoformat(value)
            return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
        except (ValueError, OverflowError):
            self.fail("expected 90s, 30min, 6h, 7d, or a time such as 2026-11-24T18:00Z", param, ctx)


class Duration(_Duration):
    """Seconds, or 90s, 30min, 12h, 7d, within bounds; or the word `DEFAULT`."""

    name = "duration"

    def __init__(self, bounds: tuple[int, int]) -> None:
        self._low, self._high = bounds

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | str:
        """Seconds, or `DEFAULT` as it is."""
        if value == DEFAULT:
            return DEFAULT
        if isinstance(value, int):
            return value
        found = _DURATION.fullmatch(value)
        if found is None:
            self.fail(f"expected seconds, 90s, 30min, 12h, 7d, or {DEFAULT}", param, ctx)
        seconds = int(found[1]) * _UNIT_SECONDS[found[2] or "s"]
        if not self._low <= seconds <= self._high:
            self.fail(f"it is {self._low} to {self._high} seconds, or {DEFAULT} for the server's own", param, ctx)
        return seconds


def kid_text(text: str) -> str:
    """A key id as this server makes them: the RFC 7638 thumbprint, SHA-256 in base64url."""
    if not _KID.fullmatch(text):
        raise NameRefusedError("a KID is 43 characters of base64url; farseal-auth keys list shows them")
    return text


def _words_of_people(word: str, most: int) -> Callable[[str], str]:
    def rule(text: str) -> str:
        if not 1 <= len(text) <= most or not text.isprintable() or text != text.strip():
            raise NameRefusedError(f"{word} is 1 to {most} printable characters without spaces around them")
        return text

    return rule


def _attribute_value(text: str) -> str:
    if not text.isprintable():
        raise NameRefusedError("an attribute's value is printable text here; the manifest takes any JSON value")
    return text


USER = User()
USERNAME = Name("username", names.username)
CLIENT_ID = Name("client", names.client_id)
CLIENT_OR_NONE = Name("client", lambda text: text if text == NONE else names.client_id(text))
AUDIENCE = Name("resource", names.audience)
SCOPE = Name("scope", names.scope)
ROLE = Name("role", names.role)
CLAIM = Name("claim", names.claim)
DISPLAY_NAME = Name("name", names.display_name)
ATTRIBUTE = Mapped("name=value", names.attribute, _attribute_value)
KID = Name("kid", kid_text)
REASON = Name("text", _words_of_people("a reason", REASON_CHARACTERS))
ACTOR = Name("name", _words_of_people("an actor", ACTOR_CHARACTERS))
CLAIM_OF = Mapped("claim=attribute", names.claim, names.attribute)
