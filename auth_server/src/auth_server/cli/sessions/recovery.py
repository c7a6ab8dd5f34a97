"""farseal-auth sessions recover."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from auth_server.cli import prompts
from auth_server.cli.keys.access import actor
from auth_server.cli.keys.changes import WHO, WHY, YES
from auth_server.cli.output import counted, done, harmless, json_option, warn
from auth_server.cli.session import Refusal, Unavailable, in_database
from auth_server.cli.sessions.access import database_now, settings
from auth_server.storage import audit
from auth_server.storage.connection import Connection
from farseal.clock import at

if TYPE_CHECKING:
    from auth_server.status.recovery import Recovered


@click.command(short_help="Catch up with what was published after a backup.")
@click.argument("directory", type=click.Path(path_type=Path, file_okay=False))
@click.option("--force", is_flag=True, help="Believe lists too that no key of the database has signed.")
@YES
@WHY
@WHO
@json_option
def recover(directory: Path, *, force: bool, yes: bool, reason: str | None, who: str | None, as_json: bool) -> None:
    """Teach a database that came back from a backup which sessions have ended since.

    DIRECTORY is the publish directory, or a copy of it from a static host. What its status lists say is believed, as
    verifiers believed it: sessions that it calls ended end again. No list gives out another entry, for nobody knows
    which ones were given out after the backup; a server makes a new list when it starts, and nobody can log in until
    that may be used. Sessions that began after the backup are lost: their access tokens go on until they expire.

    Stop the servers before, and run keys recover first: a list is believed when a key that the database knows has
    signed it. Others may be of anybody who can write to DIRECTORY, and end sessions; --force believes them too.
    AUTH_SERVER_ISSUER must be set.

    \b
    Example:
      farseal-auth sessions recover /var/lib/farseal/published --reason "restored the backup of the night"
    """
    from auth_server.status import recovery  # noqa: PLC0415 - for this command alone

    named = settings()
    if named.issuer is None:
        raise Unavailable("AUTH_SERVER_ISSUER is needed: the lists of another issuer are not ours")
    try:
        lists, faults = recovery.read_directory(directory, issuer=named.issuer)
    except OSError as error:
        raise Refusal(f"{error.filename or directory} cannot be read: {error.strerror}") from None
    for fault in faults:
        warn(f"not used: {harmless(fault)}")
    if not lists:
        raise Refusal(f"{directory} has no status list of {named.issuer}")
    doubtful = recovery.unproved(lists, in_database(recovery.known_keys))
    if doubtful and not force:
        raise Refusal(
            f"signed by no key that the database knows: {counted(len(doubtful), 'status list')}, "
            f"{', '.join(doubtful)}. Run keys recover first; --force believes them all the same"
        )
    for list_id in doubtful:
        warn(f"believed unproved: {list_id}")
    ended = sum(len(found.revoked) for found in lists)
    click.echo(
        f"{directory} has {counted(len(lists), 'status list')} of {named.issuer}, "
        f"with {counted(ended, 'session')} ended.",
        err=True,
    )
    prompts.confirm("Believe it?", yes=yes)
    by = actor(who)

    async def work(conn: Connection) -> "Recovered":
        async with conn.transaction():
            now = await database_now(conn)
            found = await recovery.recover(conn, lists, now=now)
            after = asdict(found) | {"unproved": list(doubtful)}
            await audit.append(conn, at=at(now), actor=by, action="recover sessions", reason=reason, after=after)
            return found

    found = in_database(work)
    done(
        as_json,
        f"Recovered: {counted(found.sessions, 'session')} ended again, {counted(found.added, 'list')} came back, "
        f"{counted(found.closed, 'list')} closed.",
        {**asdict(found), "unproved": list(doubtful), "not_used": faults},
    )
