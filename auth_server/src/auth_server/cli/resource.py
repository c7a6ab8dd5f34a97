"""farseal-auth resource ..."""

from typing import Any

import click

from auth_server.cli import prompts
from auth_server.cli.output import STILL_ALIVE, done, json_option, show_fields, show_json, show_rows
from auth_server.cli.parameters import AUDIENCE, CLAIM, CLAIM_OF, CLIENT_OR_NONE, DISPLAY_NAME, NONE, SCOPE
from auth_server.cli.session import Refusal, in_database, moment
from auth_server.storage import clients, resources
from auth_server.storage.connection import Connection
from auth_server.storage.resources import Resource

INTROSPECTION_CLIENT = click.option(
    "--introspection-client",
    "asking",
    type=CLIENT_OR_NONE,
    metavar="CLIENT|none",
    help="Who may introspect its tokens: a client that has a secret.",
)


@click.group()
def resource() -> None:
    """Services that take tokens: the `aud` of a token, the scopes it may hold, the claims it shows.

    \b
    Examples:
      farseal-auth resource create https://notes.example.org --name Notes --scope notes:read --claim org_id=org_id
      farseal-auth resource scope add https://notes.example.org notes:write
      farseal-auth resource update https://notes.example.org --introspection-client notes-service
      farseal-auth resource claim remove https://notes.example.org org_id
    """


@resource.command("list")
@json_option
def list_(*, as_json: bool) -> None:
    """List all resources."""
    found = in_database(resources.every)
    if as_json:
        show_json([body(one) for one in found])
        return
    show_rows(
        ("Resource", "Name", "Scopes", "Claims"),
        [(one.audience, one.name, one.scopes, list(one.claims)) for one in found],
        empty="There are no resources. Make one: farseal-auth resource create URI",
    )


@resource.command()
@click.argument("audience", metavar="RESOURCE", type=AUDIENCE)
@json_option
def show(audience: str, *, as_json: bool) -> None:
    """Show one resource, its scopes, and which attribute each claim shows."""
    found = in_database(lambda conn: require(conn, audience))
    (show_json if as_json else show_fields)(body(found))


@resource.command()
@click.argument("audience", metavar="RESOURCE", type=AUDIENCE)
@click.option("--name", type=DISPLAY_NAME, help="For people.")
@INTROSPECTION_CLIENT
@json_option
def update(audience: str, name: str | None, asking: str | None, *, as_json: bool) -> None:
    """Change what is named, and leave the rest as it is."""
    if name is None and asking is None:
        raise click.UsageError("name what to change: --name, --introspection-client")

    async def work(conn: Connection) -> tuple[Resource, bool]:
        async with conn.transaction():
            before = await require(conn, audience)
            if name is not None and name != before.name:
                await resources.rename(conn, audience, name, now=moment())
            if asking is not None:
                await _let_introspect(conn, audience, asking)
            after = await require(conn, audience)
            return after, after != before

    found, changed = in_database(work)
    done(as_json, f"{audience} is {'changed' if changed else 'so already'}.", body(found) | {"changed": changed})


@resource.command()
@click.argument("audience", metavar="RESOURCE", type=AUDIENCE)
@click.option("--name", type=DISPLAY_NAME, required=True, help="For people.")
@click.option("--scope", "scopes", type=SCOPE, multiple=True, help="Repeatable.")
@click.option("--claim", "claims", type=CLAIM_OF, multiple=True, help="Show a user's attribute: CLAIM=ATTRIBUTE.")
@INTROSPECTION_CLIENT
@json_option
def create(
    audience: str,
    name: str,
    scopes: tuple[str, ...],
    claims: tuple[tuple[str, str], ...],
    asking: str | None,
    *,
    as_json: bool,
) -> None:
    """Make a resource. RESOURCE is the absolute URI that its tokens carry as `aud`, byte for byte."""

    async def work(conn: Connection) -> Resource:
        async with conn.transaction():
            if not await resources.create(conn, audience, name, now=moment()):
                raise Refusal(f"the resource {audience} is there already")
            await resources.set_scopes(conn, audience, scopes)
            await resources.set_claims(conn, audience, dict(claims))
            if asking is not None:
                await _let_introspect(conn, audience, asking)
            return await require(conn, audience)

    done(as_json, f"Made the resource {audience}.", body(in_database(work)))


@resource.command()
@click.argument("audience", metavar="RESOURCE", type=AUDIENCE)
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
def delete(audience: str, *, yes: bool, as_json: bool) -> None:
    """Delete a resource, its scopes and every permission on it."""
    in_database(lambda conn: require(conn, audience))
    prompts.confirm(f"Delete {audience} and every permission on it?", yes=yes)
    if not in_database(lambda conn: resources.delete(conn, audience)):
        raise not_found(audience)
    done(as_json, f"Deleted {audience}. {STILL_ALIVE}", {"audience": audience})


@resource.group()
def scope() -> None:
    """Define and undefine scopes."""


@scope.command("add")
@click.argument("audience", metavar="RESOURCE", type=AUDIENCE)
@click.argument("scopes", metavar="SCOPE...", type=SCOPE, nargs=-1, required=True)
@json_option
def add_scope(audience: str, scopes: tuple[str, ...], *, as_json: bool) -> None:
    """Define scopes."""

    async def work(conn: Connection) -> Resource:
        async with conn.transaction():
            await require(conn, audience)
            for one in scopes:
                await resources.add_scope(conn, audience, one)
            return await require(conn, audience)

    found = in_database(work)
    done(as_json, f"{audience} has the scopes {' '.join(found.scopes)}.", body(found))


@scope.command("remove")
@click.argument("audience", metavar="RESOURCE", type=AUDIENCE)
@click.argument("scopes", metavar="SCOPE...", type=SCOPE, nargs=-1, required=True)
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
def remove_scope(audience: str, scopes: tuple[str, ...], *, yes: bool, as_json: bool) -> None:
    """Undefine scopes, and so withdraw them from everyone who has them."""
    prompts.confirm(f"Withdraw {' '.join(scopes)} of {audience} from everyone?", yes=yes)

    async def work(conn: Connection) -> Resource:
        async with conn.transaction():
            await require(conn, audience)
            for one in scopes:
                if not await resources.remove_scope(conn, audience, one):
                    raise Refusal(f"the resource {audience} has no scope {one}")
            return await require(conn, audience)

    found = in_database(work)
    done(as_json, f"{audience} has the scopes {' '.join(found.scopes) or '(none)'}. {STILL_ALIVE}", body(found))


@resource.group()
def claim() -> None:
    """Choose which attributes of a user a resource sees, and under which name."""


@claim.command("add")
@click.argument("audience", metavar="RESOURCE", type=AUDIENCE)
@click.argument("mapping", metavar="CLAIM=ATTRIBUTE", type=CLAIM_OF)
@json_option
def add_claim(audience: str, mapping: tuple[str, str], *, as_json: bool) -> None:
    """Show an attribute as a claim, in place of the one that the claim showed before."""

    async def work(conn: Connection) -> Resource:
        async with conn.transaction():
            await require(conn, audience)
            await resources.map_claim(conn, audience, *mapping)
            return await require(conn, audience)

    done(as_json, f"{audience} sees the attribute {mapping[1]} as {mapping[0]}.", body(in_database(work)))


@claim.command("remove")
@click.argument("audience", metavar="RESOURCE", type=AUDIENCE)
@click.argument("name", metavar="CLAIM", type=CLAIM)
@json_option
def remove_claim(audience: str, name: str, *, as_json: bool) -> None:
    """Stop showing a claim."""

    async def work(conn: Connection) -> Resource:
        if not await resources.unmap_claim(conn, audience, name):
            raise Refusal(f"the resource {audience} has no claim {name}")
        return await require(conn, audience)

    done(as_json, f"{audience} sees the claim {name} no more.", body(in_database(work)))


def body(one: Resource) -> dict[str, Any]:
    """A resource as scripts see it."""
    return {
        "audience": one.audience,
        "name": one.name,
        "scopes": one.scopes,
        "claims": dict(one.claims),
        "introspection_client": one.introspection_client,
        "created_at": one.created_at,
        "updated_at": one.updated_at,
    }


async def require(conn: Connection, audience: str) -> Resource:
    """The resource, or the refusal that there is none."""
    found = await resources.find(conn, audience)
    if found is None:
        raise not_found(audience)
    return found


async def require_scopes(conn: Connection, audience: str, scopes: tuple[str, ...]) -> None:
    """The resource defines these scopes, or the refusal that names the first that it does not."""
    found = await require(conn, audience)
    for wanted in scopes:
        if wanted not in found.scopes:
            raise Refusal(f"the resource {audience} has no scope {wanted}; it has: {' '.join(found.scopes) or 'none'}")


async def _let_introspect(conn: Connection, audience: str, asking: str) -> None:
    """Introspection is for confidential clients (RFC 7662 section 2.1): without a secret it would never be answered."""
    if asking != NONE:
        client = await clients.find(conn, asking)
        if client is None:
            raise Refusal(f"there is no client {asking}")
        if not client.has_secret:
            raise Refusal(f"the client {asking} has no secret, and needs one to introspect")
    await resources.set_introspection_client(conn, audience, None if asking == NONE else asking, now=moment())


def not_found(audience: str) -> Refusal:
    """There is no such resource."""
    return Refusal(f"there is no resource {audience}")
