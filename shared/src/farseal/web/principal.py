"""Who a verified request speaks for."""

from dataclasses import dataclass
from typing import Any, Final, Self

from aiohttp import web

from farseal.claims import AccessClaims


@dataclass(frozen=True, slots=True)
class Principal:
    """The bearer of a good token, as the token describes them. No database was asked.

    ``id`` is the stable ``sub`` of a person, or the client itself where it acts for nobody.
    """

    id: str
    client_id: str
    scopes: frozenset[str]
    roles: frozenset[str]
    claims: AccessClaims

    @classmethod
    def of(cls, claims: AccessClaims) -> Self:
        """From the claims of a verified token."""
        return cls(claims.subject, claims.client_id, claims.scopes, claims.roles, claims)

    def has_scope(self, scope: str) -> bool:
        """Whether the token carries this scope."""
        return scope in self.scopes

    def has_role(self, role: str) -> bool:
        """Whether the token carries this role."""
        return role in self.roles

    def claim(self, name: str) -> Any:
        """A claim of the issuer's own, such as an attribute mapped for this service; None where the token has none."""
        return self.claims.extra.get(name)


PRINCIPAL: Final = web.RequestKey("farseal.principal", Principal)
"""Where a request holds its principal once it is verified; `principal` reads it."""


def principal(request: web.Request) -> Principal:
    """The principal of a verified request.

    Raises:
        RuntimeError: nothing was verified: the route is public, or `farseal.web.setup` was not called.
    """
    try:
        return request[PRINCIPAL]
    except KeyError:
        raise RuntimeError("this request has no principal: its route is public, or setup() was not called") from None
