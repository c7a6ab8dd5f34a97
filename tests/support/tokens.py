"""An issuer of a moment, under the names of the tests' services: its JWKS, and tokens of any shape, good and bad."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import rsa

from farseal_testing.mint import b64, bits_of, compact_json, jwk, packed, private_key, sign, write

__all__ = [
    "ISSUER",
    "NOTES",
    "REPORTS",
    "Issuer",
    "b64",
    "bits_of",
    "compact_json",
    "jwk",
    "packed",
    "private_key",
    "sign",
    "write",
]

ISSUER = "http://127.0.0.1:9000"
NOTES = "http://127.0.0.1:9001"
REPORTS = "http://127.0.0.1:9002"


@dataclass
class Issuer:
    """Mints what the test asks for. A claim or header member given as None is left out."""

    now: int
    issuer: str = ISSUER
    audience: str | list[str] = field(default_factory=lambda: [NOTES, REPORTS])
    kid: str = "first"
    entry: int | None = None
    """Of every token in the status list; None leaves it out."""

    @property
    def key(self) -> rsa.RSAPrivateKey:
        return private_key(self.kid)

    def claims(self, **changes: Any) -> dict[str, Any]:
        claims = {
            "iss": self.issuer,
            "sub": "6b1f0d5e-3c1f-4b8a-9f0e-1d2c3b4a5968",
            "aud": self.audience,
            "exp": self.now + 300,
            "iat": self.now,
            "jti": "q2Zx0mBv1nK8Jc5Rt7Yw",
            "client_id": "login",
            "scope": "notes:read notes:write reports:read",
            "roles": [],
            "org_id": "acme",
            "status": None if self.entry is None else self.status(self.entry),
        } | changes
        return {name: value for name, value in claims.items() if value is not None}

    def header(self, **changes: Any) -> dict[str, Any]:
        header = {"alg": "RS256", "typ": "at+jwt", "kid": self.kid} | changes
        return {name: value for name, value in header.items() if value is not None}

    def mint(self, *, header: dict[str, Any] | None = None, **claims: Any) -> str:
        """A token signed by this issuer's key, with the given changes to claims and header."""
        return sign(compact_json(self.header(**(header or {}))), compact_json(self.claims(**claims)), self.key)

    def jwks(self, *others: dict[str, Any], **said: Any) -> bytes:
        """The published set: this issuer's key and the given others, and what the issuer says beside them."""
        document: dict[str, Any] = {"keys": [jwk(self.key, self.kid), *others]}
        return compact_json(document | ({"farseal": said} if said else {}))

    @property
    def list_uri(self) -> str:
        """Of its one status list, unless a test has others."""
        return f"{self.issuer}/.well-known/status/one.jwt"

    def status(self, index: Any = 0, uri: Any = None) -> dict[str, Any]:
        """The claim ``status`` of a token."""
        return {"status_list": {"idx": index, "uri": self.list_uri if uri is None else uri}}

    def status_list(self, revoked: Iterable[int] = (), *, header: dict[str, Any] | None = None, **claims: Any) -> bytes:
        """A list of 64 entries of one bit each, signed by this issuer's key. A claim given as None is left out."""
        payload = {
            "iss": self.issuer,
            "sub": self.list_uri,
            "iat": self.now,
            "exp": self.now + 86_400,
            "ttl": 5,
            "status_list": {"bits": 1, "lst": packed(bits_of(revoked, 64))},
        } | claims
        said = self.header(**({"typ": "statuslist+jwt"} | (header or {})))
        return sign(
            compact_json(said), compact_json({name: v for name, v in payload.items() if v is not None}), self.key
        ).encode()

    def status_index(self, lists: dict[str, bytes]) -> bytes:
        """The index of lists, given by URI."""
        digests = {uri: b64(hashlib.sha256(document).digest()) for uri, document in lists.items()}
        return compact_json({"status_lists": sorted(lists), "farseal": {"issuer": self.issuer, "lists": digests}})

    def publish_lists(self, directory: Path, lists: dict[str, bytes] | None = None) -> Path:
        """Write lists, given by URI, and then the index; the one that revokes nothing unless told."""
        lists = {self.list_uri: self.status_list()} if lists is None else lists
        (directory / "status").mkdir(parents=True, exist_ok=True)
        for uri, document in lists.items():
            write(directory / "status" / uri.rpartition("/")[2], document)
        write(directory / "status-lists.json", self.status_index(lists))
        return directory

    def publish(self, directory: Path) -> Path:
        """Write the documents that a resource server reads, and give their directory."""
        directory.mkdir(parents=True, exist_ok=True)
        for name, data in (
            ("jwks.json", self.jwks()),
            ("oauth-authorization-server.json", compact_json({"issuer": self.issuer})),
        ):
            write(directory / name, data)
        return directory
