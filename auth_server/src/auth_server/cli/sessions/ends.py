"""farseal-auth sessions end."""

from collections.abc import Mapping, Sequence
from typing import Any, Final
from uuid import UUID

import click

from auth_server.cli import prompts
from auth_server.cli.ending import DIRECTORY_SECONDS, ended_text, http_seconds
from auth_server.cli.keys.access import actor
from auth_server.cli.keys.changes import WHO, WHY, YES
from auth_server.cli.output import counted, done, json_option
from auth_server.cli.parameters import CLIENT_ID, USER, UserRef
from auth_server.cli.session import in_database
from auth_server.cli.sessions.access import database_now, not_found, settings, wanted
from auth_server.storage import audit, grants, session_list
from auth_server.storage.connection import Connection
from auth_server.storage.grants import EndedGrant, Ending
from auth_server.storage.session_list import Wanted
from farseal.clock import at

BATCH: Final = 1000
"""Sessions that one transaction ends: nobody who logs in waits for long, and what was done stays done."""

NAMED: Final = 100
"""Sessions that an audit entry names; of more it has the number."""


@click.command()
@click.argument("ids", metavar="[ID]...", type=click.UUID, nargs=-1)
@click.option("--user", "user", type=USER, metavar="USER", help="All of this person: username or id.")
@click.option("--client", "client_id", type=CLIENT_ID, metavar="CLIENT", help="All of this client.")
@click.option("--all", "everything", is_flag=True, help="All that there are, of people and of clients.")
@YES
@WHY
@WHO
@json_option
def end(
    ids: tuple[UUID, ...],
    user: UserRef | None,
    client_id: str | None,
    *,
    everything: bool,
    yes: bool,
    reason: str | None,
    who: str | None,
    as_json: bool,
) -> None:
    """End sessions: these, or all of a person, of a client, or all. Asks before it ends more than one.

    Their refresh tokens are refused at once, their access tokens by every resource server within the bound that is
    told. Nobody is kept from logging in again: see user disable, user set-password, client disable. Works while
    servers run, and is published by one of them.

    \b
    Examples:
      farseal-auth sessions end 0b6c4f1e-6f0e-4c53-9d0a-0d6f3a5f3c11
      farseal-auth sessions end --user alice --reason "lost her phone"
      farseal-auth sessions end --client login --yes
    """
    if sum((bool(ids), user is not None, client_id is not None, everything)) != 1:
        raise click.UsageError("give either IDs, or --user, or --client, or --all")
    polled = http_seconds(settings())

    async def look(conn: Connection) -> tuple[Wanted, list[UUID]]:
        of = await wanted(conn, user, client_id)
        if not ids:
            return of, await session_list.unended(conn, of)
        for one in ids:
            if await session_list.find(conn, one) is None:
                raise not_found(one)
        return of, list(dict.fromkeys(ids))

    of, chosen = in_database(look)
    if len(chosen) > 1 or everything:
        prompts.confirm(f"End {counted(len(chosen), 'session')}?", yes=yes)
    note = _note(of, everything=everything)
    by, ended = actor(who), list[EndedGrant]()

    async def work(conn: Connection) -> None:
        for first in range(0, len(chosen), BATCH):
            async with conn.transaction():
                now = at(await database_now(conn))
                batch = await grants.end(conn, [Ending("operator", ids=tuple(chosen[first : first + BATCH]))], at=now)
                if batch:
                    action = "end session" if len(batch) == 1 else "end sessions"
                    after = _after(batch, note)
                    await audit.append(conn, at=now, actor=by, action=action, reason=reason, after=after)
            ended.extend(batch)

    in_database(work)
    already = len(chosen) - len(ended)
    words = ended_text(len(ended))
    if already:
        words += f" {already} had ended already."
    done(
        as_json,
        words,
        {
            "ended": len(ended),
            "sessions": [str(one.id) for one in ended],
            "already_ended": already,
            "refused_within_seconds": {"directory": DIRECTORY_SECONDS, "http": polled},
        },
    )


def _note(of: Wanted, *, everything: bool) -> dict[str, Any]:
    """What was asked for, where it was not a list of ids."""
    if everything:
        return {"all": True}
    named = {"user": None if of.user_id is None else str(of.user_id), "client": of.client_id}
    return {name: value for name, value in named.items() if value is not None}


def _after(batch: Sequence[EndedGrant], note: Mapping[str, Any]) -> dict[str, Any]:
    ids = sorted(str(one.id) for one in batch)
    return {"count": len(ids), **({"sessions": ids} if len(ids) <= NAMED else {}), **note}
