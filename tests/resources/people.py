"""Who asks the resource servers in these tests, and with which tokens."""

from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from farseal.claims import parse_access_claims
from farseal.web import Principal
from farseal_testing.issuer import Issuer, claims_of

NOTES = "http://127.0.0.1:9001"
REPORTS = "http://127.0.0.1:9002"


def token_of(issuer: Issuer, **changes: Any) -> str:
    """A token that opens both services, with changes as `Issuer.mint` takes them."""
    said = {"audience": [NOTES, REPORTS], "scope": "notes:read notes:write reports:read", "org_id": "acme", "roles": []}
    return issuer.mint(**(said | changes))


def principal_of(token: str) -> Principal:
    """Who presents a token, as a handler would be told."""
    parsed = parse_access_claims(claims_of(token))
    return Principal(
        id=parsed.subject, client_id=parsed.client_id, scopes=parsed.scopes, roles=parsed.roles, claims=parsed
    )


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody with a subject of their own, so that tests that share a database do not meet."""

    issuer: Issuer
    subject: str
    claims: dict[str, Any]

    def token(self, **changes: Any) -> str:
        """A good token of this person's."""
        return token_of(self.issuer, sub=self.subject, **(self.claims | changes))


def person(issuer: Issuer, **claims: Any) -> Person:
    """A new person with these claims."""
    return Person(issuer, str(uuid4()), claims)
