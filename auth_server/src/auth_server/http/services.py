"""What the handlers ask, and what they have in common."""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

import structlog
from aiohttp import hdrs, web

from auth_server.gate import GateFull
from auth_server.grants.grant import Seen
from auth_server.http.client_address import Network, client_address
from farseal.problems import ProblemError

if TYPE_CHECKING:
    from prometheus_client import Counter

    from auth_server.accounts.service import Accounts
    from auth_server.grants.introspection import Introspection
    from auth_server.grants.sessions import Opened, Sessions
    from auth_server.tokens.issuer import IssuedToken, Reserved, TokenIssuer
    from auth_server.tokens.own import OwnTokens
    from farseal.clock import Clock

log = structlog.get_logger(__name__)

Kind: TypeAlias = Literal["login", "client_credentials", "refresh_token"]
"""How a token was asked for."""


@dataclass(frozen=True, slots=True)
class Services:
    """The rooms behind the endpoints."""

    accounts: "Accounts"
    sessions: "Sessions"
    issuer: "TokenIssuer"
    own_tokens: "OwnTokens"
    introspection: "Introspection"
    account_audience: str
    """The `aud` of tokens for the account API: the issuer identifier."""
    clock: "Clock"
    trusted_proxies: Sequence[Network]
    outcomes: "Counter"
    """Token requests by ``grant`` and ``outcome``: issued, or the code of the error; of a refused refresh, why."""
    session_requests: "Counter"
    """Requests about tokens and sessions that exist, by ``kind`` and ``outcome``."""

    def address_of(self, request: web.Request) -> str:
        """Who is asking, see `client_address`."""
        forwarded = request.headers.getall(hdrs.X_FORWARDED_FOR, [])
        return client_address(request.remote, forwarded, self.trusted_proxies)

    def seen(self, request: web.Request) -> "Seen":
        """What people recognise a session by."""
        return Seen(self.address_of(request), request.headers.get(hdrs.USER_AGENT, ""))

    @contextlib.contextmanager
    def reserved(self) -> "Iterator[Reserved]":
        """All that a signature takes, for who writes something down before the token is issued.

        Raises:
            ProblemError: 503, too many signatures are waiting, or the keys are not confirmed.
        """
        with bounded(), self.issuer.reserved() as reserved:
            yield reserved

    async def issue(
        self, opened: "Opened", *, kind: Kind, now: int, reserved: "Reserved | None" = None
    ) -> "IssuedToken":
        """Have a token signed, counted and logged (never itself), and answered with the session's refresh token.

        Args:
            opened: what is granted.
            kind: how it was asked for.
            now: seconds since the epoch.
            reserved: see there; None takes that now.

        Raises:
            ProblemError: 503, too many signatures are waiting.
        """
        grant = opened.grant
        with bounded():
            token = await self.issuer.issue(grant, now=now, refresh_token=opened.refresh_token, reserved=reserved)
        self.outcomes.labels(kind, "issued").inc()
        log.info(
            "token issued",
            grant=kind,
            sub=grant.subject,
            client_id=grant.client_id,
            aud=grant.audience,
            scope=grant.scopes,
            jti=token.token_id,
            sid=grant.session_id,
        )
        return token

    def refuse(self, kind: Kind, code: str) -> None:
        """Count and log a refusal. Nothing that was sent is logged."""
        self.outcomes.labels(kind, code).inc()
        log.info("token refused", grant=kind, reason=code)

    def count(self, kind: str, outcome: str, **said: object) -> None:
        """Count and log what was done about a session, or why nothing was. No token and no secret is among it."""
        self.session_requests.labels(kind, outcome).inc()
        told = {name: str(value) for name, value in said.items() if value is not None}
        log.info("session request", kind=kind, outcome=outcome, **told)


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
