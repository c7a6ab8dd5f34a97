"""The static host gives whole documents with what a cache and a verifier need, and nothing that is no document."""

import asyncio
import os
import re
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable
from email.utils import parsedate_to_datetime
from pathlib import Path

import pytest
from aiohttp import ClientSession
from aiohttp.test_utils import TestClient

from demo import static_host
from demo.processes import Guarded, bare_environment
from demo.services import Addresses
from demo.services import static_host as described_host
from demo.state import State
from farseal import clock
from farseal.errors import TokenRevokedError
from farseal.sources import HttpOptions, HttpSource, ListSchedule
from farseal.verify import Expectations, Verifier
from tests.support.tokens import ISSUER, NOTES, Issuer

BODY = b'{"keys":[]}'
DATED = 1_800_000_000

Clients = Callable[..., Awaitable[TestClient]]


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    folder = tmp_path / "published"
    folder.mkdir()
    (folder / "jwks.json").write_bytes(BODY)
    os.utime(folder / "jwks.json", (DATED, DATED + 0.7))
    return folder


@pytest.fixture
async def client(aiohttp_client: Clients, directory: Path) -> TestClient:
    return await aiohttp_client(static_host.application(directory, max_age=1))


async def test_a_document_comes_with_its_validators(client: TestClient) -> None:
    """Its age is the file's (whole seconds, never newer than the file), its tag the content's."""
    answer = await client.get("/jwks.json")
    assert answer.status == 200
    assert await answer.read() == BODY
    assert answer.headers["Content-Type"] == "application/jwk-set+json"
    assert answer.headers["Cache-Control"] == "public, max-age=1"
    assert parsedate_to_datetime(answer.headers["Last-Modified"]).timestamp() == DATED
    assert re.fullmatch(r'"[A-Za-z0-9_-]{22}"', answer.headers["ETag"])


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        pytest.param({"If-None-Match": "{etag}"}, 304, id="same-tag"),
        pytest.param({"If-None-Match": "W/{etag}"}, 304, id="weak-comparison"),
        pytest.param({"If-None-Match": '"other", {etag}'}, 304, id="one-of-several"),
        pytest.param({"If-None-Match": "*"}, 304, id="anything"),
        pytest.param({"If-None-Match": '"other"'}, 200, id="another-tag"),
        pytest.param({"If-Modified-Since": "{date}"}, 304, id="same-date"),
        pytest.param({"If-Modified-Since": "Mon, 01 Jan 2024 00:00:00 GMT"}, 200, id="older-date"),
        pytest.param({"If-Modified-Since": "yesterday"}, 200, id="no-date"),
        pytest.param({"If-None-Match": '"other"', "If-Modified-Since": "{date}"}, 200, id="the-tag-decides"),
    ],
)
async def test_a_copy_that_is_current_is_not_sent_again(client: TestClient, headers: dict[str, str], status) -> None:
    """RFC 9110 section 13.2.2."""
    first = await client.get("/jwks.json")
    filled = {
        name: value.format(etag=first.headers["ETag"], date=first.headers["Last-Modified"])
        for name, value in headers.items()
    }
    answer = await client.get("/jwks.json", headers=filled)
    assert answer.status == status
    assert await answer.read() == (BODY if status == 200 else b"")
    assert answer.headers["ETag"] == first.headers["ETag"]


async def test_a_heartbeat_is_told_without_the_document(client: TestClient, directory: Path) -> None:
    """Written again with the same content: the tag stays, and the 304 says the new date."""
    first = await client.get("/jwks.json")
    os.utime(directory / "jwks.json", (DATED + 60, DATED + 60))
    answer = await client.get("/jwks.json", headers={"If-None-Match": first.headers["ETag"]})
    assert answer.status == 304
    assert parsedate_to_datetime(answer.headers["Last-Modified"]).timestamp() == DATED + 60


async def test_a_change_is_seen_at_once(client: TestClient, directory: Path) -> None:
    first = await client.get("/jwks.json")
    (directory / ".new").write_bytes(b"{}")
    (directory / ".new").rename(directory / "jwks.json")
    answer = await client.get("/jwks.json", headers={"If-None-Match": first.headers["ETag"]})
    assert (answer.status, await answer.read()) == (200, b"{}")


async def test_status_lists_and_their_index_are_served_and_not_cached_for_long(
    aiohttp_client: Clients, directory: Path
) -> None:
    """By their media types, with validators, and for a second at most, whatever caches may do with the keys."""
    (directory / "status").mkdir()
    (directory / "status" / "1a.jwt").write_bytes(b"a.b.c")
    (directory / "status-lists.json").write_bytes(b"{}")
    client = await aiohttp_client(static_host.application(directory, max_age=60))
    for path, body, kind, cache in (
        ("/jwks.json", BODY, "application/jwk-set+json", "public, max-age=60"),
        ("/status-lists.json", b"{}", "application/json", "public, max-age=1"),
        ("/status/1a.jwt", b"a.b.c", "application/statuslist+jwt", "public, max-age=1"),
    ):
        answer = await client.get(path)
        assert (answer.status, await answer.read()) == (200, body)
        assert (answer.headers["Content-Type"], answer.headers["Cache-Control"]) == (kind, cache)
        again = await client.get(path, headers={"If-None-Match": answer.headers["ETag"]})
        assert (again.status, again.headers["Cache-Control"]) == (304, cache)


@pytest.mark.parametrize(
    "path",
    ["/status", "/status/", "/status/.x.jwt.1.tmp", "/status/absent.jwt", "/status/notes.txt", "/status/deep/a.jwt",
     "/status/..%2fjwks.json", "/status/%2e%2e%2fjwks.json", "/status/link.jwt", "/status/pipe.jwt",
     "/status/large.jwt", "/sub/a.jwt"],
)  # fmt: skip
async def test_of_the_folder_of_lists_only_lists_are_given(client: TestClient, directory: Path, path: str) -> None:
    """One level of the one folder, and whole files of theirs."""
    status = directory / "status"
    for folder in (status, status / "deep", directory / "sub"):
        folder.mkdir()
        (folder / "a.jwt").write_text("inner")
    (directory.parent / "kek.jwt").write_text("secret")
    (status / ".x.jwt.1.tmp").write_text("half")
    (status / "notes.txt").write_text("notes")
    (status / "link.jwt").symlink_to(directory.parent / "kek.jwt")
    os.mkfifo(status / "pipe.jwt")
    with (status / "large.jwt").open("wb") as file:
        file.truncate(static_host.MOST_LIST_BYTES + 1)
    answer = await client.get(path)
    assert answer.status == 404
    assert b"secret" not in await answer.read()
    assert (await client.get("/status/a.jwt")).status == 200


async def test_a_folder_of_lists_that_is_a_link_leads_nowhere(client: TestClient, directory: Path) -> None:
    """Out of the published folder there is nothing to be given away."""
    (directory.parent / "private").mkdir()
    (directory.parent / "private" / "a.jwt").write_text("secret")
    (directory / "status").symlink_to(directory.parent / "private")
    assert (await client.get("/status/a.jwt")).status == 404


@pytest.mark.parametrize(
    "path",
    ["/", "/.jwks.json.1.tmp", "/absent.json", "/sub", "/sub/inner.json", "/link.json", "/pipe", "/%2e%2e/kek",
     "/..%2fkek", "/jwks.json%00", "/large"],
)  # fmt: skip
async def test_what_is_no_document_is_not_there(client: TestClient, directory: Path, path: str) -> None:
    """No listing, no hidden file, no folder, no link out of the folder, nothing that blocks or is too large."""
    (directory.parent / "kek").write_text("secret")
    (directory / ".jwks.json.1.tmp").write_text("half")
    (directory / "sub").mkdir()
    (directory / "sub" / "inner.json").write_text("{}")
    (directory / "link.json").symlink_to(directory.parent / "kek")
    os.mkfifo(directory / "pipe")
    with (directory / "large").open("wb") as file:
        file.truncate(static_host.MOST_BYTES + 1)
    answer = await client.get(path)
    assert answer.status == 404
    assert b"secret" not in await answer.read()


async def test_only_reading_is_offered(client: TestClient) -> None:
    """GET and HEAD; a range is not understood, and so answered whole."""
    head = await client.head("/jwks.json")
    assert (head.status, head.headers["Content-Length"]) == (200, str(len(BODY)))
    assert (await client.get("/jwks.json", headers={"Range": "bytes=0-3"})).status == 200
    for method in ("POST", "PUT", "DELETE"):
        assert (await client.request(method, "/jwks.json")).status == 405


async def test_a_logout_in_the_folder_reaches_a_verifier_that_asks_this_host(
    aiohttp_client: Clients, directory: Path
) -> None:
    """Keys, index and lists from one folder over HTTP; what changed is in force a ttl and a second later at most."""
    issuer = Issuer(clock.now())
    issuer.publish_lists(issuer.publish(directory), {issuer.list_uri: issuer.status_list(ttl=1)})
    client = await aiohttp_client(static_host.application(directory, max_age=1))
    verifier = Verifier(Expectations(NOTES, frozenset({ISSUER})))
    token = issuer.mint(status=issuer.status(5))
    options = HttpOptions(lists=ListSchedule(refresh=1))
    async with HttpSource(str(client.make_url("/jwks.json")), ISSUER, options=options) as source:
        verifier.verify(token, source.snapshot, now=clock.now())
        issuer.publish_lists(directory, {issuer.list_uri: issuer.status_list([5], ttl=1)})
        async with asyncio.timeout(2):
            while True:
                try:
                    verifier.verify(token, source.snapshot, now=clock.now())
                except TokenRevokedError:
                    break
                await asyncio.sleep(0.01)


async def test_the_process_of_the_demo_serves_the_published_folder(tmp_path: Path, free_base_port: int) -> None:
    """Started as the stack starts it, without one setting; it ends when told."""
    state = State(tmp_path)
    state.prepare()
    service = described_host(Addresses(free_base_port), state)
    assert service.settings == {}
    (state.published / "jwks.json").write_bytes(BODY)
    log = state.logs / "log"
    with Guarded(service.command, environment=bare_environment(), log=log, directory=state.root) as guarded:
        async with ClientSession() as session:
            assert await eventually(session, service.ready) == BODY
    assert guarded.poll() == 0
    assert log.read_text() == ""


async def eventually(session: ClientSession, url: str) -> bytes:
    async with asyncio.timeout(20):
        while True:
            try:
                async with session.get(url) as answer:
                    return await answer.read()
            except OSError:
                await asyncio.sleep(0.05)


def test_a_busy_port_is_told_in_a_line(tmp_path: Path, unused_tcp_port: int) -> None:
    with socket.create_server(("127.0.0.1", unused_tcp_port)):
        done = subprocess.run(
            [sys.executable, "-P", static_host.__file__, str(tmp_path), "--port", str(unused_tcp_port)],
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
    assert done.returncode == 1
    assert f"cannot listen on 127.0.0.1:{unused_tcp_port}" in done.stderr
    assert done.stderr.count("\n") == 1
