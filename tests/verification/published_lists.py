"""Status lists and their index as an issuer publishes them, good and bad, and what a server of them answers."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from farseal.sources import HttpOptions, HttpSource, ListSchedule, Schedule
from farseal.verify import Expectations, Verifier
from tests.support.tokens import ISSUER, NOTES, Issuer, b64, bits_of, compact_json, packed, sign
from tests.verification.hostile_issuer import answered
from tests.verification.polled import GOOD, NOW

BASE = f"{ISSUER}/.well-known/status/"
QUICK = HttpOptions(schedule=Schedule(0.05, 0.2), lists=ListSchedule(0.05, 60, 0.2, 0.2))
PATIENT = HttpOptions(schedule=Schedule(60, 60), lists=ListSchedule(60, 60, 60, 60))
"""Looks once, and then only where something else than time makes it."""

VERIFIER = Verifier(Expectations(NOTES, frozenset({ISSUER})))
INDEX = "/status-lists.json"


def uri_of(name: str) -> str:
    return f"{BASE}{name}.jwt"


def path_of(name: str) -> str:
    return f"/status/{name}.jwt"


def list_token(
    name: str = "a",
    revoked: Iterable[int] = (),
    *,
    version: int | None = 1,
    by: Issuer = GOOD,
    size: int = 1024,
    header: Mapping[str, Any] | None = None,
    **payload: Any,
) -> bytes:
    """A list of one bit for each entry. A member given as None is left out."""
    said = {
        "iss": ISSUER,
        "sub": uri_of(name),
        "iat": NOW,
        "exp": NOW + 3600,
        "status_list": {"bits": 1, "lst": packed(bits_of(revoked, size))},
        "farseal": None if version is None else {"version": version},
    } | payload
    heading = {"alg": "RS256", "kid": by.kid, "typ": "statuslist+jwt"} | (header or {})
    present = {key: value for key, value in said.items() if value is not None}
    return sign(compact_json(heading), compact_json(present), by.key).encode()


def index_of(lists: Mapping[str, bytes], **said: Any) -> bytes:
    """Of documents by the names of their lists."""
    digests = {uri_of(name): b64(hashlib.sha256(document).digest()) for name, document in lists.items()}
    member = {"issuer": ISSUER, "lists": digests} | said
    return compact_json({"status_lists": sorted(digests), "farseal": member})


@dataclass
class Published:
    """What a static host has of an issuer."""

    lists: dict[str, bytes] = field(default_factory=dict)
    keys: bytes = field(default_factory=lambda: GOOD.jwks(issuer=ISSUER, sequence=5))

    def answers(self, **others: Any) -> dict[str, Any]:
        """For `HostileIssuer.behave`, with other answers for some names."""
        paths = {"/jwks.json": answered(self.keys), INDEX: answered(index_of(self.lists))}
        paths |= {path_of(name): answered(document) for name, document in self.lists.items()}
        return {"by_path": paths | others}


def versions(source: HttpSource) -> dict[str, int | None]:
    """Of the lists in force, by their names."""
    trust = source.snapshot.issuers.get(ISSUER)
    lists = {} if trust is None else trust.lists
    return {uri.removeprefix(BASE).removesuffix(".jwt"): one.version for uri, one in lists.items()}


def token(index: int, name: str = "a", by: Issuer = GOOD, **claims: Any) -> str:
    return by.mint(status={"status_list": {"idx": index, "uri": uri_of(name)}}, **claims)
