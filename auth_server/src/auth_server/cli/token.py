"""farseal-auth token ..."""

import json
import sys
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from auth_server.cli import prompts
from auth_server.cli.client import require as require_client
from auth_server.cli.inspection import (
    SIGNATURE_WORDS,
    MalformedTokenError,
    SessionSeen,
    inspect_token,
    key_words,
    lifetime_words,
    session_words,
)
from auth_server.cli.output import harmless, json_option, show_fields, show_json
from auth_server.cli.parameters import AUDIENCE, CLIENT_ID, SCOPE, USER, UserRef
from auth_server.cli.session import Refusal, Unavailable, in_database, now, with_pool
from auth_server.cli.sessions.access import database_now, settings
from auth_server.cli.sessions.outlook import outlook
from auth_server.cli.user import require
from auth_server.grants.session_id import session_id
from auth_server.storage import session_list, signing_keys
from auth_server.storage.connection import Connection, Pool
from auth_server.storage.signing_keys import StoredKey
from auth_server.terms import ACCESS_TOKEN_SECONDS

if TYPE_CHECKING:
    from auth_server.grants.grant import Opened, Seen
    from auth_server.grants.rules import GrantRefused
    from auth_server.grants.sessions import Sessions

MAX_TOKEN_BYTES: Final = 64 * 1024
STDIN: Final = Path("-")


@click.group()
def token() -> None:
    """Mint a token without a login, or look into one.

    \b
    Examples:
      farseal-auth token mint --user alice --resource https://notes.example.org --scope notes:read
      farseal-auth token inspect < token.txt
    """


@token.command()
@click.option("--user", "user_ref", type=USER, metavar="USER", help="Whose token: username or id.")
@click.option("--client", "client_id", type=CLIENT_ID, metavar="CLIENT", help="Whose token: a client's own.")
@click.option("--resource", "audiences", type=AUDIENCE, multiple=True, help="Audience; repeatable.")
@click.option("--scope", "scopes", type=SCOPE, multiple=True, help="Repeatable; all that is permitted when not given.")
@click.option(
    "--lifetime", type=click.IntRange(1, ACCESS_TOKEN_SECONDS[1]), help="Seconds; as at a login when not given."
)
@json_option
def mint(
    user_ref: UserRef | None,
    client_id: str | None,
    audiences: tuple[str, ...],
    scopes: tuple[str, ...],
    lifetime: int | None,
    *,
    as_json: bool,
) -> None:
    """Sign a token for a user or a client, with exactly what they would be granted now, and print it.

    Needs all settings of the server, the KEK file too: whoever may run this can be anybody. A server must have made
    the signing keys and a status list before. Each use is written to the log (standard error) with the token's id,
    never the token. A user's token is a session of its own, without a refresh token; a client's is one of its standing
    grant: farseal-auth sessions shows and ends them.
    """
    if user_ref is None and client_id is None:
        raise click.UsageError("give --user or --client")
    if user_ref is not None and client_id is not None:
        raise click.UsageError("only one may be given, --user or --client")
    scope = " ".join(scopes) or None

    from auth_server.cli.minting import Mint  # noqa: PLC0415 - the signing half of the service, for this command alone

    mint = Mint.load(lifetime)

    async def work(pool: Pool) -> dict[str, Any]:
        async with pool.acquire() as conn:
            user = None if user_ref is None else await require(conn, user_ref)
            client = None if client_id is None else await require_client(conn, client_id)

        async def open_session(sessions: "Sessions", seen: "Seen", at: int) -> "Opened | GrantRefused":
            if user is not None:
                return await sessions.log_in(
                    user, scope=scope, resources=audiences, seen=seen, now=at, once=True, lifetime=lifetime
                )
            assert client is not None  # noqa: S101 - one of the two was given
            return await sessions.for_client(client, scope=scope, resources=audiences, seen=seen, now=at)

        return await mint.token(pool, open_session)

    issued = with_pool(work)
    if as_json:
        show_json(issued)
    else:
        click.echo(issued["access_token"])


@token.command()
@click.argument("file", type=click.Path(allow_dash=True, path_type=Path), default="-")
@json_option
def inspect(file: Path, *, as_json: bool) -> None:
    """Say what is in the token in FILE or on standard input, and which key and which session of ours it names.

    The signature is neither checked nor printed: the auth server issues tokens and does not verify them. Whether a
    resource server would take the token says `farseal inspect`.
    """
    asked = file == STDIN and prompts.is_interactive()
    text = click.prompt("Token", hide_input=True, err=True) if asked else _read(file)
    try:
        found = inspect_token(text.strip())
    except MalformedTokenError as error:
        raise Refusal(f"not a token: {error}") from None
    verdict = {
        "lifetime": lifetime_words(found.claims, now=now()),
        "key": key_words(found.header, _keys()),
        "session": session_words(found.claims, _session(found.claims)),
        "signature": SIGNATURE_WORDS,
    }
    if as_json:
        show_json({"header": found.header, "claims": found.claims, **verdict})
        return
    show_fields({**_prefixed("header", found.header), **_prefixed("claims", found.claims)})
    show_fields(verdict)


def _keys() -> tuple[StoredKey, ...] | None:
    """The keys of the database, or None when it cannot be reached: a token can be looked into without it."""

    async def work(conn: Connection) -> tuple[StoredKey, ...]:
        return await signing_keys.list_all(conn)

    try:
        return in_database(work)
    except Unavailable:
        return None


def _session(claims: Mapping[str, Any]) -> SessionSeen | None:
    """The session that the claims name, or None when the database cannot be reached."""
    named = session_id(claims.get("sid"))

    async def work(conn: Connection) -> SessionSeen:
        row = None if named is None else await session_list.find(conn, named)
        if row is None:
            return SessionSeen(None)
        at, times = await database_now(conn), settings()
        seen = outlook(row, idle=times.session_idle_seconds, absolute=times.session_absolute_seconds, now=at)
        return SessionSeen(row, seen, at)

    try:
        return in_database(work)
    except Unavailable:
        return None


def _read(file: Path) -> str:
    try:
        with nullcontext(sys.stdin.buffer) if file == STDIN else file.open("rb") as stream:
            content = stream.read(MAX_TOKEN_BYTES + 1)
    except OSError as error:
        raise Refusal(f"{file} cannot be read: {error.strerror}") from None
    if len(content) > MAX_TOKEN_BYTES:
        raise Refusal(f"not a token: longer than {MAX_TOKEN_BYTES} bytes")
    try:
        return content.decode("ascii")
    except UnicodeDecodeError:
        raise Refusal("not a token: it has bytes that are not ASCII") from None


def _prefixed(part: str, members: Mapping[str, Any]) -> dict[str, str]:
    return {f"{part} {ascii(name)[1:-1]}": _harmless(value) for name, value in members.items()}


def _harmless(value: object) -> str:
    """Whoever made the token chose the value: no control character of it reaches the terminal."""
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return " ".join(map(_harmless, value))
    return harmless(value) if isinstance(value, str) else json.dumps(value)
