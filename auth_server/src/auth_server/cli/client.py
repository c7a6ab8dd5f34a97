"""farseal-auth client ..."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from auth_server.accounts import changes, client_secrets
from auth_server.accounts.changes import Changed
from auth_server.cli import client_terms, prompts
from auth_server.cli.client_terms import AskedTerms, terms_options
from auth_server.cli.ending import ended_text
from auth_server.cli.output import done, json_option, permissions_text, show_fields, show_json, show_rows
from auth_server.cli.parameters import CLIENT_ID, DISPLAY_NAME
from auth_server.cli.session import Refusal, in_database, moment
from auth_server.storage import clients, permissions
from auth_server.storage.clients import Client
from auth_server.storage.connection import Connection
from auth_server.storage.permissions import Permissions
from auth_server.terms import GRANT_TYPES, LOGIN_CLIENT

UPDATES = ("--name", "--access-token-seconds", "--refresh", "--idle", "--absolute", "--grace")

TERMS = ("access_token_seconds", "session_idle_seconds", "session_absolute_seconds", "refresh_grace_seconds")
"""Fields in which a client may have nothing of its own."""

THE_SERVERS = "- (the server's own)"

SECRET_FILE = click.option(
    "--secret-file",
    type=click.Path(path_type=Path),
    help="Write the secret into this new file (mode 0600) instead of showing it.",
)


@click.group()
def client() -> None:
    """Programs that ask for tokens in their own name.

    A secret is shown once, when it is made; only its hash is kept.

    \b
    Examples:
      farseal-auth client create nightly --name "Nightly report" --secret-file nightly.secret
      farseal-auth client update login --idle 12h --absolute 7d
      farseal-auth client permit nightly https://reports.example.org reports:read --default
      farseal-auth client rotate-secret nightly --secret-file nightly.secret.new
      farseal-auth client forbid nightly https://reports.example.org --all
    """


@client.command("list")
@json_option
def list_(*, as_json: bool) -> None:
    """List all clients."""

    async def work(conn: Connection) -> list[tuple[Client, Permissions, tuple[str, ...]]]:
        held = await permissions.every_client(conn)
        return [(one, *held.get(one.id, ({}, ()))) for one in await clients.every(conn)]

    found = in_database(work)
    if as_json:
        show_json([body(*one) for one in found])
        return
    show_rows(
        ("Client", "Name", "Grant types", "Resources", "Secret", "Disabled"),
        [(one.id, one.name, one.grant_types, list(held), one.has_secret, one.disabled_at) for one, held, _ in found],
        empty="There are no clients. Make one: farseal-auth client create ID",
    )


@client.command()
@click.argument("client_id", metavar="CLIENT", type=CLIENT_ID)
@json_option
def show(client_id: str, *, as_json: bool) -> None:
    """Show one client and its permissions."""

    async def work(conn: Connection) -> tuple[Client, Permissions, tuple[str, ...]]:
        found = await require(conn, client_id)
        return (found, *(await permissions.every_client(conn, client_id)).get(client_id, ({}, ())))

    found, held, defaults = in_database(work)
    if as_json:
        show_json(body(found, held, defaults))
        return
    fields = body(found, held, defaults) | {"permissions": permissions_text(held)}
    show_fields(fields | {name: THE_SERVERS for name in TERMS if fields[name] is None})


@client.command()
@click.argument("client_id", metavar="CLIENT", type=CLIENT_ID)
@click.option("--name", type=DISPLAY_NAME, help="For people; the id when not given.")
@terms_options
@SECRET_FILE
@json_option
def create(client_id: str, name: str | None, secret_file: Path | None, *, as_json: bool, **options: Any) -> None:
    """Make a client that may use client_credentials. Its secret is shown once.

    A time is in seconds, or 90s, 30min, 12h, 7d. What is not given is the server's own setting.
    """
    secret, terms = client_secrets.new_secret(), AskedTerms.of(options)

    async def work(conn: Connection) -> Client:
        async with conn.transaction():
            made = await clients.create(
                conn,
                client_id,
                name or client_id,
                secret_hash=client_secrets.hash_secret(secret),
                grant_types=GRANT_TYPES,
                access_token_seconds=None,
                now=moment(),
            )
            if not made:
                raise Refusal(f"the client id {client_id} is taken")
            bare = await require(conn, client_id)
            await client_terms.write(conn, bare, terms.upon(bare))
            found = await require(conn, client_id)
            _warn(found)
            if secret_file is not None:
                prompts.write_secret(secret_file, secret)
            return found

    made = in_database(work)
    _show_secret(f"Made the client {client_id}.", body(made, {}, ()), secret, secret_file, as_json=as_json)


@client.command()
@click.argument("client_id", metavar="CLIENT", type=CLIENT_ID)
@click.option("--name", type=DISPLAY_NAME, help="For people.")
@terms_options
@json_option
def update(client_id: str, name: str | None, *, as_json: bool, **options: Any) -> None:
    """Change what is named, and leave the rest as it is. Sessions that live go by the new times at once, except that
    none lasts longer than was said when it began.

    A time is in seconds, or 90s, 30min, 12h, 7d, or the word default for the server's own setting. People log in in the
    name of the built-in client login: its times are those of everybody's sessions here.

    \b
    Examples:
      farseal-auth client update login --idle 12h --absolute 7d
      farseal-auth client update login --refresh extend --grace default
    """
    terms = AskedTerms.of(options)
    if name is None and terms == AskedTerms():
        raise click.UsageError(f"name what to change: {', '.join(UPDATES)}")

    async def work(conn: Connection) -> tuple[Client, bool, Permissions, tuple[str, ...]]:
        async with conn.transaction():
            before = await require(conn, client_id)
            wanted = terms.upon(before if name is None else replace(before, name=name))
            await client_terms.write(conn, before, wanted)
            _warn(wanted)
            held = (await permissions.every_client(conn, client_id)).get(client_id, ({}, ()))
            return (await require(conn, client_id), wanted != before, *held)

    found, changed, held, defaults = in_database(work)
    message = f"{client_id} is {'changed' if changed else 'so already'}."
    done(as_json, message, body(found, held, defaults) | {"changed": changed})


@client.command("rotate-secret")
@click.argument("client_id", metavar="CLIENT", type=CLIENT_ID)
@SECRET_FILE
@json_option
def rotate_secret(client_id: str, secret_file: Path | None, *, as_json: bool) -> None:
    """Make a new secret. The old one is refused from this moment on."""
    if client_id == LOGIN_CLIENT:
        raise Refusal(f"the client {LOGIN_CLIENT} cannot have a secret")
    secret = client_secrets.new_secret()

    async def work(conn: Connection) -> None:
        async with conn.transaction():
            if not await clients.set_secret(conn, client_id, client_secrets.hash_secret(secret), now=moment()):
                raise not_found(client_id)
            if secret_file is not None:
                prompts.write_secret(secret_file, secret)

    in_database(work)
    message = f"{client_id} has a new secret; the old one is refused from now on."
    _show_secret(message, {"id": client_id}, secret, secret_file, as_json=as_json)


@client.command()
@click.argument("client_id", metavar="CLIENT", type=CLIENT_ID)
@json_option
def disable(client_id: str, *, as_json: bool) -> None:
    """Refuse the client from now on, and end its sessions."""
    _switch(client_id, on=False, as_json=as_json)


@client.command()
@click.argument("client_id", metavar="CLIENT", type=CLIENT_ID)
@json_option
def enable(client_id: str, *, as_json: bool) -> None:
    """Let a disabled client ask for tokens again."""
    _switch(client_id, on=True, as_json=as_json)


@client.command()
@click.argument("client_id", metavar="CLIENT", type=CLIENT_ID)
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
def delete(client_id: str, *, yes: bool, as_json: bool) -> None:
    """Delete a client and its permissions. A new client may take its id, which is the `sub` of its tokens."""
    if client_id == LOGIN_CLIENT:
        raise Refusal(f"the client {LOGIN_CLIENT} belongs to the server; to refuse logins, disable it")
    in_database(lambda conn: require(conn, client_id))
    prompts.confirm(f"Delete the client {client_id} and its permissions for good?", yes=yes)
    outcome = in_database(lambda conn: changes.delete_client(conn, client_id, now=moment()))
    if not outcome.changed:
        raise not_found(client_id)
    done(as_json, f"Deleted {client_id}. {ended_text(outcome.ended)}", {"id": client_id, "ended": outcome.ended})


def body(one: Client, held: Permissions, defaults: tuple[str, ...]) -> dict[str, Any]:
    """A client as scripts see it; nothing of the secret but that there is one."""
    return {
        "id": one.id,
        "name": one.name,
        "grant_types": one.grant_types,
        "access_token_seconds": one.access_token_seconds,
        "refresh": one.terms.policy,
        "session_idle_seconds": one.terms.idle_seconds,
        "session_absolute_seconds": one.terms.absolute_seconds,
        "refresh_grace_seconds": one.terms.grace_seconds,
        "permissions": dict(held),
        "default_resources": defaults,
        "has_secret": one.has_secret,
        "disabled_at": one.disabled_at,
        "created_at": one.created_at,
        "updated_at": one.updated_at,
    }


async def require(conn: Connection, client_id: str) -> Client:
    """The client, or the refusal that there is none."""
    found = await clients.find(conn, client_id)
    if found is None:
        raise not_found(client_id)
    return found


def not_found(client_id: str) -> Refusal:
    """There is no such client."""
    return Refusal(f"there is no client {client_id}")


def _warn(one: Client) -> None:
    client_terms.warn(one.id, idle=one.terms.idle_seconds, absolute=one.terms.absolute_seconds)


def _show_secret(message: str, facts: dict[str, Any], secret: str, secret_file: Path | None, *, as_json: bool) -> None:
    if as_json:
        shown = {"secret": secret} if secret_file is None else {"secret_file": str(secret_file)}
        show_json(facts | shown)
    elif secret_file is None:
        click.echo(f"{message}\nIts secret, shown this once:", err=True)
        click.echo(secret)
    else:
        click.echo(f"{message} Its secret is in {secret_file}.")


def _switch(client_id: str, *, on: bool, as_json: bool) -> None:
    async def work(conn: Connection) -> Changed:
        await require(conn, client_id)
        if on:
            return Changed(await clients.set_disabled(conn, client_id, None, now=moment()))
        return await changes.disable_client(conn, client_id, now=moment())

    outcome = in_database(work)
    if client_id == LOGIN_CLIENT and not on:
        click.echo(f"farseal-auth: nobody can log in until this is undone: client enable {LOGIN_CLIENT}", err=True)
    word = "enabled" if on else "disabled"
    hint = "" if on else f" {ended_text(outcome.ended)}"
    told = {"id": client_id, "disabled": not on, "changed": outcome.changed}
    done(
        as_json,
        f"{client_id} is {word}{'' if outcome.changed else ' already'}.{hint}",
        told if on else told | {"ended": outcome.ended},
    )
