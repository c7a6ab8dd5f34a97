"""The published documents as they are served: to caches, to pages, and while the database is away."""

import json
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest

from farseal.jwks import parse_jwks
from tests.support.auth import AuthServer, Running, environment, migrate
from tests.support.postgres import run_apart

JWKS, METADATA = "/.well-known/jwks.json", "/.well-known/oauth-authorization-server"


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("auth")


@pytest.fixture(scope="module")
def server(database_url: str, directory: Path) -> Iterator[Running]:
    run_apart(migrate(database_url))
    with AuthServer(environment(database_url, directory, ISSUER="http://localhost:9000/tenant")) as running:
        yield running


@pytest.fixture
async def http(server: Running):
    async with aiohttp.ClientSession(server.url) as session:
        yield session


@pytest.mark.parametrize(
    ("path", "media_type"),
    [(JWKS, "application/jwk-set+json"), (METADATA, "application/json"), ("/openapi.yaml", "application/yaml")],
)
async def test_a_document_may_be_cached_and_read_by_pages(
    http: aiohttp.ClientSession, path: str, media_type: str
) -> None:
    """Cacheable, with a strong validator, open to every origin."""
    async with http.get(path, headers={"Origin": "https://app.example"}) as response:
        assert (response.status, response.content_type) == (200, media_type)
        assert response.headers["Cache-Control"] == "public, max-age=60"
        assert response.headers["Access-Control-Allow-Origin"] == "*"
        etag = response.headers["ETag"]
        assert etag.startswith('"')
        assert await response.read()
    async with http.head(path) as response:
        assert (response.status, response.headers["ETag"]) == (200, etag)
        assert int(response.headers["Content-Length"]) > 0
        assert await response.read() == b""
    for condition, status in ((etag, 304), (f'"other", W/{etag}', 304), ("*", 304), ('"other"', 200), ("junk", 200)):
        async with http.get(path, headers={"If-None-Match": condition}) as response:
            assert (response.status, response.headers["ETag"]) == (status, etag)
            assert response.headers["Cache-Control"] == "public, max-age=60"
            assert (await response.read() == b"") is (status == 304)


@pytest.mark.parametrize("path", [JWKS, METADATA])
async def test_a_page_may_ask_conditionally(http: aiohttp.ClientSession, path: str) -> None:
    """If-None-Match is no simple header: browsers ask first."""
    headers = {"Origin": "https://app.example", "Access-Control-Request-Headers": "if-none-match"}
    async with http.options(path, headers=headers) as response:
        assert response.status == 204
        assert response.headers["Access-Control-Allow-Origin"] == "*"
        assert response.headers["Access-Control-Allow-Headers"] == "If-None-Match"


async def test_verifiers_take_every_published_key(http: aiohttp.ClientSession) -> None:
    """The set is the one that the verifier library reads, none of its keys skipped; an active and an announced one."""
    async with http.get(JWKS) as response:
        keys = parse_jwks(await response.read())
    assert len(keys.keys) == 2
    assert not keys.skipped


async def test_the_directory_holds_the_same_bytes(http: aiohttp.ClientSession, directory: Path) -> None:
    """Whoever reads the volume and whoever asks the server get one document."""
    for path, name in ((JWKS, "jwks.json"), (METADATA, "oauth-authorization-server.json")):
        async with http.get(path) as response:
            assert await response.read() == (directory / "published" / name).read_bytes()


@pytest.mark.parametrize("path", [METADATA, f"{METADATA}/tenant", f"/tenant{METADATA}"])
async def test_an_issuer_with_a_path_is_found_where_rfc_8414_looks(http: aiohttp.ClientSession, path: str) -> None:
    """The path goes behind the well-known part (section 3.1); the old way and the bare one work too."""
    async with http.get(path) as response:
        assert response.status == 200
        said = json.loads(await response.read())
    assert said["issuer"] == "http://localhost:9000/tenant"
    assert said["jwks_uri"] == "http://localhost:9000/tenant/.well-known/jwks.json"


@pytest.mark.parametrize("path", ["/oauth2/token", "/tenant/oauth2/token"])
async def test_endpoints_are_below_the_issuer_too(http: aiohttp.ClientSession, path: str) -> None:
    """Whether or not a proxy takes the path away, and with the error form of OAuth at both."""
    async with http.post(path, data={"grant_type": "x"}) as response:
        assert (response.status, (await response.json())["error"]) == (400, "unsupported_grant_type")
    async with http.post(path, json={}) as response:
        assert (response.status, (await response.json())["error"]) == (415, "invalid_request")


async def test_nothing_can_be_sent_to_a_document(http: aiohttp.ClientSession) -> None:
    """405 with what is allowed; and elsewhere is nothing."""
    async with http.post(JWKS, data=b"x") as response:
        assert response.status == 405
        assert set(response.headers["Allow"].split(",")) >= {"GET", "HEAD", "OPTIONS"}
    async with http.get("/.well-known/nothing") as response:
        assert (response.status, (await response.json())["code"]) == (404, "not_found")


async def test_a_copy_can_be_dated(http: aiohttp.ClientSession) -> None:
    """Last-Modified comes back as If-Modified-Since: 304 with the same validators; an entity tag counts before it."""
    async with http.get(JWKS) as response:
        dated, tag = response.headers["Last-Modified"], response.headers["ETag"]
    async with http.get(JWKS, headers={"If-Modified-Since": dated}) as response:
        assert response.status == 304
        assert (response.headers["ETag"], response.headers["Last-Modified"]) == (tag, dated)
        assert "max-age" in response.headers["Cache-Control"]
    for headers, status in (
        ({"If-Modified-Since": dated, "If-None-Match": '"another"'}, 200),
        ({"If-Modified-Since": "Thu, 01 Jan 1970 00:00:00 GMT", "If-None-Match": tag}, 304),
        ({"If-Modified-Since": "Thu, 01 Jan 1970 00:00:00 GMT"}, 200),
        ({"If-Modified-Since": "soon"}, 200),
    ):
        async with http.get(JWKS, headers=headers) as response:
            assert response.status == status
