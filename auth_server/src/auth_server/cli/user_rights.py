"""farseal-auth user grant, revoke and role ..."""

import click

from auth_server.cli.output import STILL_ALIVE, done, json_option
from auth_server.cli.parameters import AUDIENCE, ROLE, SCOPE, USER, UserRef
from auth_server.cli.resource import require_scopes
from auth_server.cli.session import Refusal, in_database
from auth_server.cli.user import require
from auth_server.storage import permissions, users
from auth_server.storage.connection import Connection
from auth_server.storage.users import User


@click.command()
@click.argument("ref", metavar="USER", type=USER)
@click.argument("audience", metavar="RESOURCE", type=AUDIENCE)
@click.argument("scopes", metavar="[SCOPE]...", type=SCOPE, nargs=-1)
@json_option
def grant(ref: UserRef, audience: str, scopes: tuple[str, ...], *, as_json: bool) -> None:
    """Permit scopes of a resource; without a scope, permit to name the resource in a token."""

    async def work(conn: Connection) -> tuple[User, bool]:
        async with conn.transaction():
            found = await require(conn, ref)
            await require_scopes(conn, audience, scopes)
            return found, await permissions.permit_user(conn, found.id, audience, scopes)

    found, changed = in_database(work)
    message = f"{found.username} may have {' '.join(scopes) or 'a token'} at {audience}"
    done(
        as_json,
        f"{message}." if changed else f"{message} already.",
        {"username": found.username, "id": found.id, "resource": audience, "scopes": scopes, "changed": changed},
    )


@click.command()
@click.argument("ref", metavar="USER", type=USER)
@click.argument("audience", metavar="RESOURCE", type=AUDIENCE)
@click.argument("scopes", metavar="[SCOPE]...", type=SCOPE, nargs=-1)
@click.option("--all", "everything", is_flag=True, help="Withdraw the resource with all its scopes.")
@json_option
def revoke(ref: UserRef, audience: str, scopes: tuple[str, ...], *, everything: bool, as_json: bool) -> None:
    """Withdraw scopes of a resource, or with --all the resource. Tokens already given live on until they expire."""
    if bool(scopes) == everything:
        raise click.UsageError("name the scopes, or give --all")

    async def work(conn: Connection) -> User:
        found = await require(conn, ref)
        if not await permissions.withdraw_user(conn, found.id, audience, None if everything else scopes):
            raise Refusal(f"{found.username} has nothing of that at {audience}")
        return found

    found = in_database(work)
    done(
        as_json,
        f"Withdrew {' '.join(scopes) or 'everything'} at {audience} from {found.username}. {STILL_ALIVE}",
        {"username": found.username, "id": found.id, "resource": audience, "scopes": scopes, "all": everything},
    )


@click.group()
def role() -> None:
    """Give and take roles, which are the same at every resource."""


@role.command("add")
@click.argument("ref", metavar="USER", type=USER)
@click.argument("roles", metavar="ROLE...", type=ROLE, nargs=-1, required=True)
@json_option
def add_role(ref: UserRef, roles: tuple[str, ...], *, as_json: bool) -> None:
    """Give roles."""

    async def work(conn: Connection) -> User:
        async with conn.transaction():
            found = await require(conn, ref)
            for name in roles:
                await users.add_role(conn, found.id, name)
            return await require(conn, found.id)

    found = in_database(work)
    done(as_json, f"{found.username} has the roles {' '.join(found.roles)}.", _roles(found))


@role.command("remove")
@click.argument("ref", metavar="USER", type=USER)
@click.argument("roles", metavar="ROLE...", type=ROLE, nargs=-1, required=True)
@json_option
def remove_role(ref: UserRef, roles: tuple[str, ...], *, as_json: bool) -> None:
    """Take roles away; all of them or, when one is not there, none."""

    async def work(conn: Connection) -> User:
        async with conn.transaction():
            found = await require(conn, ref)
            for name in roles:
                if not await users.remove_role(conn, found.id, name):
                    raise Refusal(f"{found.username} does not have the role {name}")
            return await require(conn, found.id)

    found = in_database(work)
    done(as_json, f"{found.username} has the roles {' '.join(found.roles) or '(none)'}. {STILL_ALIVE}", _roles(found))


def _roles(found: User) -> dict[str, object]:
    return {"username": found.username, "id": found.id, "roles": found.roles}
