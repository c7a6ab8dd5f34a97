"""farseal-auth sessions list and show."""

from contextlib import aclosing
from dataclasses import replace
from uuid import UUID

import click

from auth_server.cli.output import harmless, json_option, show_fields, show_json, show_rows
from auth_server.cli.parameters import CLIENT_ID, USER, UserRef
from auth_server.cli.session import in_database
from auth_server.cli.sessions.access import database_now, not_found, settings, wanted
from auth_server.cli.sessions.outlook import Outlook, body, outlook, who
from auth_server.cli.times import moment_words
from auth_server.storage import session_list
from auth_server.storage.connection import Connection
from auth_server.storage.session_list import SessionRow
from farseal.clock import at


@click.command("list")
@click.option("--user", "user", type=USER, metavar="USER", help="Only of this person: username or id.")
@click.option("--client", "client_id", type=CLIENT_ID, metavar="CLIENT", help="Only of this client.")
@click.option("--ended", is_flag=True, help="Those that are over, instead of those that live.")
@click.option(
    "--limit", type=click.IntRange(1, 100_000), default=50, show_default=True, help="Not more sessions than these."
)
@json_option
def list_(user: UserRef | None, client_id: str | None, limit: int, *, ended: bool, as_json: bool) -> None:
    """List the sessions that live, the last used one first.

    Address and agent are what the last refresh came with; the agent is whatever the caller said of itself. A session
    without a person is a client's own. One that is over is shown for AUTH_SERVER_SESSION_HISTORY_SECONDS at least.

    \b
    Examples:
      farseal-auth sessions list --user alice
      farseal-auth sessions list --client login --ended --limit 10
      farseal-auth sessions list --json | jq -r '.[].id'
    """
    named = settings()

    async def work(conn: Connection) -> tuple[list[tuple[SessionRow, Outlook]], bool]:
        found: list[tuple[SessionRow, Outlook]] = []
        async with conn.transaction(readonly=True):
            now = await database_now(conn)
            of = replace(await wanted(conn, user, client_id), ended=ended)
            async with aclosing(session_list.last_used_first(conn, of)) as rows:
                async for row in rows:
                    idle, absolute = named.session_idle_seconds, named.session_absolute_seconds
                    seen = outlook(row, idle=idle, absolute=absolute, now=now)
                    if (seen.standing == "living") is ended:
                        continue
                    if len(found) == limit:
                        return found, True
                    found.append((row, seen))
        return found, False

    found, more = in_database(work)
    if as_json:
        show_json([body(*one, issuer=named.issuer) for one in found])
    else:
        show_rows(
            ("Id", "Who", "Client", "Last use", "Address", "Agent", "Ended" if ended else "Ends"),
            [
                (
                    row.id,
                    harmless(who(row)),
                    row.client_id,
                    row.last_used_at,
                    harmless(row.address),
                    harmless(row.agent),
                    _end(row, seen),
                )
                for row, seen in found
            ],
            empty="There is no such session.",
            shorten="Agent",
        )
    if more:
        click.echo(f"farseal-auth: there are more than {limit}; --limit shows more of them", err=True)


@click.command()
@click.argument("session_id", metavar="ID", type=click.UUID)
@json_option
def show(session_id: UUID, *, as_json: bool) -> None:
    """Show one session: whose it is, what its tokens may say, how it stands, and where its end is published."""
    named = settings()

    async def work(conn: Connection) -> tuple[SessionRow, Outlook, int]:
        now = await database_now(conn)
        row = await session_list.find(conn, session_id)
        if row is None:
            raise not_found(session_id)
        idle, absolute = named.session_idle_seconds, named.session_absolute_seconds
        return row, outlook(row, idle=idle, absolute=absolute, now=now), now

    row, seen, now = in_database(work)
    shown = body(row, seen, issuer=named.issuer)
    if as_json:
        show_json(shown)
        return
    words = {name: harmless(value) if isinstance(value, str) else value for name, value in shown.items()}
    if row.ended_at is None:
        words["ends_at"] = moment_words(seen.ends_at, now)
    else:
        words["ended_at"] = moment_words(int(row.ended_at.timestamp()), now)
    show_fields(words)


def _end(row: SessionRow, seen: Outlook) -> str:
    """When the time of a session has come or will come, or what ended it before."""
    if row.ended_at is None:
        when = f"{at(seen.ends_at):%Y-%m-%d %H:%M:%SZ}"
        return when if seen.standing == "living" else f"{when} {seen.standing}"
    return f"{row.ended_at:%Y-%m-%d %H:%M:%SZ} {row.ended_by}"
