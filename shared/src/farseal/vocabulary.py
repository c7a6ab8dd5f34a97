"""The words of the standards that more than one module says: claim names, types, media types, well-known paths."""

from typing import Final

ALGORITHM: Final = "RS256"
"""The one algorithm, of signatures and of keys (RFC 7518 section 3.3)."""

ACCESS_TOKEN_TYPE: Final = "at+jwt"  # noqa: S105 - a media type
"""``typ`` of an access token (RFC 9068 section 2.1)."""

MAX_TIME: Final = 253_402_300_799
"""The last second of the year 9999. Later means milliseconds, or an attack on somebody's date library."""

REGISTERED_CLAIMS: Final = frozenset(
    {
        "iss", "sub", "aud", "exp", "nbf", "iat", "jti", "client_id", "scope", "roles", "groups", "entitlements",
        "auth_time", "acr", "amr", "sid", "cnf", "act", "may_act", "status", "azp", "nonce", "at_hash", "c_hash",
        "events", "txn", "authorization_details",
    }
)  # fmt: skip
"""Claims with a meaning of their own; an attribute of a user is never mapped onto one of them."""

JWKS_MEDIA_TYPE: Final = "application/jwk-set+json"
"""RFC 7517 section 8.5."""

PROBLEM_MEDIA_TYPE: Final = "application/problem+json"
"""RFC 9457 section 3."""

STATUS_LIST_TYPE: Final = "statuslist+jwt"
"""``typ`` of a status list token (Token Status List section 5.1)."""

STATUS_LIST_MEDIA_TYPE: Final = "application/statuslist+jwt"
"""Token Status List section 8.1."""

JWKS_PATH: Final = "/.well-known/jwks.json"
ISSUER_METADATA_PATH: Final = "/.well-known/oauth-authorization-server"
"""RFC 8414 section 3."""
STATUS_INDEX_PATH: Final = "/.well-known/status-lists.json"
"""Of the document that names an issuer's status lists (Token Status List section 9); beside the key set."""
STATUS_LISTS_PATH: Final = "/.well-known/status/"
"""Of the lists themselves, each ``NAME.jwt`` below it."""
RESOURCE_METADATA_PATH: Final = "/.well-known/oauth-protected-resource"
"""RFC 9728 section 3."""

PUBLICATION_MEMBER: Final = "farseal"
"""What an issuer of ours says beside ``keys`` in its key set: its name, the number of the set, the withdrawn keys.

RFC 7517 section 5 lets a set have members of its own, and others pass over them. They are in the same document as the
keys, so that no reader can see one without the other.
"""

MAX_REVOKED: Final = 1024
"""Kids withdrawn in emergencies, in one key set. Past it an issuer of ours leaves the oldest out: their tokens died
long ago, and no set holds their keys."""

MAX_SEQUENCE: Final = 2**53 - 1
"""Of a key set, and the last version of a status list: the largest integer that every JSON parser reads exactly (RFC
8259 section 6)."""

JWKS_FILE: Final = "jwks.json"
ISSUER_METADATA_FILE: Final = "oauth-authorization-server.json"
"""The names of the published documents in a publication directory."""

STATUS_INDEX_FILE: Final = "status-lists.json"
STATUS_DIRECTORY: Final = "status"
"""Where the status lists are in a publication directory, and beside an index that is fetched."""

STATUS_SUFFIX: Final = ".jwt"
"""Of the file of a status list. Its name is the last segment of the list's URI."""
