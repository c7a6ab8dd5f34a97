"""Reading what is there, and making it what a plan says."""

import uuid
from collections.abc import Mapping
from typing import Any

from auth_server.accounts.manifest import Change, Kind, Plan, State
from auth_server.grants.refresh_rules import ClientTerms
from auth_server.storage import clients, grants, permissions, resources, users
from auth_server.storage.connection import Connection
from auth_server.storage.grants import Ending
from farseal.clock import at

_LOCK_ID = 0x6661_7273_6170_6C79
"""Of the advisory lock under which plans are applied: "farsaply"."""


class PlanOutdatedError(Exception):
    """Somebody else changed what the plan was made for; the transaction must not be committed."""


async def read_state(conn: Connection) -> State:
    """Everything that a manifest may mention. Read it in a repeatable read or under `lock`."""
    objects: dict[tuple[Kind, str], Mapping[str, Any]] = {}
    for resource in await resources.every(conn):
        objects["resource", resource.audience] = {
            "name": resource.name,
            "scopes": resource.scopes,
            "claims": dict(resource.claims),
            "introspection_client": resource.introspection_client,
        }
    held_by_clients = await permissions.every_client(conn)
    with_secret = []
    for client in await clients.every(conn):
        held, defaults = held_by_clients.get(client.id, ({}, ()))
        objects["client", client.id] = {
            "name": client.name,
            "grant_types": client.grant_types,
            "access_token_seconds": client.access_token_seconds,
            "refresh": client.terms.policy,
            "session_idle_seconds": client.terms.idle_seconds,
            "session_absolute_seconds": client.terms.absolute_seconds,
            "refresh_grace_seconds": client.terms.grace_seconds,
            "permissions": dict(held),
            "default_resources": defaults,
            "disabled": client.disabled_at is not None,
        }
        if client.has_secret:
            with_secret.append(client.id)
    held_by_users = await permissions.every_user(conn)
    for user in await users.every(conn):
        objects["user", user.username] = {
            "attributes": dict(user.attributes),
            "roles": user.roles,
            "permissions": dict(held_by_users.get(user.id, {})),
            "disabled": user.disabled_at is not None,
        }
    return State(objects, frozenset(with_secret))


async def lock(conn: Connection) -> None:
    """Be the only one to apply a plan until the transaction ends."""
    await conn.execute("SELECT pg_advisory_xact_lock($1)", _LOCK_ID)


async def apply_plan(conn: Connection, plan: Plan, secret_hashes: Mapping[str, bytes], *, now: int) -> int:
    """Make it so; how many sessions that ended. Run it inside the transaction that `lock` was taken in, as the last.

    Args:
        secret_hashes: client id to hash, for every change that needs a secret.
        now: seconds since the epoch.

    Raises:
        PlanOutdatedError: an object to be made is there already, or one to be changed is gone.
    """
    endings: list[Ending] = []
    for change in plan.changes:
        if change.action == "unchanged":
            continue
        match change.kind:
            case "resource":
                await _resource(conn, change, now)
            case "client":
                endings += await _client(conn, change, secret_hashes.get(change.key), now)
            case "user":
                endings += await _user(conn, change, now)
    for change in plan.changes:  # only now are the clients there
        if change.kind == "resource" and change.action in {"create", "update"}:
            client_id = change.after["introspection_client"]
            await resources.set_introspection_client(conn, change.key, client_id, now=at(now))
    return len(await grants.end(conn, endings, at=at(now)))


async def _resource(conn: Connection, change: Change, now: int) -> None:
    if change.action == "delete":
        await resources.delete(conn, change.key)
        return
    write = resources.create if change.action == "create" else resources.rename
    _expect(await write(conn, change.key, change.after["name"], now=at(now)))
    await resources.set_scopes(conn, change.key, change.after["scopes"])
    await resources.set_claims(conn, change.key, change.after["claims"])


async def _client(conn: Connection, change: Change, secret_hash: bytes | None, now: int) -> list[Ending]:
    """Gives the sessions that end with it."""
    after = change.after
    if change.action == "delete":
        await clients.delete(conn, change.key)
        return [Ending("client_deleted", clients=(change.key,))]
    described: dict[str, Any] = {name: after[name] for name in ("name", "grant_types", "access_token_seconds")}
    if change.action == "create":
        _expect(await clients.create(conn, change.key, secret_hash=secret_hash, **described, now=at(now)))
    else:
        if secret_hash is not None:
            await clients.set_secret(conn, change.key, secret_hash, now=at(now))
        _expect(await clients.update(conn, change.key, **described, now=at(now)))
    terms = ClientTerms(
        policy=after["refresh"],
        idle_seconds=after["session_idle_seconds"],
        absolute_seconds=after["session_absolute_seconds"],
        grace_seconds=after["refresh_grace_seconds"],
    )
    await clients.set_terms(conn, change.key, terms, now=at(now))
    await permissions.set_client(conn, change.key, after["permissions"], after["default_resources"])
    await clients.set_disabled(conn, change.key, at(now) if after["disabled"] else None, now=at(now))
    return [Ending("client_disabled", clients=(change.key,))] if after["disabled"] else []


async def _user(conn: Connection, change: Change, now: int) -> list[Ending]:
    """Gives the sessions that end with them."""
    after = change.after
    if change.action == "create":
        user_id = uuid.uuid4()
        attributes = after["attributes"]
        _expect(await users.create(conn, user_id, change.key, password_hash=None, attributes=attributes, now=at(now)))
    else:
        user = await users.find(conn, change.key)
        if user is None:
            raise PlanOutdatedError
        user_id = user.id
        if change.action == "delete":
            await users.delete(conn, user_id)
            return [Ending("user_deleted", users=(user_id,))]
        await users.set_attributes(conn, user_id, after["attributes"], now=at(now))
    await users.set_roles(conn, user_id, after["roles"])
    await permissions.set_user(conn, user_id, after["permissions"])
    await users.set_disabled(conn, user_id, at(now) if after["disabled"] else None, now=at(now))
    return [Ending("user_disabled", users=(user_id,))] if after["disabled"] else []


def _expect(done: bool) -> None:
    if not done:
        raise PlanOutdatedError
