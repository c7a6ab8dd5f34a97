"""Protected resource metadata: what a client may know about a service before it has a token (RFC 9728)."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

import msgspec

from farseal.settings import TrustSettings
from farseal.vocabulary import RESOURCE_METADATA_PATH

MAX_AGE_SECONDS: Final = 3600
"""For caches: what a service requires changes with its releases."""


@dataclass(frozen=True, slots=True)
class Places:
    """Where a service's metadata is.

    Args:
        paths: to serve it at.
        url: to name in challenges; None where the identifier of the service is no web address.
    """

    paths: tuple[str, ...]
    url: str | None


def places(audience: str) -> Places:
    """The well-known path goes between the host and the path of the identifier (section 3.1).

    It is served without that path too, for those who know the host only. Nothing is taken from the request: a ``Host``
    header is the sender's word.
    """
    parts = urlsplit(audience)
    if parts.scheme not in {"http", "https"}:
        return Places((RESOURCE_METADATA_PATH,), None)
    path = "" if parts.path == "/" else parts.path
    query = f"?{parts.query}" if parts.query else ""
    url = f"{parts.scheme}://{parts.netloc}{RESOURCE_METADATA_PATH}{path}{query}"
    # Braces would be variables to the router, and escapes are compared decoded: such a path is left to a proxy.
    plain = path and not set(path) & set("{}%")
    return Places((RESOURCE_METADATA_PATH, RESOURCE_METADATA_PATH + path)[: 2 if plain else 1], url)


def document(settings: TrustSettings, scopes: Iterable[str]) -> bytes:
    """The metadata itself (section 2). ``jwks_uri`` is about keys of the service's own, not of the issuer's."""
    body: dict[str, object] = {
        "resource": settings.audience,
        "authorization_servers": [one.issuer for one in settings.trusted],
        "bearer_methods_supported": ["header"],
        "scopes_supported": sorted(scopes),
    }
    if settings.jwks_uri is not None:
        body["jwks_uri"] = settings.jwks_uri
    return msgspec.json.encode(body)
