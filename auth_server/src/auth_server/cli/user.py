"""farseal-auth user ..."""

import uuid
from collections.abc import Mapping
from typing import Any

import click

from auth_server.accounts import changes
from auth_server.accounts.changes import Changed
from auth_server.accounts.passwords import PasswordHasher
from auth_server.cli import prompts
from auth_server.cli.ending import ended_text
from auth_server.cli.output import done, json_option, permissions_text, show_fields, show_json, show_rows
from auth_server.cli.parameters import ATTRIBUTE, ROLE, USER, USERNAME, UserRef
from auth_server.cli.session import Refusal, in_database, moment
from auth_server.storage import permissions, users
from auth_server.storage.connection import Connection
from auth_server.storage.permissions import Permissions
from auth_server.storage.users import User


@click.group()
def user() -> None:
    """People: who may log in, and what they may do.

    USER is a username or the id that is the `sub` of tokens.

    \b
    Examples:
      farseal-auth user create alice --attribute org_id=acme --role analyst
      farseal-auth user grant alice https://notes.example.org notes:read notes:write
      farseal-auth user set-password alice --stdin < password.txt
      farseal-auth user disable alice
    """


@user.command("list")
@json_option
def list_(*, as_json: bool) -> None:
    """List all users."""

    async def work(conn: Connection) -> tuple[list[User], Mapping[uuid.UUID, Permissions]]:
        return await users.every(conn), await permissions.every_user(conn)

    found, held = in_database(work)
    if as_json:
        show_json([body(one, held.get(one.id, {})) for one in found])
        return
    show_rows(
        ("Username", "Roles", "Resources", "Password", "Disabled"),
        [(one.username, one.roles, list(held.get(one.id, {})), one.has_password, one.disabled_at) for one in found],
        empty="There are no users. Make one: farseal-auth user create NAME",
    )


@user.command()
@click.argument("ref", metavar="USER", type=USER)
@json_option
def show(ref: UserRef, *, as_json: bool) -> None:
    """Show one user: attributes, roles, permissions."""

    async def work(conn: Connection) -> tuple[User, Permissions]:
        found = await require(conn, ref)
        return found, (await permissions.every_user(conn, found.id)).get(found.id, {})

    found, held = in_database(work)
    if as_json:
        show_json(body(found, held))
        return
    show_fields(body(found, held) | {"permissions": permissions_text(held)})


@user.command()
@click.argument("username", type=USERNAME)
@click.option(
    "--attribute", "attributes", type=ATTRIBUTE, multiple=True, help="Text attribute, NAME=VALUE; repeatable."
)
@click.option("--role", "roles", type=ROLE, multiple=True, help="Repeatable.")
@click.option("--stdin", "from_stdin", is_flag=True, help="Read the password from the first line of standard input.")
@click.option("--no-password", is_flag=True, help="Make an account that cannot log in until a password is set.")
@json_option
def create(
    username: str,
    attributes: tuple[tuple[str, str], ...],
    roles: tuple[str, ...],
    *,
    from_stdin: bool,
    no_password: bool,
    as_json: bool,
) -> None:
    """Make a user. The password is asked for twice, or read with --stdin; it is never an argument."""
    if no_password and from_stdin:
        raise click.UsageError("give --stdin or --no-password, not both")
    password = None if no_password else prompts.new_password(from_stdin=from_stdin)

    async def work(conn: Connection) -> User:
        password_hash = None if password is None else await hash_password(password)
        user_id = uuid.uuid4()
        async with conn.transaction():
            made = await users.create(
                conn, user_id, username, password_hash=password_hash, attributes=dict(attributes), now=moment()
            )
            if not made:
                raise Refusal(f"the username {username} is taken")
            await users.set_roles(conn, user_id, roles)
        return await require(conn, user_id)

    made = in_database(work)
    done(as_json, f"Made {username}, id {made.id}.", body(made, {}))


@user.command("set-password")
@click.argument("ref", metavar="USER", type=USER)
@click.option("--stdin", "from_stdin", is_flag=True, help="Read the password from the first line of standard input.")
@json_option
def set_password(ref: UserRef, *, from_stdin: bool, as_json: bool) -> None:
    """Set a new password: asked for twice, or read with --stdin; it is never an argument. Ends all sessions."""
    password = prompts.new_password(from_stdin=from_stdin)

    async def work(conn: Connection) -> tuple[User, Changed]:
        found = await require(conn, ref)
        outcome = await changes.set_password(conn, found.id, await hash_password(password), now=moment())
        if not outcome.changed:
            raise not_found(ref)
        return found, outcome

    found, outcome = in_database(work)
    done(
        as_json,
        f"{found.username} has a new password. {ended_text(outcome.ended)}",
        {"username": found.username, "id": found.id, "ended": outcome.ended},
    )


@user.command()
@click.argument("ref", metavar="USER", type=USER)
@json_option
def disable(ref: UserRef, *, as_json: bool) -> None:
    """Refuse every login from now on, and end all sessions."""
    _switch(ref, on=False, as_json=as_json)


@user.command()
@click.argument("ref", metavar="USER", type=USER)
@json_option
def enable(ref: UserRef, *, as_json: bool) -> None:
    """Let a disabled user log in again."""
    _switch(ref, on=True, as_json=as_json)


@user.command()
@click.argument("ref", metavar="USER", type=USER)
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
def delete(ref: UserRef, *, yes: bool, as_json: bool) -> None:
    """Delete a user and everything they hold, and end all sessions. Their id is never given again."""
    found = in_database(lambda conn: require(conn, ref))
    prompts.confirm(f"Delete {found.username} ({found.id}) for good?", yes=yes)
    outcome = in_database(lambda conn: changes.delete_user(conn, found.id, now=moment()))
    if not outcome.changed:
        raise not_found(ref)
    done(
        as_json,
        f"Deleted {found.username}. {ended_text(outcome.ended)}",
        {"username": found.username, "id": found.id, "ended": outcome.ended},
    )


def body(one: User, held: Permissions) -> dict[str, Any]:
    """A user as scripts see it; nothing of the password but that there is one."""
    return {
        "username": one.username,
        "id": str(one.id),
        "attributes": dict(one.attributes),
        "roles": one.roles,
        "permissions": dict(held),
        "has_password": one.has_password,
        "disabled_at": one.disabled_at,
        "created_at": one.created_at,
        "updated_at": one.updated_at,
    }


async def require(conn: Connection, ref: UserRef) -> User:
    """The user, or the refusal that there is none."""
    find = users.find_by_id(conn, ref) if isinstance(ref, uuid.UUID) else users.find(conn, ref)
    found = await find
    if found is None:
        raise not_found(ref)
    return found


def not_found(ref: UserRef) -> Refusal:
    """There is no such user."""
    return Refusal(f"there is no user {ref}")


async def hash_password(password: str) -> str:
    """Hash with the server's own parameters."""
    with PasswordHasher(workers=1) as hasher:
        return await hasher.hash(password)


def _switch(ref: UserRef, *, on: bool, as_json: bool) -> None:
    async def work(conn: Connection) -> tuple[User, Changed]:
        found = await require(conn, ref)
        if on:
            return found, Changed(await users.set_disabled(conn, found.id, None, now=moment()))
        return found, await changes.disable_user(conn, found.id, now=moment())

    found, outcome = in_database(work)
    word = "enabled" if on else "disabled"
    hint = "" if on else f" {ended_text(outcome.ended)}"
    told = {"username": found.username, "id": found.id, "disabled": not on, "changed": outcome.changed}
    done(
        as_json,
        f"{found.username} is {word}{'' if outcome.changed else ' already'}.{hint}",
        told if on else told | {"ended": outcome.ended},
    )
