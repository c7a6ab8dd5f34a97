"""The payload of an access token (pure, RFC 9068 section 2.2)."""

from collections.abc import Mapping
from typing import Any, Protocol

from auth_server.status.entry import StatusEntry
from farseal.vocabulary import REGISTERED_CLAIMS


class Granted(Protocol):
    """What a token says of a grant; `auth_server.grants.grant.Grant` is one."""

    @property
    def subject(self) -> str: ...
    @property
    def client_id(self) -> str: ...
    @property
    def audience(self) -> tuple[str, ...]: ...
    @property
    def scopes(self) -> tuple[str, ...]: ...
    @property
    def roles(self) -> tuple[str, ...]: ...
    @property
    def claims(self) -> Mapping[str, Any]: ...
    @property
    def auth_time(self) -> int | None: ...
    @property
    def session_id(self) -> str: ...
    @property
    def status(self) -> StatusEntry: ...


class ReservedClaimError(Exception):
    """A mapped attribute would speak as a registered claim. A fault of the configuration, named by its claim."""


def access_token_payload(grant: Granted, *, issuer: str, now: int, lifetime: int, jti: str) -> dict[str, Any]:
    """The claims of a token for ``grant``, issued at ``now`` and dead at ``now + lifetime`` (seconds).

    Always ``iss sub aud exp iat jti client_id``, ``sid`` and ``status``: the grant, and where its end is published
    (Token Status List section 6.1). ``scope`` and ``roles`` only when there are any (2.2.3), ``auth_time`` only when a
    person logged in (2.2.1). ``aud`` is a string for one audience and a list for several.

    Raises:
        ReservedClaimError: a mapped attribute has the name of a registered claim.
        ValueError: no audience, or a life of no length.
    """
    if not grant.audience:
        raise ValueError("a token without audience is accepted nowhere")
    if lifetime < 1:
        raise ValueError("a token lives at least a second")
    payload: dict[str, Any] = {
        "iss": issuer,
        "sub": grant.subject,
        "aud": grant.audience[0] if len(grant.audience) == 1 else list(grant.audience),
        "exp": now + lifetime,
        "iat": now,
        "jti": jti,
        "client_id": grant.client_id,
        "sid": grant.session_id,
        "status": {"status_list": {"idx": grant.status.index, "uri": grant.status.uri}},
    }
    if grant.scopes:
        payload["scope"] = " ".join(grant.scopes)
    if grant.roles:
        payload["roles"] = list(grant.roles)
    if grant.auth_time is not None:
        payload["auth_time"] = grant.auth_time
    return payload | _mapped(grant.claims)


def _mapped(claims: Mapping[str, Any]) -> dict[str, Any]:
    reserved = sorted(REGISTERED_CLAIMS.intersection(claims))
    if reserved:
        raise ReservedClaimError(f"an attribute is mapped onto the registered claim {reserved[0]!r}")
    return dict(claims)
