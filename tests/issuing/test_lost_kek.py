"""The README's way out when the key-encryption key is lost."""

import re
from pathlib import Path

import asyncpg
import pytest

from auth_server.keys.opening import KeyringError
from auth_server.keys.sealing import Kek
from farseal.environment import Secret
from farseal.service.postgres import create_pool
from tests.support.auth import migrate
from tests.support.postgres import NewDatabase
from tests.support.rotation import Replica

README = Path(__file__).parents[2] / "auth_server" / "README.md"
LOST, NEW = Kek(bytes(range(100, 132))), Kek(bytes(range(132, 164)))


async def test_the_steps_of_the_readme_give_new_keys_and_publish_no_old_one(new_database: NewDatabase) -> None:
    """Another KEK is refused and changes nothing; after the statement the server makes two keys under the new one."""
    (statement,) = re.findall(r"```sql\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    dsn = await new_database()
    await migrate(dsn)
    async with await create_pool(Secret(dsn)) as pool:
        before = await Replica(pool, keks=(LOST,)).start()
        await before.turn()
        old = {key.kid for key in before.keyring.keys.published}

        with pytest.raises(KeyringError, match="sealed under KEK"):
            await Replica(pool, keks=(NEW,)).start()
        assert not await before.keyring.refresh()
        await before.close()

        conn = await asyncpg.connect(dsn)
        assert await conn.execute(statement) == "UPDATE 3"
        await conn.close()
        after = await Replica(pool, keks=(NEW,)).start()
        await after.turn()
        assert len(after.keyring.keys.published) == 2
        assert not old & {key.kid for key in after.keyring.keys.published}
        await after.close()
