"""RFC 9728: what a service says of itself, and where."""

from typing import Any

import pytest
from aiohttp import web

from farseal.web import setup
from farseal.web.metadata import places
from tests.support.protected import NOW, notes_app, read_notes, settings_for
from tests.support.tokens import ISSUER, NOTES

PATH = "/.well-known/oauth-protected-resource"


async def test_metadata_is_public_and_complete(aiohttp_client, tmp_path) -> None:
    """Section 2: who it is, who issues its tokens, how they are sent, and every scope of rules and handlers."""
    client = await aiohttp_client(notes_app(settings_for(tmp_path), rules="* /any/** scope:b role:x\nPUT /c scope:a"))
    answer = await client.get(PATH)
    assert answer.status == 200
    assert answer.content_type == "application/json"
    assert answer.headers["Cache-Control"] == "public, max-age=3600"
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert await answer.json() == {
        "resource": NOTES,
        "authorization_servers": [ISSUER],
        "bearer_methods_supported": ["header"],
        "scopes_supported": ["a", "b", "notes:read"],
    }
    assert (await client.head(PATH)).status == 200
    assert (await client.post(PATH)).status == 401


async def test_metadata_is_public_whatever_the_rules_say(aiohttp_client, tmp_path) -> None:
    """A client needs it before it can have a token."""
    client = await aiohttp_client(notes_app(settings_for(tmp_path), rules="* /** role:nobody"))
    assert (await client.get(PATH)).status == 200


async def test_keys_of_the_service_are_named_where_it_has_some(aiohttp_client, tmp_path) -> None:
    """jwks_uri is about the resource's own keys (section 2)."""
    settings = settings_for(tmp_path, jwks_uri="https://notes.example/jwks.json")
    body = await (await (await aiohttp_client(notes_app(settings))).get(PATH)).json()
    assert body["jwks_uri"] == "https://notes.example/jwks.json"


@pytest.mark.parametrize(
    ("audience", "paths", "url"),
    [
        pytest.param("https://n.example", (PATH,), f"https://n.example{PATH}", id="host"),
        pytest.param("https://n.example/", (PATH,), f"https://n.example{PATH}", id="host-and-slash"),
        pytest.param(
            "https://n.example/api", (PATH, f"{PATH}/api"), f"https://n.example{PATH}/api", id="path-goes-after"
        ),
        pytest.param("https://n.example?t=1", (PATH,), f"https://n.example{PATH}?t=1", id="query"),
        pytest.param("https://n.example/a%20b", (PATH,), f"https://n.example{PATH}/a%20b", id="escapes"),
        pytest.param("https://n.example/{x}", (PATH,), f"https://n.example{PATH}/{{x}}", id="braces"),
        pytest.param("urn:example:notes", (PATH,), None, id="no-web-address"),
    ],
)
def test_the_well_known_path_goes_between_host_and_path(audience, paths, url) -> None:
    """Section 3.1."""
    found = places(audience)
    assert (found.paths, found.url) == (paths, url)


async def test_a_service_under_a_path_serves_both_places(aiohttp_client, tmp_path) -> None:
    """And its challenge names the one that belongs to its identifier."""
    app = web.Application()
    app.router.add_get("/api/notes", read_notes)
    setup(app, settings_for(tmp_path, audience="https://n.example/api"), clock=lambda: NOW)
    client = await aiohttp_client(app)
    bodies: list[Any] = [await (await client.get(path)).json() for path in (PATH, f"{PATH}/api")]
    assert bodies[0] == bodies[1]
    refused = await client.get("/api/notes", headers={"Host": "evil.example"})
    assert f'resource_metadata="https://n.example{PATH}/api"' in refused.headers["WWW-Authenticate"]


async def test_a_service_without_web_address_names_no_metadata(aiohttp_client, tmp_path) -> None:
    """There is nothing that a client could fetch."""
    client = await aiohttp_client(notes_app(settings_for(tmp_path, audience="urn:example:notes")))
    assert "resource_metadata" not in (await client.get("/notes")).headers["WWW-Authenticate"]
