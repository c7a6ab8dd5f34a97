"""A connection to an auth server's new database."""

import pytest

from tests.support.accounts import accounts_pool


@pytest.fixture
async def accounts(new_database):
    """A pool on a new, migrated database of an auth server."""
    async with accounts_pool(await new_database()) as pool:
        yield pool


@pytest.fixture
async def conn(accounts):
    """One connection to it."""
    async with accounts.acquire() as connection:
        yield connection
