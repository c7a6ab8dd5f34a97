"""The age of the documents is the age of what the database confirmed."""

from pathlib import Path

from auth_server.publication.publisher import HEARTBEAT_SECONDS
from farseal.environment import Secret
from farseal.service.postgres import create_pool
from tests.support.auth import Wire, migrate
from tests.support.postgres import NewDatabase
from tests.support.rotation import Replica


async def test_without_the_database_the_heartbeat_stops(new_database: NewDatabase, tmp_path: Path) -> None:
    """Nobody can say whether a key was withdrawn meanwhile; the next look that succeeds writes at once."""
    dsn = await new_database()
    await migrate(dsn)
    wire = Wire(dsn)

    def written() -> int:
        return (tmp_path / "jwks.json").stat().st_ino

    async with wire as through, await create_pool(Secret(through)) as pool:
        replica = await Replica(pool, directory=tmp_path).start()
        first = written()

        wire.cut()
        await replica.turn(HEARTBEAT_SECONDS)
        assert written() == first

        wire.mend()
        await replica.turn()
        assert written() != first
        await replica.close()
