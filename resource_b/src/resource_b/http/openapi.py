"""The description of this service, served to anybody."""

from importlib.resources import files
from typing import Final

from aiohttp import web

PATH: Final = "/openapi.yaml"

MEDIA_TYPE: Final = "application/yaml"
"""RFC 9512."""

_DOCUMENT: Final = files("resource_b").joinpath("openapi.yaml").read_bytes()


async def get_openapi(_request: web.Request) -> web.Response:
    """Serve openapi.yaml as it was packaged."""
    return web.Response(
        body=_DOCUMENT, content_type=MEDIA_TYPE, charset="utf-8", headers={"Cache-Control": "public, max-age=300"}
    )
