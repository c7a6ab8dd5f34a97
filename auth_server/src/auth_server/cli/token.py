"""farseal-auth token ..."""

import dataclasses
import json
import os
import sys
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Final

import click
import structlog

from auth_server.cli import prompts
from auth_server.cli.inspection import (
    SIGNATURE_WORDS,
    MalformedTokenError,
    inspect_token,
    key_words,
    lifetime_words,
)
from auth_server.cli.output import harmless, json_option, show_fields, show_json
from auth_server.cli.parameters import AUDIENCE, CLIENT_ID, SCOPE, USER, UserRef
from auth_server.cli.session import Refusal, Unavailable, in_database, now, with_pool
from auth_server.cli.user import require
from auth_server.grants.service import Grant, GrantRefused, Grants
from auth_server.storage import clients, signing_keys
from auth_server.storage.connection import Connection, Pool
from auth_server.storage.signing_keys import StoredKey
from auth_server.terms import ACCESS_TOKEN_SECONDS

MAX_TOKEN_BYTES: Final = 64 * 1024
STDIN: Final = Path("-")

log = structlog.get_logger(__name__)


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
    the signing keys before. Each use is written to the log (standard error) with the token's id, never the token.
    """
    if user_ref is None and client_id is None:
        raise click.UsageError("give --user or --client")
    if user_ref is not None and client_id is not None:
        raise click.UsageError("only one may be given, --user or --client")
    scope = " ".join(scopes) or None

    async def work(pool: Pool) -> dict[str, Any]:
        grant = await _granted(pool, user_ref, client_id, scope, audiences)
        if isinstance(grant, GrantRefused):
            raise Refusal(f"{grant.error}: {grant.description}")
        if lifetime is not None:
            grant = dataclasses.replace(grant, access_token_seconds=lifetime)
        return await _issue(pool, grant, lifetime)

    issued = with_pool(work)
    if as_json:
        show_json(issued)
    else:
        click.echo(issued["access_token"])


@token.command()
@click.argument("file", type=click.Path(allow_dash=True, path_type=Path), default="-")
@json_option
def inspect(file: Path, *, as_json: bool) -> None:
    """Say what is in the token in FILE or on standard input, and which of our keys its header names.

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
        "signature": SIGNATURE_WORDS,
    }
    if as_json:
        show_json({"header": found.header, "claims": found.claims, **verdict})
        return
    show_fields({**_prefixed("header", found.header), **_prefixed("claims", found.claims)})
    show_fields(verdict)


async def _granted(
    pool: Pool, user_ref: UserRef | None, client_id: str | None, scope: str | None, audiences: tuple[str, ...]
) -> Grant | GrantRefused:
    grants = Grants(pool)
    if user_ref is not None:
        async with pool.acquire() as conn:
            user = await require(conn, user_ref)
        return await grants.for_user(user, scope=scope, resources=audiences, now=now())
    assert client_id is not None  # noqa: S101 - one of the two was given
    async with pool.acquire() as conn:
        client = await clients.find(conn, client_id)
    if client is None:
        raise Refusal(f"there is no client {client_id}")
    return await grants.for_client(client, scope=scope, resources=audiences)


async def _issue(pool: Pool, grant: Grant, lifetime: int | None) -> dict[str, Any]:
    # The signing half of the service is loaded for this command alone.
    from auth_server.app import open_keks  # noqa: PLC0415
    from auth_server.keys.keyring import Keyring  # noqa: PLC0415
    from auth_server.keys.sealing import KekError  # noqa: PLC0415
    from auth_server.keys.signer import Signer  # noqa: PLC0415
    from auth_server.settings import AuthServerSettings  # noqa: PLC0415
    from auth_server.tokens.issuer import TokenIssuer  # noqa: PLC0415

    settings = AuthServerSettings.from_environ(os.environ)
    if lifetime is not None and lifetime > settings.max_token_seconds:
        raise Refusal(f"--lifetime may be {settings.max_token_seconds} s at most: AUTH_SERVER_MAX_TOKEN_SECONDS")
    try:
        keks = open_keks((settings.kek_file, *settings.old_kek_files))
    except KekError as error:
        raise Unavailable(str(error)) from None
    keyring = Keyring(pool, keks, settings.policy)
    await keyring.refresh()
    signer = Signer()
    try:
        issuer = TokenIssuer(
            signer,
            keyring.active_key,
            issuer=settings.issuer,
            lifetime=settings.access_token_seconds,
            longest=settings.max_token_seconds,
        )
        issued = await issuer.issue(grant, now=now())
    finally:
        signer.close()
    await keyring.flush(signer.take_counts())
    log.warning("token minted by an operator", jti=issued.token_id, subject=grant.subject, audience=grant.audience)
    return dict(issued.body())


def _keys() -> tuple[StoredKey, ...] | None:
    """The keys of the database, or None when it cannot be reached: a token can be looked into without it."""

    async def work(conn: Connection) -> tuple[StoredKey, ...]:
        return await signing_keys.list_all(conn)

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
