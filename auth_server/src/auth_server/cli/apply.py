"""farseal-auth apply FILE"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import click

from auth_server.accounts import client_secrets
from auth_server.accounts.apply import PlanOutdatedError, apply_plan, lock, read_state
from auth_server.accounts.manifest import Fault, Manifest, Plan, plan
from auth_server.accounts.manifest_file import parse
from auth_server.accounts.yaml_nodes import MAX_CHARACTERS
from auth_server.cli import client_terms, prompts
from auth_server.cli.ending import ended_text
from auth_server.cli.output import json_option, show_json
from auth_server.cli.plan import plan_body, plan_lines
from auth_server.cli.session import Refusal, Unavailable, in_database, now
from auth_server.storage.connection import Connection

MAX_FILE_BYTES: Final = 4 * MAX_CHARACTERS
"""No UTF-8 of the characters that a manifest may have is longer; a device or a wrong path may have no end."""

TIMES: Final = frozenset({"session_idle_seconds", "session_absolute_seconds"})

CHANGED_MEANWHILE = "the database has changed since the plan was shown; nothing was done, run it again"


@click.command()
@click.argument("file", type=click.Path(path_type=Path, allow_dash=False))
@click.option("--dry-run", is_flag=True, help="Show the plan and change nothing.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option(
    "--prune", is_flag=True, help="Delete what the file does not mention, in those sections that the file has."
)
@click.option(
    "--secrets-dir",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    help="Write secrets of new clients into new files (mode 0600) here, named by secret_file or by the client's id.",
)
@json_option
def apply(file: Path, secrets_dir: Path | None, *, dry_run: bool, yes: bool, prune: bool, as_json: bool) -> None:
    """Make resources, clients and users as FILE (YAML) describes them.

    The plan is shown first. A second run finds nothing to do. A field that FILE does not mention is left alone, and so
    is an object that it does not mention (see --prune). Faults are told all at once as FILE:LINE: message. Passwords
    are never in the file: farseal-auth user set-password. The secret of a new client is shown once, or goes to its
    secret_file. README.md of the auth server has the whole format.

    \b
    Example:
      resources:
        - audience: https://notes.example.org
          name: Notes
          scopes: [notes:read, notes:write]
          claims: {org_id: org_id}
      users:
        - username: alice
          attributes: {org_id: acme}
          roles: [analyst]
          permissions:
            https://notes.example.org: [notes:read, notes:write]
    """
    manifest = _read(file)

    async def look(conn: Connection) -> Plan | tuple[Fault, ...]:
        async with conn.transaction(isolation="repeatable_read", readonly=True):
            return plan(manifest, await read_state(conn), prune=prune)

    try:
        shown = in_database(look)
    except Unavailable:
        if not manifest.faults:
            raise
        shown = manifest.faults  # what is wrong with the file in itself is told without the database too
    if isinstance(shown, tuple):
        raise _refusal(file, shown)
    secret_paths = _secret_paths(file, manifest, shown, secrets_dir)
    if not as_json:
        for line in plan_lines(shown):
            click.echo(line)
    _warn(shown)
    secrets: dict[str, str] = {}
    ended = 0
    if not shown.is_empty and not dry_run:
        prompts.confirm("Apply this plan?", yes=yes)
        secrets = {name: client_secrets.new_secret() for name in secret_needed(shown)}
        with _written({path: secrets[name] for name, path in secret_paths.items()}):
            ended = in_database(lambda conn: _make(conn, manifest, shown, secrets, prune=prune))
    untold = {name: secret for name, secret in secrets.items() if name not in secret_paths}
    if as_json:
        files = {name: str(path) for name, path in secret_paths.items() if name in secrets}
        show_json({"dry_run": dry_run, **plan_body(shown), "secrets": untold, "secret_files": files, "ended": ended})
        return
    if dry_run or shown.is_empty:
        return
    click.echo("Applied.")
    if ended:
        click.echo(ended_text(ended))
    for name, path in secret_paths.items():
        click.echo(f"The secret of {name} is in {path}.")
    for name, secret in untold.items():
        click.echo(f"The secret of {name}, shown this once: {secret}")


def secret_needed(plan: Plan) -> tuple[str, ...]:
    """The clients that get a secret."""
    return tuple(change.key for change in plan.changes if change.needs_secret)


async def _make(conn: Connection, manifest: Manifest, shown: Plan, secrets: Mapping[str, str], *, prune: bool) -> int:
    """Do what was shown, or nothing: the plan is made again under the lock and must be the same.

    Gives how many sessions that ended.
    """
    hashes = {name: client_secrets.hash_secret(secret) for name, secret in secrets.items()}
    async with conn.transaction():
        await lock(conn)
        if plan(manifest, await read_state(conn), prune=prune) != shown:
            raise Refusal(CHANGED_MEANWHILE)
        try:
            return await apply_plan(conn, shown, hashes, now=now())
        except PlanOutdatedError:
            raise Refusal(CHANGED_MEANWHILE) from None


def _read(file: Path) -> Manifest:
    try:
        with file.open("rb") as stream:
            content = stream.read(MAX_FILE_BYTES + 1)
        if len(content) > MAX_FILE_BYTES:
            raise Refusal(f"{file} is longer than {MAX_FILE_BYTES} bytes")
        text = content.decode()
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise Refusal(f"{file}:{line}: not UTF-8") from None
    except OSError as error:
        raise Refusal(f"{file} cannot be read: {error.strerror}") from None
    return parse(text)


def _warn(shown: Plan) -> None:
    for change in shown.changes:
        if change.kind == "client" and not TIMES.isdisjoint(change.touched):
            idle, absolute = change.after["session_idle_seconds"], change.after["session_absolute_seconds"]
            client_terms.warn(change.key, idle=idle, absolute=absolute)


def _refusal(file: Path, faults: Sequence[Fault]) -> Refusal:
    lines = "\n".join(f"{file}:{fault.line}: {fault.message}" for fault in faults)
    return Refusal(f"{len(faults)} fault{'s' * (len(faults) > 1)}, nothing was changed\n{lines}")


def _secret_paths(file: Path, manifest: Manifest, plan: Plan, secrets_dir: Path | None) -> dict[str, Path]:
    """Where the new secrets go; those without a path are shown."""
    paths: dict[str, Path] = {}
    for name in secret_needed(plan):
        named = manifest.secret_files.get(name, name if secrets_dir is not None else None)
        if named is not None:
            paths[name] = (file.parent if secrets_dir is None else secrets_dir) / named
    taken = [
        Fault(manifest.line(("client", name, "secret_file")), f"{path} is there already and is not written over")
        for name, path in paths.items()
        if path.exists() or path.is_symlink() or list(paths.values()).count(path) > 1
    ]
    if taken:
        raise _refusal(file, taken)
    return paths


@contextmanager
def _written(secrets: Mapping[Path, str]) -> Iterator[None]:
    """Secret files that stay only if what happens inside succeeds: a secret whose hash was not stored opens nothing."""
    made: list[Path] = []
    try:
        for path, secret in secrets.items():
            prompts.write_secret(path, secret)
            made.append(path)
        yield
    except BaseException:
        for path in made:
            path.unlink(missing_ok=True)
        raise
