"""farseal-auth serve and migrate"""

import os
import sys

import click

from auth_server.cli.output import json_option, show_json
from auth_server.cli.session import in_database
from auth_server.storage.connection import Connection
from auth_server.storage.migrate import migrator


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
