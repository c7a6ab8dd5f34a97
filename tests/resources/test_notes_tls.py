"""Whose certificate resource_b takes where it sends its callers' tokens."""

import ssl
from datetime import UTC, datetime
from pathlib import Path

import pytest
from aiohttp import web

from farseal.environment import SettingsError
from resource_b.notes_client import Bounds, Failure, NotesClient, open_session
from resource_b.reports import SeenNotes
from resource_b.settings import Settings
from scripts import certificates

BOUNDS = Bounds(timeout_seconds=5.0, concurrency=2, max_notes=100)


@pytest.fixture
def authority(tmp_path: Path) -> Path:
    """A folder with a CA, and with certificates of it."""
    folder = tmp_path / "tls"
    certificates.ensure(folder, datetime.now(UTC))  # noqa: TID251 - TLS has the machine's own clock
    return folder


@pytest.fixture
async def notes(authority: Path, aiohttp_server):
    """Notes over TLS, with a certificate for this machine; counts who asks."""
    asked: list[str] = []

    async def listed(request: web.Request) -> web.Response:
        asked.append(request.headers["Authorization"])
        return web.json_response({"notes": [], "next_cursor": None})

    app = web.Application()
    app.router.add_get("/notes", listed)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority / "resource_gateway.crt", authority / "resource_gateway.key")
    server = await aiohttp_server(app, ssl=context)
    return f"https://127.0.0.1:{server.port}", asked


async def read(url: str, ca_file: Path | None) -> object:
    async with open_session(connections=2, ca_file=ca_file) as session:
        return await NotesClient(session, url, BOUNDS).read("a.b.c", only_own=True)


async def test_notes_are_read_from_whom_the_ca_certifies(notes, authority: Path) -> None:
    url, asked = notes
    assert isinstance(await read(url, authority / "ca.crt"), SeenNotes)
    assert asked == ["Bearer a.b.c"]


@pytest.mark.parametrize("trusts", ["the system", "another CA"])
async def test_no_token_is_sent_to_anybody_else(notes, trusts: str, tmp_path: Path) -> None:
    url, asked = notes
    other = tmp_path / "other"
    certificates.main([str(other)])
    assert await read(url, None if trusts == "the system" else other / "ca.crt") is Failure.UNREACHABLE
    assert asked == []


async def test_nor_to_somebody_with_another_name(notes, authority: Path) -> None:
    url, asked = notes
    assert await read(url.replace("127.0.0.1", "127.0.0.2"), authority / "ca.crt") is Failure.UNREACHABLE
    assert asked == []


@pytest.mark.parametrize(
    ("url", "content", "told"),
    [
        ("https://notes", None, "cannot be read"),
        ("https://notes", "no certificate", "holds no certificates"),
        ("http://notes", "good", "is no https:// URL"),
    ],
)
def test_a_ca_that_cannot_be_used_is_told_at_the_start(
    authority: Path, url: str, content: str | None, told: str
) -> None:
    file = authority / "given.pem"
    if content is not None:
        file.write_bytes((authority / "ca.crt").read_bytes() if content == "good" else content.encode())
    environ = {"RESOURCE_B_NOTES_URL": url, "RESOURCE_B_NOTES_CA_FILE": str(file)}
    with pytest.raises(SettingsError, match=told):
        Settings.from_environ(environ)
    assert Settings.from_environ({"RESOURCE_B_NOTES_URL": url}).notes_ca_file is None
