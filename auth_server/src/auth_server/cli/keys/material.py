"""farseal-auth keys rewrap, import and recover: what touches the sealed halves of keys."""

import os
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from auth_server.cli import prompts
from auth_server.cli.keys.access import actor, alone, database_now
from auth_server.cli.keys.changes import WHO, WHY, YES
from auth_server.cli.keys.listing import key_body
from auth_server.cli.output import counted, done, harmless, json_option, warn
from auth_server.cli.session import Refusal, Unavailable, in_database, told, with_pool
from auth_server.database_settings import SealingSettings, load_sealing_settings
from auth_server.keys import requests, store
from auth_server.keys.lifecycle import LIVING
from auth_server.keys.requests import Refused
from auth_server.storage import publication, signing_keys
from auth_server.storage.connection import Connection, Pool
from auth_server.storage.signing_keys import StoredKey

if TYPE_CHECKING:
    from auth_server.keys.opening import Keks

STDIN: Final = Path("-")


@click.command(short_help="Seal every key under another KEK.")
@WHY
@WHO
@json_option
def rewrap(*, reason: str | None, who: str | None, as_json: bool) -> None:
    """Seal every key anew under the KEK of AUTH_SERVER_KEK_FILE, so that the old ones can be thrown away.

    What is sealed under a KEK of AUTH_SERVER_OLD_KEK_FILES is opened and moved, some keys at a time. It may be
    interrupted and run again at any moment, and while servers run: give them both files before. Exit code 1 when a key
    opens under none of the files; one that is gone or revoked is counted, and no failure.

    \b
    Examples:
      AUTH_SERVER_KEK_FILE=kek.new AUTH_SERVER_OLD_KEK_FILES=kek farseal-auth keys rewrap
      farseal-auth keys rewrap --json
    """
    from auth_server.keys.rewrap import Rewrapped  # noqa: PLC0415 - cryptography, for this command alone
    from auth_server.keys.rewrap import rewrap as seal_anew  # noqa: PLC0415

    _, keks = sealing()
    kek_id = keks[0].id

    async def count(conn: Connection) -> int:
        return sum(one.kek_id == kek_id for one in await signing_keys.list_all(conn))

    def progress(found: Rewrapped) -> None:
        if found.left:
            click.echo(f"{found.done} moved, {found.left} to go", err=True)

    async def work(pool: Pool) -> tuple[int, Rewrapped, dict[str, str | None], int]:
        async with pool.acquire() as conn:
            already, now = await count(conn), await database_now(conn)
        found = await seal_anew(pool, keks, actor=actor(who), now=now, reason=reason, progress=progress)
        async with pool.acquire() as conn:
            refused = [one for one in await signing_keys.list_all(conn) if one.kid in found.refused]
        failed = {one.kid: one.kek_id for one in refused if one.state in LIVING}
        return already, found, failed, len(refused) - len(failed)

    already, found, failed, dead = with_pool(work)
    done(
        as_json,
        f"{found.done} moved to KEK {kek_id}, {already} already there, {len(failed)} failed."
        + (f" {dead} that are gone or revoked do not open, and nobody needs them." if dead else ""),
        {
            "kek_id": kek_id,
            "moved": found.done,
            "already_there": already,
            "not_needed": dead,
            "failed": [{"kid": kid, "kek_id": old} for kid, old in failed.items()],
        },
    )
    if failed:
        lines = "\n".join(f"{kid}, sealed under KEK {harmless(old or '-')}" for kid, old in failed.items())
        raise Refusal(
            "not moved, for these open under none of the given KEKs; name their file in AUTH_SERVER_OLD_KEK_FILES and "
            f"run it again\n{lines}"
        )


@click.command("import", short_help="Take a private key from elsewhere.")
@click.argument("file", type=click.Path(allow_dash=True, path_type=Path))
@click.option("--announce", "announced", is_flag=True, help="Announce it too.")
@WHY
@WHO
@json_option
def import_(file: Path, *, announced: bool, reason: str | None, who: str | None, as_json: bool) -> None:
    """Take an RSA private key from FILE, or with - from standard input: it becomes ready, sealed under our KEK.

    PEM or DER, PKCS #8 or PKCS #1, without a pass phrase, of 2048, 3072 or 4096 bits. Nothing of it is shown. It signs
    when its turn comes: keys announce, keys activate.

    \b
    Examples:
      farseal-auth keys import old-server.pem --reason "moved from the old server"
      openssl pkey -in protected.pem | farseal-auth keys import - --announce
    """
    from auth_server.keys.generation import KeyMaterialError  # noqa: PLC0415 - cryptography, for this command alone
    from auth_server.keys.importing import MAX_BYTES, import_key  # noqa: PLC0415

    if file == STDIN and prompts.is_interactive():
        raise click.UsageError("standard input is a terminal, which would show the key; give a file or a pipe")
    named, keks = sealing()
    content = _read(file, most=MAX_BYTES)

    async def work(conn: Connection) -> StoredKey:
        async with alone(conn) as now:
            stored = await import_key(conn, content, keks, actor=actor(who), reason=reason, now=now)
            if isinstance(stored, Refused):
                raise Refusal(stored.reason)
            if announced:
                outcome = await store.apply(
                    conn, lambda keys: requests.announce(keys, stored.kid, now=now),
                    actor=actor(who), action="announce", reason=reason, now=now,
                )  # fmt: skip
                if isinstance(outcome, Refused):
                    raise Refusal(f"{outcome.reason}; nothing was imported. Without --announce it becomes ready")
            (found,) = (one for one in await signing_keys.list_all(conn) if one.kid == stored.kid)
            return found

    try:
        found = in_database(work)
    except KeyMaterialError as error:
        raise Refusal(f"{file}: {error}") from None
    now = found.key.announced_at or found.key.created_at
    where = "" if file == STDIN else f" {file} is needed no more: delete it."
    done(as_json, f"{found.kid} is {found.state}.{where}", key_body(found, named.policy, now))


@click.command(short_help="Catch up with what was published after a backup.")
@click.argument("file", type=click.Path(allow_dash=True, path_type=Path))
@click.option("--lost-kek", is_flag=True, help="Give up the keys that none of the KEK files opens.")
@YES
@WHY
@WHO
@json_option
def recover(file: Path, *, lost_kek: bool, yes: bool, reason: str | None, who: str | None, as_json: bool) -> None:
    """Teach a database that came back from a backup what was published since: FILE is the newest jwks.json, - reads it.

    Keys that were revoked since are revoked; keys that live tokens need are published until those are dead; and the
    sequence goes above the published one, below which verifiers refuse everything. The file is believed, as verifiers
    believed it: take it from the publish directory or from a verifier of yours. Stop the servers before. Where
    AUTH_SERVER_ISSUER is set, the file must be of that issuer.

    With --lost-kek the database need not come from a backup: the KEK of its keys is lost, and AUTH_SERVER_KEK_FILE is a
    new one. Nobody can sign with the old keys any more; their tokens are good until they expire, and the next start of
    a server makes new keys. Be sure that the old KEK is nowhere: a key that was given up does not come back.

    \b
    Examples:
      farseal-auth keys recover /var/lib/farseal/published/jwks.json
      farseal-auth keys recover --lost-kek /var/lib/farseal/published/jwks.json
      curl -s https://static.example.org/.well-known/jwks.json | farseal-auth keys recover - --yes
    """
    from auth_server.keys.recovery import Recovered  # noqa: PLC0415 - cryptography, for this command alone
    from auth_server.keys.recovery import recover as catch_up  # noqa: PLC0415
    from auth_server.publication.published import MAX_BYTES, PublishedError, read_published  # noqa: PLC0415

    named, keks = sealing()
    document = _read(file, most=MAX_BYTES)
    try:
        published = read_published(document)
    except PublishedError as error:
        raise Refusal(f"{file} cannot be used: {error}") from None
    before = in_database(publication.sequence)
    click.echo(
        f"{file} is of {harmless(published.issuer)}: sequence {published.sequence}, "
        f"{counted(len(published.keys), 'key')}, {len(published.revoked)} revoked. "
        f"The database is at sequence {before}.",
        err=True,
    )
    prompts.confirm("Believe it, and give up the keys that do not open?" if lost_kek else "Believe it?", yes=yes)

    async def work(conn: Connection) -> Recovered | Refused:
        async with alone(conn) as now:
            return await catch_up(
                conn, document, keks, named.policy, actor=actor(who), reason=reason, now=now, issuer=named.issuer,
                lost_kek=lost_kek,
            )  # fmt: skip

    found = in_database(work)
    if isinstance(found, Refused):
        raise Refusal(harmless(found.reason))
    for warning in found.warnings:
        warn(warning)
    done(
        as_json,
        f"Recovered: the database is at sequence {found.sequence}. {counted(len(found.kept), 'key')} came back and "
        f"{'stays' if len(found.kept) == 1 else 'stay'} published until the last token is dead; "
        f"{counted(len(found.revoked), 'key')} revoked."
        + (f" {counted(len(found.given_up), 'key')} given up: no KEK opens them." if lost_kek else ""),
        {
            "sequence_before": before,
            "sequence": found.sequence,
            "kept": found.kept,
            "revoked": found.revoked,
            "given_up": found.given_up,
            "warnings": found.warnings,
        },
    )


def sealing() -> "tuple[SealingSettings, Keks]":
    """The settings, and the KEKs that they name; the first one seals.

    Raises:
        Unavailable: a setting is wrong, or a file cannot be used.
    """
    from auth_server.keys.sealing import KekError, read_kek  # noqa: PLC0415 - cryptography, for these commands alone

    with told():
        named = load_sealing_settings(os.environ)
    try:
        return named, tuple(read_kek(path) for path in (named.kek_file, *named.old_kek_files))
    except KekError as error:
        raise Unavailable(str(error)) from None


def _read(file: Path, *, most: int) -> bytes:
    """A file or standard input, not longer than it can be; what it says is never quoted."""
    try:
        with nullcontext(sys.stdin.buffer) if file == STDIN else file.open("rb") as stream:
            content = stream.read(most + 1)
    except OSError as error:
        raise Refusal(f"{file} cannot be read: {error.strerror}") from None
    if len(content) > most:
        raise Refusal(f"{file}: longer than {most} bytes")
    return content
