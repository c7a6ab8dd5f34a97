"""The words after a command, checked by the rules of names before anything is done."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias
from uuid import UUID

import click

from auth_server.accounts import names
from auth_server.accounts.names import NameRefusedError

UserRef: TypeAlias = str | UUID

if TYPE_CHECKING:
    _Text = click.ParamType[str]
    _Pair = click.ParamType[tuple[str, str]]
    _User = click.ParamType[UserRef]
else:  # generic since click 8.5 only
    _Text = _Pair = _User = click.ParamType


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


def _attribute_value(text: str) -> str:
    if not text.isprintable():
        raise NameRefusedError("an attribute's value is printable text here; the manifest takes any JSON value")
    return text


USER = User()
USERNAME = Name("username", names.username)
CLIENT_ID = Name("client", names.client_id)
AUDIENCE = Name("resource", names.audience)
SCOPE = Name("scope", names.scope)
ROLE = Name("role", names.role)
CLAIM = Name("claim", names.claim)
DISPLAY_NAME = Name("name", names.display_name)
ATTRIBUTE = Mapped("name=value", names.attribute, _attribute_value)
CLAIM_OF = Mapped("claim=attribute", names.claim, names.attribute)
