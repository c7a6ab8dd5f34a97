"""What the tables refuse by themselves, whoever writes."""

import re
from uuid import UUID

import asyncpg
import pytest

from farseal.clock import at
from farseal.vocabulary import REGISTERED_CLAIMS
from tests.support.accounts import NOTES, NOW, accounts_pool, add_client, add_resource, add_user
from tests.support.postgres import run_apart

USER = "INSERT INTO users (id, username, created_at, updated_at) VALUES (gen_random_uuid(), $1, $2, $2)"
CLIENT = "INSERT INTO clients (id, name, created_at, updated_at) VALUES ($1, 'x', $2, $2)"
RESOURCE = "INSERT INTO resources (audience, name, created_at, updated_at) VALUES ($1, 'x', $2, $2)"
SCOPE = """
    INSERT INTO resource_scopes (audience, scope)
    SELECT 'http://127.0.0.1:9001', $1 WHERE $2::timestamptz > 'epoch'
"""
CLAIM = """
    INSERT INTO resource_claims (audience, claim, attribute)
    SELECT 'http://127.0.0.1:9001', $1, 'a' WHERE $2::timestamptz > 'epoch'
"""


@pytest.mark.parametrize(
    ("statement", "value"),
    [
        pytest.param(USER, "Alice", id="username-upper-case"),
        pytest.param(USER, "", id="username-empty"),
        pytest.param(USER, "a:b", id="username-colon"),
        pytest.param(USER, "a b", id="username-space"),
        pytest.param(USER, "a\n", id="username-newline"),
        pytest.param(USER, "x" * 129, id="username-too-long"),
        pytest.param(CLIENT, "Nightly", id="client-upper-case"),
        pytest.param(CLIENT, "a\n", id="client-newline"),
        pytest.param(CLIENT, "x" * 65, id="client-too-long"),
        pytest.param(CLIENT, str(UUID(int=7)), id="client-like-a-user"),
        pytest.param(CLIENT, UUID(int=7).hex, id="client-like-a-user-without-dashes"),
        pytest.param(RESOURCE, "notes", id="resource-relative"),
        pytest.param(RESOURCE, "http://a#b", id="resource-fragment"),
        pytest.param(RESOURCE, "http://a b", id="resource-space"),
        pytest.param(RESOURCE, "http://a\n", id="resource-newline"),
        pytest.param(RESOURCE, "http://a\\", id="resource-backslash"),
        pytest.param(RESOURCE, "http://" + "a" * 506, id="resource-too-long"),
        pytest.param(SCOPE, "", id="scope-empty"),
        pytest.param(SCOPE, "a b", id="scope-space"),
        pytest.param(SCOPE, 'a"', id="scope-quote"),
        pytest.param(SCOPE, "a\\", id="scope-backslash"),
        pytest.param(SCOPE, "é", id="scope-not-ascii"),
        pytest.param(CLAIM, "a b", id="claim-space"),
        *(pytest.param(CLAIM, claim, id=f"claim-{claim}") for claim in sorted(REGISTERED_CLAIMS)),
    ],
)
async def test_a_bad_name_is_refused_by_the_table(database, statement, value) -> None:
    """A name that the rules refuse cannot be stored by another way either."""
    with pytest.raises(asyncpg.CheckViolationError):
        await database.execute(statement, value, at(NOW))


@pytest.fixture(scope="module")
def migrated(database_url, postgres_server):
    """The module's database, migrated once: nothing that it refuses changes it."""

    async def migrate() -> None:
        async with accounts_pool(database_url) as pool, pool.acquire() as conn:
            await add_resource(conn, NOTES, "notes:read")

    run_apart(migrate())
    return database_url


@pytest.fixture
async def database(migrated):
    """A connection to the module's database."""
    connection = await asyncpg.connect(migrated)
    yield connection
    await connection.close()


async def test_the_tables_and_the_vocabulary_name_the_same_registered_claims(database) -> None:
    """The list of claims that no attribute may show is the same in SQL and in the vocabulary."""
    definition = await database.fetchval(
        "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = 'resource_claims_not_registered'"
    )
    assert set(re.findall(r"'([a-z_]+)'", definition)) == REGISTERED_CLAIMS


async def test_the_login_client_is_there_and_cannot_act_for_itself(database) -> None:
    """The client of POST /api/tokens comes with the tables, without a secret; it gets neither that nor a grant type."""
    row = await database.fetchrow("SELECT secret_hash, grant_types, disabled_at FROM clients WHERE id = 'login'")
    assert tuple(row) == (None, [], None)
    for change in ("secret_hash = sha256('x')", "grant_types = '{client_credentials}', secret_hash = sha256('x')"):
        with pytest.raises(asyncpg.CheckViolationError, match="clients_login_proves_nothing"):
            await database.execute(f"UPDATE clients SET {change} WHERE id = 'login'")  # noqa: S608 - constants


@pytest.mark.parametrize(
    "statement",
    [
        pytest.param("UPDATE clients SET secret_hash = 'short'", id="secret-that-is-no-sha256"),
        pytest.param("UPDATE clients SET grant_types = '{password}'", id="unknown-grant-type"),
        pytest.param("UPDATE clients SET access_token_seconds = 9", id="token-life-too-short"),
        pytest.param("UPDATE clients SET access_token_seconds = 86401", id="token-life-too-long"),
        pytest.param("INSERT INTO throttle (key, whole_at, admitted) VALUES ('short', 1, true)", id="throttle-key"),
    ],
)
async def test_a_bad_value_is_refused_by_the_table(database, statement) -> None:
    """Hashes, grant types and lifetimes have their forms."""
    with pytest.raises(asyncpg.CheckViolationError):
        await database.execute(statement)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param("UPDATE users SET password_hash = 'plain text'", id="password-that-is-no-hash"),
        pytest.param("UPDATE users SET attributes = '[]'", id="attributes-that-are-no-object"),
        pytest.param(
            "UPDATE users SET attributes = jsonb_build_object('a', repeat('x', 5000))", id="attributes-too-large"
        ),
    ],
)
async def test_a_user_holds_a_hash_and_a_small_object(conn, change) -> None:
    """A password in the clear, attributes of another type or of more than 4 KiB are refused."""
    await add_user(conn)
    with pytest.raises(asyncpg.CheckViolationError):
        await conn.execute(change)


async def test_permission_needs_a_scope_that_the_resource_defines(conn) -> None:
    """Nobody can hold a scope that means nothing."""
    await add_resource(conn, NOTES, "notes:read")
    for add in (add_user, add_client):
        with pytest.raises(asyncpg.ForeignKeyViolationError):
            async with conn.transaction():
                await add(conn, may={NOTES: ("notes:write",)})


async def test_what_hangs_on_a_resource_goes_with_it(conn) -> None:
    """Deleting a scope takes it from everyone; deleting the resource takes every permission on it."""
    await add_resource(conn, NOTES, "notes:read", "notes:write")
    await add_user(conn, may={NOTES: ("notes:read", "notes:write")})
    await add_client(conn, may={NOTES: ("notes:read",)}, defaults=(NOTES,))
    await conn.execute("DELETE FROM resource_scopes WHERE scope = 'notes:read'")
    assert await conn.fetch("SELECT * FROM client_scopes") == []
    assert [row["scope"] for row in await conn.fetch("SELECT scope FROM user_scopes")] == ["notes:write"]
    await conn.execute("DELETE FROM resources")
    assert await conn.fetch("SELECT audience FROM user_scopes UNION SELECT audience FROM user_resources") == []
    assert await conn.fetch("SELECT audience FROM client_resources") == []
