"""The status lists as they are served."""

import asyncio
import json
import zlib
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest

from farseal.encoding import b64url_decode
from tests.support.auth import PASSWORD, AuthServer, Running, basic, environment, migrate, seed
from tests.support.postgres import run_apart

INDEX = "/.well-known/status-lists.json"


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("auth")


@pytest.fixture(scope="module")
def server(database_url: str, directory: Path) -> Iterator[Running]:
    run_apart(migrate(database_url))
    changes = {"ISSUER": "http://localhost:9000/tenant", "STATUS_LIST_SIZE": "1024"}
    with AuthServer(environment(database_url, directory, **changes)) as running:
        yield running


@pytest.fixture
async def http(server: Running):
    async with aiohttp.ClientSession(server.url) as session:
        yield session


async def the_list(http: aiohttp.ClientSession) -> str:
    """Path of the one list, below the issuer's."""
    async with http.get(INDEX) as response:
        (uri,) = (await response.json())["status_lists"]
    assert uri.startswith("http://localhost:9000/tenant/.well-known/status/")
    return uri.removeprefix("http://localhost:9000")


async def test_the_index_names_the_lists_and_tells_which_changed(http: aiohttp.ClientSession, directory: Path) -> None:
    """Below the issuer's path and without it; the bytes are those of the directory."""
    for path in (INDEX, f"/tenant{INDEX}"):
        async with http.get(path) as response:
            assert (response.status, response.content_type) == (200, "application/json")
            body = await response.read()
        assert body == (directory / "published" / "status-lists.json").read_bytes()
    said = json.loads(body)
    assert said["farseal"]["issuer"] == "http://localhost:9000/tenant"
    assert list(said["farseal"]["lists"]) == said["status_lists"]


async def test_a_list_may_be_cached_for_a_second_and_read_by_pages(
    http: aiohttp.ClientSession, directory: Path
) -> None:
    """A strong validator, which the index tells too; 304 for who has it."""
    path = await the_list(http)
    async with http.get(INDEX) as response:
        (digest,) = (await response.json())["farseal"]["lists"].values()
    for place in (path, path.removeprefix("/tenant")):
        async with http.get(place, headers={"Origin": "https://app.example"}) as response:
            assert (response.status, response.content_type) == (200, "application/statuslist+jwt")
            assert response.headers["Cache-Control"] == "public, max-age=1"
            assert response.headers["Access-Control-Allow-Origin"] == "*"
            assert response.headers["ETag"] == f'"{digest}"'
            dated, body = response.headers["Last-Modified"], await response.read()
    assert body == (directory / "published/status" / path.rpartition("/")[2]).read_bytes()
    claims = json.loads(b64url_decode(body.split(b".")[1]))
    assert zlib.decompress(b64url_decode(claims["status_list"]["lst"])) == bytes(128)
    for header in ({"If-None-Match": f'"{digest}"'}, {"If-Modified-Since": dated}):
        async with http.get(path, headers=header) as response:
            assert (response.status, await response.read()) == (304, b"")
            assert response.headers["ETag"] == f'"{digest}"'
    async with http.head(path) as response:
        assert (response.status, response.headers["Content-Length"]) == (200, str(len(body)))
    async with http.options(path, headers={"Access-Control-Request-Headers": "if-none-match"}) as response:
        assert (response.status, response.headers["Access-Control-Allow-Headers"]) == (204, "If-None-Match")


@pytest.mark.parametrize("name", ["A" * 16, "x", "..%2f..%2fkek", "%00", "a" * 4000])
async def test_a_list_that_there_is_not_is_a_problem(http: aiohttp.ClientSession, name: str) -> None:
    """404 with a body that programs can read, whatever it is called."""
    async with http.get(f"/.well-known/status/{name}.jwt") as response:
        assert (response.status, response.content_type) == (404, "application/problem+json")
        assert (await response.json())["code"] == "not_found"


async def test_readiness_and_figures_tell_of_the_lists(server: Running) -> None:
    async with aiohttp.ClientSession(server.ops_url) as ops:
        async with ops.get("/readyz") as response:
            assert await response.json() == {"status": "ready"}
        async with ops.get("/metrics") as response:
            figures = await response.text()
    assert "auth_status_lists 1.0" in figures
    assert "auth_status_entries_left 1024.0" in figures


async def test_a_server_without_a_directory_serves_them_too(new_database, tmp_path: Path) -> None:
    """And one that starts while the directory is in the way lets nobody in, but serves."""
    for directory, warned in ((None, False), (tmp_path / "file", True)):
        dsn = await new_database()
        await migrate(dsn)
        if directory is not None:
            directory.write_text("in the way")
        environ = environment(dsn, tmp_path)
        if directory is None:
            del environ["AUTH_SERVER_PUBLISH_DIRECTORY"]
        else:
            environ["AUTH_SERVER_PUBLISH_DIRECTORY"] = str(directory)
        with AuthServer(environ) as running:
            async with aiohttp.ClientSession() as http:
                async with http.get(running.url + INDEX) as response:
                    assert len((await response.json())["status_lists"]) == 1
                async with http.get(running.ops_url + "/readyz") as response:
                    said = await response.json()
                assert ("status" in said.get("warnings", {})) is warned
                if warned:
                    assert "no status list is open yet" in said["warnings"]["status"]


async def test_nobody_logs_in_before_the_first_list_is_published(new_database, tmp_path: Path) -> None:
    """503 while the directory cannot be written to, and the login's own list is in it as soon as it can."""
    dsn = await new_database()
    await migrate(dsn)
    await seed(dsn)
    published = tmp_path / "published"
    published.write_text("in the way")
    with AuthServer(environment(dsn, tmp_path)) as running:
        async with aiohttp.ClientSession(running.url) as http:
            async with http.post("/api/tokens", headers=basic("alice", PASSWORD)) as response:
                assert (response.status, (await response.json())["code"]) == (503, "status_lists_unavailable")
                assert response.headers["Retry-After"]
            published.unlink()
            async with asyncio.timeout(10):
                while (answer := await log_in(http)) is None:  # noqa: ASYNC110 - a condition of the outside
                    await asyncio.sleep(0.05)
    status = json.loads(b64url_decode(answer.split(".")[1]))["status"]["status_list"]
    assert status["idx"] >= 0
    assert (published / "status" / status["uri"].rpartition("/")[2]).is_file()


async def log_in(http: aiohttp.ClientSession) -> str | None:
    async with http.post("/api/tokens", headers=basic("alice", PASSWORD)) as response:
        said = await response.json()
        return said.get("access_token")
