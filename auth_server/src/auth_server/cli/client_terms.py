"""How long tokens and sessions of a client live: options of `client create` and `client update`."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Self, TypeVar, get_args

import click

from auth_server.cli import output
from auth_server.cli.parameters import DEFAULT, Duration
from auth_server.cli.session import Refusal, moment, told
from auth_server.cli.times import duration_words
from auth_server.database_settings import load_session_settings
from auth_server.grants.refresh_rules import ClientTerms, RefreshPolicy
from auth_server.storage import clients
from auth_server.storage.clients import Client
from auth_server.storage.connection import Connection
from auth_server.terms import ACCESS_TOKEN_SECONDS, REFRESH_GRACE_SECONDS, SESSION_SECONDS

F = TypeVar("F", bound=Callable[..., Any])

_OPTIONS = (
    click.option("--access-token-seconds", type=Duration(ACCESS_TOKEN_SECONDS), help="Life of its access tokens."),
    click.option(
        "--refresh",
        type=click.Choice(get_args(RefreshPolicy)),
        help="What a refresh token that is used becomes: a new one, or the same for longer; or there is none.",
    ),
    click.option("--idle", type=Duration(SESSION_SECONDS), help="A session without a refresh ends after this."),
    click.option("--absolute", type=Duration(SESSION_SECONDS), help="Every session ends after this."),
    click.option(
        "--grace",
        type=Duration(REFRESH_GRACE_SECONDS),
        help="A refresh token that was used leads to its successor for so long; later it is taken for stolen.",
    ),
)


def terms_options(command: F) -> F:
    """--access-token-seconds, --refresh, --idle, --absolute, --grace: what `AskedTerms.of` reads."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


@dataclass(frozen=True, slots=True)
class AskedTerms:
    """What was asked for. None stands for what was not named, `DEFAULT` for the server's own setting."""

    access_token_seconds: int | str | None = None
    refresh: RefreshPolicy | None = None
    idle: int | str | None = None
    absolute: int | str | None = None
    grace: int | str | None = None

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> Self:
        """The terms among the options of a command."""
        return cls(**{name: options[name] for name in ("access_token_seconds", "refresh", "idle", "absolute", "grace")})

    def upon(self, client: Client) -> Client:
        """A client with what was named in place of its own.

        Raises:
            Refusal: a session of it might be idle for longer than it may last.
        """
        old = client.terms
        terms = ClientTerms(
            policy=self.refresh or old.policy,
            idle_seconds=_seconds(self.idle, old.idle_seconds),
            absolute_seconds=_seconds(self.absolute, old.absolute_seconds),
            grace_seconds=_seconds(self.grace, old.grace_seconds),
        )
        idle, absolute = terms.idle_seconds, terms.absolute_seconds
        if idle is not None and absolute is not None and idle > absolute:
            raise Refusal(f"--idle is at most --absolute: {idle} s are more than {absolute} s")
        life = _seconds(self.access_token_seconds, client.access_token_seconds)
        return replace(client, access_token_seconds=life, terms=terms)


def warn(client_id: str, *, idle: int | None, absolute: int | None) -> None:
    """Say on standard error where a client's own idle time comes to nothing: its sessions end before, by the server's
    own setting as the environment of this command has it. Against its own it is refused.

    Raises:
        Unavailable: the settings have faults.
    """
    if idle is None or absolute is not None:
        return
    with told():
        lasts = load_session_settings(os.environ).session_absolute_seconds
    if idle > lasts:
        output.warn(
            f"sessions of {client_id} end after {duration_words(lasts)} in any case, the server's own --absolute; "
            f"--idle {duration_words(idle)} is never reached"
        )


async def write(conn: Connection, before: Client, after: Client) -> None:
    """Make a client's name, lives and sessions those of ``after``. Run it inside a transaction."""
    if after == before:
        return
    await clients.update(
        conn, after.id, name=after.name, grant_types=after.grant_types,
        access_token_seconds=after.access_token_seconds, now=moment(),
    )  # fmt: skip
    await clients.set_terms(conn, after.id, after.terms, now=moment())


def _seconds(asked: int | str | None, before: int | None) -> int | None:
    if asked is None:
        return before
    return None if asked == DEFAULT else int(asked)
