"""The auth server as a whole: how it starts, what it does when things go away, and how it ends."""

import asyncio
import os
import shutil
import signal
import socket
import sys
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
import pytest

from auth_server.app import SchemaError, run_server
from auth_server.keys.opening import KeyringError
from farseal.service.postgres import DatabaseRefusedError, DatabaseUnavailable
from tests.support.auth import (
    PASSWORD,
    SECRET,
    AuthServer,
    Running,
    Wire,
    basic,
    environment,
    kek_file,
    migrate,
    own_logging,
    seed,
)
from tests.support.postgres import NewDatabase


@pytest.fixture
async def dsn(new_database: NewDatabase) -> str:
    dsn = await new_database()
    await migrate(dsn)
    await seed(dsn)
    return dsn


async def running(
    environ: Mapping[str, str], test: Callable[[Running, aiohttp.ClientSession], Awaitable[None]]
) -> None:
    """Run a test against a server, whose start and end may block."""
    server = AuthServer(environ)
    where = await asyncio.to_thread(server.__enter__)
    try:
        async with aiohttp.ClientSession(where.url) as http:
            await test(where, http)
    finally:
        await asyncio.to_thread(server.__exit__)


async def login(http: aiohttp.ClientSession) -> tuple[int, Mapping[str, str], dict[str, Any]]:
    async with http.post("/api/tokens", headers=basic("bob", PASSWORD)) as response:
        return response.status, response.headers, await response.json()


async def client_token(http: aiohttp.ClientSession) -> tuple[int, Mapping[str, str], dict[str, Any]]:
    form = {"grant_type": "client_credentials"}
    async with http.post("/oauth2/token", headers=basic("batch", SECRET), data=form) as response:
        return response.status, response.headers, await response.json()


async def readiness(http: aiohttp.ClientSession, where: Running) -> tuple[int, dict[str, str]]:
    async with http.get(f"{where.ops_url}/readyz") as response:
        return response.status, (await response.json()).get("reasons", {})


async def until(condition: Callable[[], Awaitable[bool]], seconds: float = 10) -> None:
    async with asyncio.timeout(seconds):
        while not await condition():  # noqa: ASYNC110 - what is waited for tells nobody
            await asyncio.sleep(0.02)


# --- while it runs -----------------------------------------------------------------------------------------------


async def test_a_database_that_goes_away_is_503_and_comes_back_by_itself(dsn: str, tmp_path: Path) -> None:
    """Both endpoints say when to try again, documents are served on, readiness names the database; then all is well."""
    wire = Wire(dsn)

    async def test(where: Running, http: aiohttp.ClientSession) -> None:
        assert (await login(http))[0] == 200
        assert (await client_token(http))[0] == 200
        wire.cut()
        status, headers, body = await login(http)
        assert (status, body["code"]) == (503, "database_unavailable")
        assert int(headers["Retry-After"]) >= 1
        status, headers, body = await client_token(http)
        assert (status, body["error"]) == (503, "temporarily_unavailable")
        assert int(headers["Retry-After"]) >= 1
        async with http.get("/.well-known/jwks.json") as response:
            assert response.status == 200
        status, reasons = await readiness(http, where)
        assert (status, set(reasons)) == (503, {"database"})
        wire.mend()
        assert (await login(http))[0] == 200
        assert (await client_token(http))[0] == 200
        assert await readiness(http, where) == (200, {})

    async with wire as through:
        await running(environment(through, tmp_path), test)


async def test_a_database_that_goes_away_mid_request_is_503(dsn: str, tmp_path: Path) -> None:
    """A query that was under way when the connection broke: not a 500, and nothing is lost."""
    wire = Wire(dsn)

    async def test(where: Running, http: aiohttp.ClientSession) -> None:
        assert (await client_token(http))[0] == 200
        blocker = await asyncpg.connect(dsn)
        try:
            async with blocker.transaction():
                await blocker.execute("LOCK TABLE clients IN ACCESS EXCLUSIVE MODE")
                waiting = asyncio.create_task(client_token(http))
                await until(lambda: _is_waiting(blocker))
                wire.cut()
                status, headers, body = await waiting
        finally:
            await blocker.close()
        assert (status, body["error"]) == (503, "temporarily_unavailable")
        assert "Retry-After" in headers
        wire.mend()
        assert (await client_token(http))[0] == 200

    async with wire as through:
        await running(environment(through, tmp_path), test)


async def _is_waiting(conn: Any) -> bool:
    waiting = await conn.fetchval("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'")
    return bool(waiting)


async def test_a_directory_that_cannot_be_written_stops_nothing(dsn: str, tmp_path: Path) -> None:
    """Told by readiness and counted; tokens are issued on; when the directory is back, so are the documents.

    A status list was published before: without any, nobody could be told of the end of a session.
    """
    published = tmp_path / "published"

    async def first(where: Running, http: aiohttp.ClientSession) -> None:
        assert (await login(http))[0] == 200

    await running(environment(dsn, tmp_path), first)
    shutil.rmtree(published)
    published.write_text("in the way")

    async def test(where: Running, http: aiohttp.ClientSession) -> None:
        async with http.get(f"{where.ops_url}/readyz") as response:
            assert response.status == 200, "a volume that all replicas share must not drain them all"
            assert str(published) in (await response.json())["warnings"]["publication"]
        assert (await login(http))[0] == 200
        async with http.get(f"{where.ops_url}/metrics") as response:
            counted = [line for line in (await response.text()).splitlines() if "publication_failures_total " in line]
        assert float(counted[-1].split()[1]) >= 1
        await asyncio.to_thread(published.unlink)

        async def is_published() -> bool:
            async with http.get(f"{where.ops_url}/readyz") as response:
                return "warnings" not in await response.json()

        await until(is_published)

    await running(environment(dsn, tmp_path), test)
    assert sorted(path.name for path in published.iterdir()) == [
        "jwks.json", "oauth-authorization-server.json", "status", "status-lists.json",
    ]  # fmt: skip


async def test_before_a_status_list_is_published_nobody_logs_in(dsn: str, tmp_path: Path) -> None:
    """A verifier could not be told of the end of such a session: 503, until the directory can be written."""
    published = tmp_path / "published"
    published.write_text("in the way")

    async def test(where: Running, http: aiohttp.ClientSession) -> None:
        status, headers, body = await login(http)
        assert (status, body["code"]) == (503, "status_lists_unavailable")
        assert int(headers["Retry-After"]) >= 1
        await asyncio.to_thread(published.unlink)

        async def is_issued() -> bool:
            return (await login(http))[0] == 200

        await until(is_issued)

    await running(environment(dsn, tmp_path), test)


async def test_replicas_see_new_scopes_and_keys(dsn: str, tmp_path: Path) -> None:
    """What changes in the database is published without a restart, over HTTP and in the directory."""

    async def test(where: Running, http: aiohttp.ClientSession) -> None:
        conn = await asyncpg.connect(dsn)
        try:
            await conn.execute("INSERT INTO resource_scopes SELECT audience, 'brand:new' FROM resources LIMIT 1")
        finally:
            await conn.close()

        async def is_offered() -> bool:
            async with http.get("/.well-known/oauth-authorization-server") as response:
                return "brand:new" in (await response.json())["scopes_supported"]

        await until(is_offered)
        await until(lambda: asyncio.to_thread(in_directory))

    def in_directory() -> bool:
        return b"brand:new" in (tmp_path / "published" / "oauth-authorization-server.json").read_bytes()

    await running(environment(dsn, tmp_path), test)


async def test_keys_that_break_while_it_runs_are_told_and_not_used(dsn: str, tmp_path: Path) -> None:
    """The keys in memory stay; readiness says that they may no longer be those of the database."""

    async def test(where: Running, http: aiohttp.ClientSession) -> None:
        async with http.get("/.well-known/jwks.json") as response:
            before = await response.read()
        conn = await asyncpg.connect(dsn)
        try:
            async with conn.transaction():
                await conn.execute("UPDATE signing_keys SET state = 'announced' WHERE state = 'active'")
                await conn.execute("""
                    INSERT INTO signing_keys (kid, state, public_jwk, sealed_private_key, kek_id, created_at,
                                              announced_at, activated_at, token_seconds)
                         VALUES (repeat('x', 43), 'active', '{}', 'broken', 'kek', now(), now(), now(), 86400)
                """)

            async def is_told() -> bool:
                return (await readiness(http, where))[1].keys() == {"keyring"}

            await until(is_told)
            assert (await login(http))[0] == 200
            async with http.get("/.well-known/jwks.json") as response:
                assert await response.read() == before
            async with conn.transaction():
                await conn.execute("DELETE FROM signing_keys WHERE kid = repeat('x', 43)")
                await conn.execute(
                    "UPDATE signing_keys SET state = 'active' WHERE state = 'announced' AND activated_at IS NOT NULL"
                )
        finally:
            await conn.close()

        async def is_ready() -> bool:
            return (await readiness(http, where))[0] == 200

        await until(is_ready)

    await running(environment(dsn, tmp_path), test)


async def test_a_refresh_that_fails_in_a_way_nobody_foresaw_is_told(dsn: str, tmp_path: Path) -> None:
    """A table that is gone: readiness says so, the keys in memory sign on, and repairing it is enough."""

    async def test(where: Running, http: aiohttp.ClientSession) -> None:
        conn = await asyncpg.connect(dsn)
        try:
            await conn.execute("ALTER TABLE signing_keys RENAME TO elsewhere")

            async def is_told() -> bool:
                return (await readiness(http, where))[1] == {"keyring": "unexpected UndefinedTableError"}

            await until(is_told)
            assert (await login(http))[0] == 200
            await conn.execute("ALTER TABLE elsewhere RENAME TO signing_keys")
        finally:
            await conn.close()

        async def is_ready() -> bool:
            return (await readiness(http, where))[0] == 200

        await until(is_ready)

    await running(environment(dsn, tmp_path), test)


async def test_keys_that_were_not_confirmed_for_too_long_sign_nothing(dsn: str, tmp_path: Path) -> None:
    """Both endpoints say when to try again, each in its own form; one good look and all is well."""

    async def test(where: Running, http: aiohttp.ClientSession) -> None:
        assert (await login(http))[0] == 200
        conn = await asyncpg.connect(dsn)
        try:
            await conn.execute("ALTER TABLE signing_keys RENAME TO elsewhere")

            async def is_refused() -> bool:
                return (await login(http))[0] == 503

            await until(is_refused)
            _, headers, body = await login(http)
            assert body["code"] == "keys_unconfirmed"
            assert int(headers["Retry-After"]) >= 1
            status, headers, body = await client_token(http)
            assert (status, body["error"]) == (503, "temporarily_unavailable")
            assert int(headers["Retry-After"]) >= 1
            await conn.execute("ALTER TABLE elsewhere RENAME TO signing_keys")
        finally:
            await conn.close()

        async def is_issued() -> bool:
            return (await login(http))[0] == 200

        await until(is_issued)

    await running(environment(dsn, tmp_path, SIGNING_LEASE_SECONDS="1"), test)


async def test_the_last_signatures_are_counted_at_a_graceful_end(dsn: str, tmp_path: Path) -> None:
    """Those of the time since the last turn too; that of the status list is one of them, two if a minute ends."""

    async def test(where: Running, http: aiohttp.ClientSession) -> None:
        for _ in range(3):
            assert (await login(http))[0] == 200

    await running(environment(dsn, tmp_path, REFRESH_SECONDS="30"), test)
    conn = await asyncpg.connect(dsn)
    try:
        assert await conn.fetchval("SELECT signatures FROM signing_keys WHERE state = 'active'") in {4, 5}
    finally:
        await conn.close()


async def test_addresses_are_told_apart_behind_our_own_proxy_only(dsn: str, tmp_path: Path) -> None:
    """A trusted proxy names the client; a stranger who names another address is counted as itself."""

    async def attempts(http: aiohttp.ClientSession) -> set[int]:
        found = set()
        for number in range(130):
            headers = basic(f"guess{number}", "x" * 8) | {"X-Forwarded-For": f"198.51.100.{number}"}
            async with http.post("/api/tokens", headers=headers) as response:
                found.add(response.status)
        return found

    async def believed(where: Running, http: aiohttp.ClientSession) -> None:
        assert await attempts(http) == {401}

    async def not_believed(where: Running, http: aiohttp.ClientSession) -> None:
        assert 429 in await attempts(http)

    await running(environment(dsn, tmp_path, TRUSTED_PROXIES="127.0.0.0/8"), believed)
    await running(environment(dsn, tmp_path), not_believed)


async def test_without_a_directory_documents_are_served_all_the_same(dsn: str, tmp_path: Path) -> None:
    """Publication to a directory is a choice."""
    environ = environment(dsn, tmp_path) | {"AUTH_SERVER_PUBLISH_DIRECTORY": ""}

    async def test(where: Running, http: aiohttp.ClientSession) -> None:
        async with http.get("/.well-known/jwks.json") as response:
            assert response.status == 200
        assert await readiness(http, where) == (200, {})

    await running(environ, test)
    assert not (tmp_path / "published").exists()


@pytest.fixture
def configured():
    """For what configures the logging of this process."""
    with own_logging():
        yield


# --- how it starts -----------------------------------------------------------------------------------------------


async def start(environ: Mapping[str, str]) -> None:
    async def nothing(_where: Running, _http: aiohttp.ClientSession) -> None:
        pass

    await running(environ, nothing)


async def test_a_database_without_schema_is_refused_with_the_remedy(new_database: NewDatabase, tmp_path: Path) -> None:
    """Nothing is migrated by surprise; one setting allows it."""
    dsn = await new_database()
    with pytest.raises(
        SchemaError, match=r"lacks 0001_accounts\.sql.*run `farseal-auth migrate`, or set AUTH_SERVER_MIG"
    ):
        await start(environment(dsn, tmp_path))
    await start(environment(dsn, tmp_path, MIGRATE_ON_START="true"))
    await start(environment(dsn, tmp_path))


async def test_another_kek_than_that_of_the_keys_is_refused(dsn: str, tmp_path: Path) -> None:
    """A replica with the wrong KEK never signs."""
    await start(environment(dsn, tmp_path))
    kek_file(tmp_path).unlink()
    with pytest.raises(KeyringError, match="is sealed under KEK"):
        await start(environment(dsn, tmp_path))


async def test_a_database_that_never_comes_is_told(tmp_path: Path) -> None:
    """After the set wait, with the address and without the password."""
    dsn = "postgresql://auth:sesame@127.0.0.1:1/auth"
    with pytest.raises(DatabaseUnavailable, match=r"127\.0\.0\.1:1/auth") as refused:
        await start(environment(dsn, tmp_path, DATABASE_WAIT_SECONDS="0"))
    assert "sesame" not in str(refused.value)


async def test_a_database_that_does_not_exist_is_told(dsn: str, tmp_path: Path) -> None:
    """Waiting would not help."""
    with pytest.raises(DatabaseRefusedError, match="does not exist"):
        await start(environment(dsn.replace("/test_", "/absent_"), tmp_path))


@pytest.mark.parametrize(
    ("content", "says"),
    [
        pytest.param(None, "No such file", id="missing"),
        pytest.param(b"too short\n", "10 bytes", id="short"),
    ],
)
@pytest.mark.usefixtures("configured")
def test_a_bad_kek_file_ends_the_start_with_its_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes | None, says: str
) -> None:
    """Exit 2, one line with the path, not the content; before anything else is opened."""
    environ = environment("postgresql://127.0.0.1:1/x", tmp_path)
    kek = Path(environ["AUTH_SERVER_KEK_FILE"])
    kek.unlink()
    if content is not None:
        kek.write_bytes(content)
    assert run_server(environ) == 2
    told = capsys.readouterr().err
    assert str(kek) in told
    assert says in told
    assert "too short" not in told


@pytest.mark.usefixtures("configured")
def test_a_kek_that_others_can_read_is_warned_about(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The start goes on: the operator decides, but is told."""
    environ = environment("postgresql://auth:sesame@127.0.0.1:1/x", tmp_path, DATABASE_WAIT_SECONDS="0")
    Path(environ["AUTH_SERVER_KEK_FILE"]).chmod(0o644)
    assert run_server(environ) == 1
    told = capsys.readouterr().err
    assert "others than its owner can reach it" in told
    assert "no database answered" in told
    assert "sesame" not in told


@pytest.mark.usefixtures("configured")
def test_faulty_settings_are_told_all_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    """Exit 2 and a sentence for each."""
    assert run_server({"AUTH_SERVER_PORT": "x", "AUTH_SERVER_OPS_PORTT": "1"}) == 2
    told = capsys.readouterr().err
    for name in ("ISSUER", "DATABASE_URL", "KEK_FILE", "PORT", "OPS_PORTT"):
        assert f"AUTH_SERVER_{name}" in told


@pytest.mark.usefixtures("configured")
def test_a_busy_port_is_one_clear_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit 2, the port, and which setting to change; the database is not even asked."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        environ = environment("postgresql://127.0.0.1:1/x", tmp_path, PORT=str(port))
        assert run_server(environ) == 2
    told = capsys.readouterr().err
    assert f"127.0.0.1:{port}" in told
    assert "AUTH_SERVER_PORT" in told


# --- how it ends -------------------------------------------------------------------------------------------------


async def test_sigterm_ends_it_gracefully(dsn: str, tmp_path: Path) -> None:
    """As `python -m auth_server serve` runs it: readiness fails first, requests are answered meanwhile, exit 0."""
    with socket.socket() as probe, socket.socket() as other:
        probe.bind(("127.0.0.1", 0))
        other.bind(("127.0.0.1", 0))
        port, ops_port = probe.getsockname()[1], other.getsockname()[1]
    environ = environment(dsn, tmp_path, PORT=str(port), OPS_PORT=str(ops_port), DRAIN_SECONDS="0.5")
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "auth_server",
        "serve",
        env=environ | {"PATH": os.environ["PATH"]},
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stderr is not None
    try:
        async with asyncio.timeout(30):
            while b'"listening"' not in (line := await process.stderr.readline()):
                assert line, "the process ended"
        where = Running(f"http://127.0.0.1:{port}", f"http://127.0.0.1:{ops_port}")
        async with aiohttp.ClientSession(where.url) as http:
            assert await readiness(http, where) == (200, {})
            process.send_signal(signal.SIGTERM)

            async def is_draining() -> bool:
                return (await readiness(http, where))[1] == {"service": "draining"}

            await until(is_draining)
            assert (await login(http))[0] == 200
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        log = (await process.communicate())[1].decode()
    assert process.returncode == 0
    assert '"event":"stopped"' in log.replace(" ", "")
    assert "Traceback" not in log
    assert PASSWORD not in log
