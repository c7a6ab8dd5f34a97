"""A farseal-protected application over a directory of real documents, and requests to it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aiohttp import web

from farseal.settings import TrustSettings
from farseal.status_list import StatusPolicy
from farseal.web import principal, requires, setup
from tests.support.tokens import ISSUER, NOTES

NOW = 1_795_000_000


def settings_for(directory: Path, **changes: Any) -> TrustSettings:
    """Settings of a notes service that trusts the documents in a directory, and asks for no status unless told to."""
    given: dict[str, Any] = {
        "issuer": ISSUER,
        "audience": NOTES,
        "trust_directory": directory,
        "status": StatusPolicy.OFF,
    } | changes
    return TrustSettings(**given)


def bearer(token: str) -> dict[str, str]:
    """The header that presents a token."""
    return {"Authorization": f"Bearer {token}"}


@requires("notes:read")
async def read_notes(request: web.Request) -> web.Response:
    """Say who asked."""
    who = principal(request)
    same = request["principal"] is who
    return web.json_response({"id": who.id, "org": who.claim("org_id"), "same": same})


async def anything(request: web.Request) -> web.Response:
    """A handler without a requirement of its own."""
    return web.json_response({"path": request.rel_url.path_safe, "known": "principal" in request})


def notes_app(settings: TrustSettings, **options: Any) -> web.Application:
    """``GET /notes`` requires a scope by itself; the other paths are for rules to speak about."""
    app = web.Application()
    app.router.add_get("/notes", read_notes)
    app.router.add_get("/notes/{id}", anything)
    app.router.add_delete("/notes/{id}", anything)
    app.router.add_route("*", "/any/{tail:.*}", anything)
    setup(app, settings, **({"clock": lambda: NOW} | options))
    return app


def challenge_of(headers: Mapping[str, str]) -> dict[str, str]:
    """The attributes of a Bearer challenge; empty where there is none."""
    value = headers.get("WWW-Authenticate", "")
    if not value:
        return {}
    scheme, _, rest = value.partition(" ")
    assert scheme == "Bearer"
    return dict(part.replace('"', "").split("=", 1) for part in rest.split('", '))
