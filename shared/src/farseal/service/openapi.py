"""A service's own description, served to anybody."""

from collections.abc import Awaitable, Callable
from importlib.resources import files
from typing import Final

from aiohttp import web

PATH: Final = "/openapi.yaml"

MEDIA_TYPE: Final = "application/yaml"
"""RFC 9512."""


def openapi_handler(package: str) -> Callable[[web.Request], Awaitable[web.Response]]:
    """A handler for the ``openapi.yaml`` that a package ships, read once."""
    document = files(package).joinpath("openapi.yaml").read_bytes()

    async def get_openapi(_request: web.Request) -> web.Response:
        return web.Response(
            body=document, content_type=MEDIA_TYPE, charset="utf-8", headers={"Cache-Control": "public, max-age=300"}
        )

    return get_openapi
