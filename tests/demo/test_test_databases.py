"""The databases that tests are given."""

import asyncpg
import pytest

from tests.support.postgres import NewDatabase, TestServer


@pytest.mark.parametrize("turn", [1, 2])
async def test_a_new_database_is_empty(new_database: NewDatabase, turn: int) -> None:
    """No test sees what another one wrote."""
    connection = await asyncpg.connect(await new_database())
    try:
        assert await connection.fetchval("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == 0
        await connection.execute("CREATE TABLE mark (turn integer)")
    finally:
        await connection.close()


async def test_databases_of_one_test_are_apart(new_database: NewDatabase) -> None:
    """Two services under one test have a database each."""
    assert await new_database() != await new_database()


async def test_a_database_is_dropped_with_its_connections(postgres_server: TestServer) -> None:
    """A pool that a failing test forgot to close does not keep its database."""
    dsn = await postgres_server.create_database()
    forgotten = await asyncpg.connect(dsn)
    await postgres_server.drop_database(dsn)
    with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError)):
        await forgotten.fetchval("SELECT 1")
    forgotten.terminate()
    with pytest.raises(asyncpg.InvalidCatalogNameError):
        await asyncpg.connect(dsn)


def test_a_module_can_share_one_database(database_url: str) -> None:
    """A synchronous test gets one too."""
    assert "test_" in database_url
