"""farseal-auth serve, migrate and key ..."""

import os
import sys
from datetime import datetime

import click

from auth_server.cli.output import json_option, show_json, show_rows
from auth_server.cli.session import in_database
from auth_server.storage import signing_keys
from auth_server.storage.connection import Connection
from auth_server.storage.migrate import migrator
from farseal.clock import at


@click.command()
def serve() -> None:
    """Answer token requests until told to stop (SIGTERM, SIGINT).

    Settings are variables named AUTH_SERVER_...; all faults in them are told at once. Exit code 0 after a graceful end,
    1 when it could not start or broke, 2 when a setting, a file or a port must be changed first.
    """
    from auth_server.app import run_server  # noqa: PLC0415 - operators' commands need none of the HTTP stack

    sys.exit(run_server(os.environ))


@click.command()
@click.option("--plan", "only_plan", is_flag=True, help="Say what would be applied, and apply nothing.")
@json_option
def migrate(*, only_plan: bool, as_json: bool) -> None:
    """Bring the database to the schema of this version.

    Safe to run from several places at once. An applied file that has changed since is refused by name.
    """

    async def work(conn: Connection) -> list[str]:
        files = await (migrator().plan(conn) if only_plan else migrator().apply(conn))
        return [migration.name for migration in files]

    names = in_database(work)
    if as_json:
        show_json({"pending" if only_plan else "applied": names})
        return
    if not names:
        click.echo("The schema is up to date.")
    for name in names:
        click.echo(f"{'Pending' if only_plan else 'Applied'}: {name}")


@click.group()
def key() -> None:
    """The signing keys, which are made at the first start of the server."""


@key.command("list")
@json_option
def list_keys(*, as_json: bool) -> None:
    """List the signing keys and their states; private halves are never shown."""
    found = in_database(signing_keys.list_all)
    if as_json:
        show_json(
            [
                {
                    "kid": one.kid,
                    "state": one.state,
                    "kek_id": one.kek_id,
                    "public_jwk": dict(one.public_jwk),
                    "created_at": at(one.key.created_at),
                    "activated_at": _at(one.key.activated_at),
                }
                for one in found
            ]
        )
        return
    show_rows(
        ("Key", "State", "Created", "Active since", "Sealed under"),
        [(one.kid, one.state, at(one.key.created_at), _at(one.key.activated_at), one.kek_id) for one in found],
        empty="There are no keys; the server makes them at its first start.",
    )


def _at(seconds: int | None) -> datetime | None:
    return None if seconds is None else at(seconds)
