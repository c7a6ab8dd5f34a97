"""What the handlers ask, and what they have in common."""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

import structlog
from aiohttp import hdrs, web

from auth_server.gate import GateFull
from auth_server.http.client_address import Network, client_address
from farseal.problems import ProblemError

if TYPE_CHECKING:
    from prometheus_client import Counter

    from auth_server.accounts.service import Accounts
    from auth_server.grants.service import Grant, Grants
    from auth_server.tokens.issuer import IssuedToken, TokenIssuer
    from farseal.clock import Clock

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Services:
    """The rooms behind the endpoints."""

    accounts: "Accounts"
    grants: "Grants"
    issuer: "TokenIssuer"
    clock: "Clock"
    trusted_proxies: Sequence[Network]
    outcomes: "Counter"
    """Token requests by ``grant`` and ``outcome``: issued, or the code of the error."""

    def address_of(self, request: web.Request) -> str:
        """Who is asking, see `client_address`."""
        forwarded = request.headers.getall(hdrs.X_FORWARDED_FOR, [])
        return client_address(request.remote, forwarded, self.trusted_proxies)

    async def issue(self, grant: "Grant", *, kind: Literal["login", "client_credentials"], now: int) -> "IssuedToken":
        """Have a token signed, counted and logged (never itself).

        Raises:
            ProblemError: 503, too many signatures are waiting.
        """
        with bounded():
            token = await self.issuer.issue(grant, now=now)
        self.outcomes.labels(kind, "issued").inc()
        log.info(
            "token issued",
            grant=kind,
            sub=grant.subject,
            client_id=grant.client_id,
            aud=grant.audience,
            scope=grant.scopes,
            jti=token.token_id,
        )
        return token

    def refuse(self, kind: Literal["login", "client_credentials"], code: str) -> None:
        """Count and log a refusal. Nothing that was sent is logged."""
        self.outcomes.labels(kind, code).inc()
        log.info("token refused", grant=kind, reason=code)


SERVICES: Final = web.AppKey("auth_server.services", Services)


@contextlib.contextmanager
def bounded() -> Iterator[None]:
    """Answer 503 with ``Retry-After`` when a gate of this process is full."""
    try:
        yield
    except GateFull as error:
        raise ProblemError(
            503, "overloaded", "too many requests at this moment", {"Retry-After": str(error.retry_after)}
        ) from error
