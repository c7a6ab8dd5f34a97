"""Rows of users, clients and resources: what comes back is what was stored, and who comes second is told so."""

import uuid
from typing import Any

from auth_server.grants.refresh_rules import ClientTerms
from auth_server.storage import clients, permissions, resources, users
from farseal.clock import at
from tests.support.accounts import NOTES, NOW, REPORTS, add_client, add_resource, add_user

LATER = NOW + 60


async def known(conn, username) -> users.User:
    """The user, who must be there."""
    user = await users.find(conn, username)
    assert user is not None
    return user


async def standing_of(conn, user, *, through="login") -> permissions.Standing:
    """What the user holds, who must be there."""
    standing = await permissions.of_user(conn, user.id, client_id=through)
    assert standing is not None
    return standing


async def test_a_user_comes_back_as_stored(conn) -> None:
    """Attributes of every JSON type, roles and times survive the way through the database."""
    attributes = {"org_id": "acme", "n": 7, "x": 1.5, "flag": True, "list": ["a", None], "deep": {"ü": "\U0001f600"}}
    created = await add_user(conn, "alice", attributes=attributes, roles=("analyst", "org_admin"))
    found = await users.find(conn, "alice")
    assert found == created
    assert found.attributes == attributes
    assert found.roles == ("analyst", "org_admin")
    assert found.created_at == found.updated_at == at(NOW)
    assert found.has_password is False
    assert await users.find(conn, "bob") is None
    assert await users.find_by_id(conn, uuid.uuid4()) is None
    assert await users.every(conn) == [created]


async def test_a_username_is_given_once(conn) -> None:
    """The second to take a name is told so and changes nothing."""
    first = await add_user(conn, "alice")
    assert not await users.create(conn, uuid.uuid4(), "alice", password_hash=None, attributes={}, now=at(LATER))
    assert await users.find(conn, "alice") == first


async def test_hashes_stay_out_of_repr(conn) -> None:
    """Printing what a login is checked against shows no hash."""
    await add_user(conn, "alice", password_hash="$argon2id$secret")
    await add_client(conn, "nightly")
    user, client = await users.credentials(conn, "alice"), await clients.credentials(conn, "nightly")
    assert user is not None
    assert user.password_hash == "$argon2id$secret"
    assert client is not None
    assert client.secret_hash is not None
    assert "argon2id" not in repr(user)
    assert "secret_hash" not in repr(client)
    assert await users.credentials(conn, "bob") is None
    assert await clients.credentials(conn, "daily") is None


async def test_a_stronger_hash_never_undoes_a_new_password(conn) -> None:
    """The hash is renewed only while it is the one that was checked."""
    user = await add_user(conn, "alice", password_hash="$argon2id$old")
    assert await users.replace_hash(conn, user.id, old="$argon2id$old", new="$argon2id$strong")
    assert await users.set_password(conn, user.id, "$argon2id$other", now=at(LATER))
    assert not await users.replace_hash(conn, user.id, old="$argon2id$strong", new="$argon2id$stronger")
    found = await users.credentials(conn, "alice")
    assert found is not None
    assert found.password_hash == "$argon2id$other"
    assert found.user.updated_at == at(LATER)
    assert not await users.set_password(conn, uuid.uuid4(), "$argon2id$x", now=at(LATER))


async def test_disabling_says_whether_it_changed_anything(conn) -> None:
    """Disable and enable are told apart from having been so, for users and for clients."""
    user = await add_user(conn)
    await add_client(conn, "nightly")
    for table, key in ((users, user.id), (clients, "nightly")):
        assert await table.set_disabled(conn, key, at(LATER), now=at(LATER))
        assert not await table.set_disabled(conn, key, at(LATER + 1), now=at(LATER + 1))
        assert await table.set_disabled(conn, key, None, now=at(LATER))
        assert not await table.set_disabled(conn, key, None, now=at(LATER))


async def test_roles_are_added_removed_and_set(conn) -> None:
    """Each change says whether there was something to change; setting leaves exactly the set."""
    user = await add_user(conn)
    assert await users.add_role(conn, user.id, "analyst")
    assert not await users.add_role(conn, user.id, "analyst")
    await users.set_roles(conn, user.id, ["b", "a"])
    assert (await known(conn, "alice")).roles == ("a", "b")
    assert await users.remove_role(conn, user.id, "a")
    assert not await users.remove_role(conn, user.id, "a")
    await users.set_attributes(conn, user.id, {"org_id": "globex"}, now=at(LATER))
    assert (await known(conn, "alice")).attributes == {"org_id": "globex"}
    assert await users.delete(conn, user.id)
    assert not await users.delete(conn, user.id)


async def test_a_client_comes_back_as_stored(conn) -> None:
    """What describes a client can be replaced without touching its secret."""
    await add_client(conn, "nightly", seconds=60)
    before = await clients.credentials(conn, "nightly")
    assert before is not None
    assert before.client.access_token_seconds == 60
    assert before.client.grant_types == ("client_credentials",)
    assert await clients.update(conn, "nightly", name="Night", grant_types=[], access_token_seconds=None, now=at(LATER))
    after = await clients.credentials(conn, "nightly")
    assert after is not None
    assert after.secret_hash == before.secret_hash
    assert (after.client.name, after.client.grant_types, after.client.access_token_seconds) == ("Night", (), None)
    terms = ClientTerms("extend", 60, 120, 0)
    assert after.client.terms == ClientTerms("rotate", None, None, None)
    assert await clients.set_terms(conn, "nightly", terms, now=at(LATER))
    found = await clients.find(conn, "nightly")
    assert found is not None
    assert (found.terms, found.name) == (terms, "Night")
    assert not await clients.set_terms(conn, "x", terms, now=at(LATER))
    assert await clients.set_secret(conn, "nightly", bytes(32), now=at(LATER))
    assert [client.id for client in await clients.every(conn)] == ["login", "nightly"]
    assert not await clients.create(
        conn, "nightly", "x", secret_hash=None, grant_types=[], access_token_seconds=None, now=at(NOW)
    )
    assert await clients.delete(conn, "nightly")
    assert not await clients.delete(conn, "nightly")
    assert not await clients.set_secret(conn, "nightly", bytes(32), now=at(LATER))
    assert not await clients.update(conn, "nightly", name="x", grant_types=[], access_token_seconds=None, now=at(NOW))
    assert await clients.find(conn, "nightly") is None


async def test_a_resource_comes_back_as_stored(conn) -> None:
    """Scopes and claims are sets; each change says whether there was something to change."""
    await add_resource(conn, NOTES, "notes:write", "notes:read", claims={"org_id": "org_id"})
    assert not await resources.create(conn, NOTES, "x", now=at(NOW))
    assert not await resources.add_scope(conn, NOTES, "notes:read")
    assert await resources.remove_scope(conn, NOTES, "notes:write")
    assert not await resources.remove_scope(conn, NOTES, "notes:write")
    assert not await resources.map_claim(conn, NOTES, "org_id", "org_id")
    assert await resources.map_claim(conn, NOTES, "org_id", "organisation")
    assert await resources.map_claim(conn, NOTES, "team", "team")
    assert await resources.unmap_claim(conn, NOTES, "team")
    assert not await resources.unmap_claim(conn, NOTES, "team")
    assert await resources.rename(conn, NOTES, "Notes", now=at(LATER))
    found = await resources.find(conn, NOTES)
    assert found == resources.Resource(NOTES, "Notes", ("notes:read",), {"org_id": "organisation"}, at(NOW), at(LATER))
    await add_client(conn, "asker")
    assert await resources.set_introspection_client(conn, NOTES, "asker", now=at(LATER))
    assert not await resources.set_introspection_client(conn, NOTES, "asker", now=at(LATER))
    assert [one.introspection_client for one in await resources.every(conn)] == ["asker"]
    assert await clients.delete(conn, "asker")
    assert [one.introspection_client for one in await resources.every(conn)] == [None]
    await add_resource(conn, REPORTS, "reports:read", "notes:read")
    assert await resources.all_scopes(conn) == ["notes:read", "reports:read"]
    assert [resource.audience for resource in await resources.every(conn)] == [NOTES, REPORTS]
    assert await resources.delete(conn, NOTES)
    assert not await resources.delete(conn, NOTES)
    assert not await resources.rename(conn, NOTES, "x", now=at(NOW))
    assert await resources.find(conn, NOTES) is None


async def test_permissions_are_given_and_taken(conn) -> None:
    """Scopes go one by one; without scopes named, the whole resource goes."""
    await add_resource(conn, NOTES, "notes:read", "notes:write")
    await add_resource(conn, REPORTS, "reports:read")
    user = await add_user(conn)
    await add_client(conn, "nightly")
    subjects: list[tuple[Any, Any, Any]] = [
        (permissions.permit_user, permissions.withdraw_user, user.id),
        (permissions.permit_client, permissions.withdraw_client, "nightly"),
    ]
    for permit, withdraw, key in subjects:
        assert await permit(conn, key, NOTES, ["notes:read"])
        assert not await permit(conn, key, NOTES, ["notes:read"])
        assert await permit(conn, key, NOTES, ["notes:read", "notes:write"])
        assert await permit(conn, key, REPORTS, [])
        assert await withdraw(conn, key, NOTES, ["notes:write"])
        assert not await withdraw(conn, key, NOTES, ["notes:write"])
        assert not await withdraw(conn, key, "http://elsewhere", None)
    held = {NOTES: ("notes:read",), REPORTS: ()}
    assert await permissions.every_user(conn) == {user.id: held}
    await permissions.set_defaults(conn, "nightly", [REPORTS])
    assert await permissions.every_client(conn) == {"nightly": (held, (REPORTS,))}
    assert await permissions.withdraw_client(conn, "nightly", NOTES, None)
    await permissions.set_user(conn, user.id, {REPORTS: ("reports:read",)})
    assert await permissions.every_user(conn) == {user.id: {REPORTS: ("reports:read",)}}
    assert await permissions.every_client(conn) == {"nightly": ({REPORTS: ()}, (REPORTS,))}


async def test_standing_says_everything_a_grant_is_decided_from(conn) -> None:
    """What the resource defines, what the subject may have, whether the one who asks is enabled."""
    await add_resource(conn, NOTES, "notes:read", "notes:write", claims={"org_id": "org"})
    user = await add_user(conn, attributes={"org": "acme"}, roles=("analyst",), may={NOTES: ("notes:read",)})
    await permissions.set_client(conn, "login", {NOTES: ()}, [NOTES])
    standing = await standing_of(conn, user)
    assert (standing.active, standing.attributes, standing.roles) == (True, {"org": "acme"}, ("analyst",))
    (holding,) = standing.holdings
    assert holding.defined == {"notes:read", "notes:write"}
    assert holding.permitted == {"notes:read"}
    assert holding.claims == {"org_id": "org"}
    assert holding.is_default is True
    await users.set_disabled(conn, user.id, at(LATER), now=at(LATER))
    assert (await standing_of(conn, user)).active is False
    assert await permissions.of_user(conn, user.id, client_id="nobody") is None
    assert await permissions.of_client(conn, "nobody") is None
    login = await permissions.of_client(conn, "login")
    assert login is not None
    assert login.active is False
    bare = await add_user(conn, "bob")
    assert (await standing_of(conn, bare)).holdings == ()
