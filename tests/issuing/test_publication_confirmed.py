"""The age of the documents is the age of what the database confirmed."""

from pathlib import Path

from auth_server.keys.keyring import Keyring
from auth_server.keys.sealing import Kek
from auth_server.metrics import AuthMetrics
from auth_server.publication.publisher import HEARTBEAT_SECONDS, Publisher
from auth_server.publication.refresher import Refresher
from auth_server.storage import resources
from farseal.environment import Secret
from farseal.service.metrics import ServiceMetrics
from farseal.service.postgres import create_pool, database_errors
from tests.support.auth import Wire, migrate
from tests.support.postgres import NewDatabase


async def test_without_the_database_the_heartbeat_stops(new_database: NewDatabase, tmp_path: Path) -> None:
    """Nobody can say whether a key was withdrawn meanwhile; the next look that succeeds writes at once."""
    dsn = await new_database()
    await migrate(dsn)
    wire, now = Wire(dsn), 1_790_000_000

    def written() -> int:
        return (tmp_path / "jwks.json").stat().st_ino

    async with wire as through, await create_pool(Secret(through)) as pool:

        async def scopes() -> list[str]:
            with database_errors():
                async with pool.acquire() as conn:
                    return await resources.all_scopes(conn)

        refresher = Refresher(
            Keyring(pool, Kek(bytes(range(100, 132))), bits=2048),
            scopes,
            Publisher(tmp_path),
            issuer="http://127.0.0.1:9000",
            clock=lambda: now,
            metrics=AuthMetrics.registered(ServiceMetrics("auth_server")),
        )
        await refresher.start()
        first = written()

        wire.cut()
        now += HEARTBEAT_SECONDS
        await refresher.refresh()
        assert written() == first

        wire.mend()
        await refresher.refresh()
        assert written() != first
