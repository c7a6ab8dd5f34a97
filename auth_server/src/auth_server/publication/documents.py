"""The published documents: from state to bytes (pure).

The same bytes are served over HTTP and written to the publication directory.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from auth_server.terms import TOKEN_GRANT_TYPES
from farseal.encoding import b64url_encode
from farseal.vocabulary import (
    ISSUER_METADATA_FILE,
    JWKS_FILE,
    JWKS_MEDIA_TYPE,
    JWKS_PATH,
    PUBLICATION_MEMBER,
    STATUS_INDEX_PATH,
)

if TYPE_CHECKING:
    from auth_server.keys.public_key import PublicKey

TOKEN_PATH = "/oauth2/token"  # noqa: S105 - a path
REVOCATION_PATH = "/oauth2/revoke"
INTROSPECTION_PATH = "/oauth2/introspect"

CONFIDENTIAL_AUTH_METHODS = ("client_secret_basic", "client_secret_post")
"""How a client with a secret authenticates."""
CLIENT_AUTH_METHODS = (*CONFIDENTIAL_AUTH_METHODS, "none")
"""Where a client without one may ask as well."""


@dataclass(frozen=True, slots=True)
class Document:
    """One document: the name of its file, its media type and its bytes."""

    name: str
    media_type: str
    body: bytes

    @property
    def etag(self) -> str:
        """A strong validator, of the content alone: every replica gives the same (RFC 9110 section 8.8.3)."""
        return f'"{b64url_encode(hashlib.sha256(self.body).digest()[:16])}"'


def jwks(keys: "Iterable[PublicKey]", *, issuer: str, sequence: int, revoked: Iterable[str] = ()) -> Document:
    """The JWK Set of the issuer (RFC 7517 section 5), in the order of the kids.

    The member `PUBLICATION_MEMBER` says whose it is, which one it is, and which keys were withdrawn: one document, so
    that no reader sees the keys of one moment and the withdrawals of another. Neither manifest nor signature stands
    beside it: ADR 0010.

    Args:
        keys: to be published. One that is revoked is left out: a withdrawal wins.
        issuer: the configured string, byte for byte.
        sequence: of the state in the database, 1 or more.
        revoked: kids that were withdrawn in an emergency.
    """
    withdrawn = sorted(set(revoked))
    members = [key.jwk() for key in sorted(keys, key=lambda key: key.kid) if key.kid not in withdrawn]
    said = {"issuer": issuer, "sequence": sequence, "revoked": withdrawn}
    return Document(JWKS_FILE, JWKS_MEDIA_TYPE, msgspec.json.encode({"keys": members, PUBLICATION_MEMBER: said}))


def issuer_metadata(issuer: str, *, scopes: Iterable[str]) -> Document:
    """Authorization server metadata (RFC 8414 section 2).

    ``issuer`` is the configured string, byte for byte (section 3.3). ``response_types_supported`` is required by
    section 2 and empty, because there is no authorization endpoint; ``scopes_supported`` is left out when empty
    (section 3.2). ``status_list_aggregation_endpoint`` is that of the Token Status List, section 9.1.
    """
    base = issuer.rstrip("/")
    members: dict[str, Any] = {
        "issuer": issuer,
        "token_endpoint": base + TOKEN_PATH,
        "jwks_uri": base + JWKS_PATH,
        "response_types_supported": [],
        "grant_types_supported": list(TOKEN_GRANT_TYPES),
        "token_endpoint_auth_methods_supported": list(CLIENT_AUTH_METHODS),
        "revocation_endpoint": base + REVOCATION_PATH,
        "revocation_endpoint_auth_methods_supported": list(CLIENT_AUTH_METHODS),
        "introspection_endpoint": base + INTROSPECTION_PATH,
        "introspection_endpoint_auth_methods_supported": list(CONFIDENTIAL_AUTH_METHODS),
        "status_list_aggregation_endpoint": base + STATUS_INDEX_PATH,
    }
    if offered := sorted(set(scopes)):
        members["scopes_supported"] = offered
    return Document(ISSUER_METADATA_FILE, "application/json", msgspec.json.encode(members))
