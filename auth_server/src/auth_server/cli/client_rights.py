"""farseal-auth client permit and forbid"""

import click

from auth_server.cli.client import require
from auth_server.cli.output import STILL_ALIVE, done, json_option
from auth_server.cli.parameters import AUDIENCE, CLIENT_ID, SCOPE
from auth_server.cli.resource import require_scopes
from auth_server.cli.session import Refusal, in_database
from auth_server.storage import permissions
from auth_server.storage.connection import Connection


@click.command()
@click.argument("client_id", metavar="CLIENT", type=CLIENT_ID)
@click.argument("audience", metavar="RESOURCE", type=AUDIENCE)
@click.argument("scopes", metavar="[SCOPE]...", type=SCOPE, nargs=-1)
@click.option("--default", "as_default", is_flag=True, help="Meant when the client names no resource.")
@json_option
def permit(client_id: str, audience: str, scopes: tuple[str, ...], *, as_default: bool, as_json: bool) -> None:
    """Permit scopes of a resource; without a scope, permit to name the resource in a token."""

    async def work(conn: Connection) -> bool:
        async with conn.transaction():
            await require(conn, client_id)
            await require_scopes(conn, audience, scopes)
            changed = await permissions.permit_client(conn, client_id, audience, scopes)
            _, defaults = (await permissions.every_client(conn, client_id))[client_id]
            if as_default and audience not in defaults:
                await permissions.set_defaults(conn, client_id, [*defaults, audience])
                changed = True
            return changed

    changed = in_database(work)
    message = f"{client_id} may have {' '.join(scopes) or 'a token'} at {audience}"
    done(
        as_json,
        f"{message}." if changed else f"{message} already.",
        {"id": client_id, "resource": audience, "scopes": scopes, "changed": changed},
    )


@click.command()
@click.argument("client_id", metavar="CLIENT", type=CLIENT_ID)
@click.argument("audience", metavar="RESOURCE", type=AUDIENCE)
@click.argument("scopes", metavar="[SCOPE]...", type=SCOPE, nargs=-1)
@click.option("--all", "everything", is_flag=True, help="Withdraw the resource with all its scopes.")
@json_option
def forbid(client_id: str, audience: str, scopes: tuple[str, ...], *, everything: bool, as_json: bool) -> None:
    """Withdraw scopes of a resource, or with --all the resource. Tokens already given live on until they expire."""
    if bool(scopes) == everything:
        raise click.UsageError("name the scopes, or give --all")

    async def work(conn: Connection) -> None:
        await require(conn, client_id)
        if not await permissions.withdraw_client(conn, client_id, audience, None if everything else scopes):
            raise Refusal(f"{client_id} has nothing of that at {audience}")

    in_database(work)
    done(
        as_json,
        f"Withdrew {' '.join(scopes) or 'everything'} at {audience} from {client_id}. {STILL_ALIVE}",
        {"id": client_id, "resource": audience, "scopes": scopes, "all": everything},
    )
