"""The README's way out when the key-encryption key is lost."""

import re
from pathlib import Path

import asyncpg
import pytest

from auth_server.keys.keyring import Keyring, KeyringError
from auth_server.keys.sealing import Kek
from farseal.environment import Secret
from farseal.service.postgres import create_pool
from tests.support.auth import migrate
from tests.support.postgres import NewDatabase

README = Path(__file__).parents[2] / "auth_server" / "README.md"
LOST, NEW = Kek(bytes(range(100, 132))), Kek(bytes(range(132, 164)))
NOW = 1_790_000_000


async def test_the_steps_of_the_readme_give_new_keys_and_publish_no_old_one(new_database: NewDatabase) -> None:
    """Another KEK is refused and changes nothing; after the statement the server makes two keys under the new one."""
    (statement,) = re.findall(r"```sql\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    dsn = await new_database()
    await migrate(dsn)
    async with await create_pool(Secret(dsn)) as pool:
        before = Keyring(pool, LOST, bits=2048)
        await before.prepare(now=NOW)
        old = {key.kid for key in before.keys.published}

        with pytest.raises(KeyringError, match="sealed under KEK"):
            await Keyring(pool, NEW, bits=2048).prepare(now=NOW)
        assert not await before.refresh()

        conn = await asyncpg.connect(dsn)
        assert await conn.execute(statement) == "UPDATE 2"
        await conn.close()
        after = Keyring(pool, NEW, bits=2048)
        await after.prepare(now=NOW)
        assert len(after.keys.published) == 2
        assert not old & {key.kid for key in after.keys.published}
