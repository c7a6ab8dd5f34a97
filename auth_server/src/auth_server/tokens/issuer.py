"""From a grant to a signed access token."""

import contextlib
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import msgspec

from auth_server.tokens.claims import access_token_payload
from farseal.vocabulary import ACCESS_TOKEN_TYPE

if TYPE_CHECKING:
    from auth_server.gate import Place
    from auth_server.grants.grant import Grant
    from auth_server.keys.custody import SigningKey
    from auth_server.keys.signer import Signer

_JTI_BYTES: Final = 16
"""128 bits from the system's random source: no two tokens meet (RFC 7519 section 4.1.7)."""


@dataclass(frozen=True, slots=True)
class IssuedToken:
    """What the token endpoints answer with; ``expires_in`` is in seconds. ``token_id`` (its jti) is for the logs.

    ``refresh_token`` is of the session that the token belongs to, where that has one.
    """

    access_token: str = field(repr=False)
    token_id: str
    expires_in: int
    scope: str | None
    refresh_token: str | None = field(default=None, repr=False)

    def body(self) -> dict[str, str | int]:
        """The members of a successful response (RFC 6749 section 5.1)."""
        body: dict[str, str | int] = {
            "access_token": self.access_token,
            "token_type": "Bearer",
            "expires_in": self.expires_in,
        }
        if self.scope is not None:
            body["scope"] = self.scope
        if self.refresh_token is not None:
            body["refresh_token"] = self.refresh_token
        return body


@dataclass(frozen=True, slots=True)
class Reserved:
    """What one signature takes: the key that is active, and room at the signer."""

    key: "SigningKey"
    place: "Place"


class TokenIssuer:
    """Signs access tokens of one issuer with whatever key is active at that moment.

    Args:
        signer: writes the tokens.
        active_key: gives the key.
        issuer: the ``iss``.
        lifetime: seconds, for a grant that asks for none.
        longest: seconds; a longer life that is asked for is cut down to it. Keys are dropped when tokens of so many
            seconds are dead.
    """

    def __init__(
        self, signer: "Signer", active_key: Callable[[], "SigningKey"], *, issuer: str, lifetime: int, longest: int
    ) -> None:
        self._signer = signer
        self._active_key = active_key
        self._issuer = issuer
        self._lifetime = lifetime
        self._longest = longest

    @contextlib.contextmanager
    def reserved(self) -> Iterator[Reserved]:
        """All that could be lacking for one signature, before anything is used up for it: who is refused afterwards has
        a refresh token that is used, and no other.

        The key is the one of this moment. A token that says an earlier moment and is signed with it somewhat later dies
        no later than one that was signed at once.

        Raises:
            GateFull: too many signatures are waiting.
            KeysUnconfirmed: the database has not been read for too long.
        """
        with self._signer.reserved() as place:
            yield Reserved(self._active_key(), place)

    async def issue(
        self, grant: "Grant", *, now: int, refresh_token: str | None = None, reserved: Reserved | None = None
    ) -> IssuedToken:
        """A token for ``grant``; it lives as long as its client asks, or as long as the server is set to, and never
        longer than the session.

        The payload is the compact spelling that msgspec gives, so that a verifier can tell by encoding it again that
        nothing in it is spelled twice or strangely.

        Args:
            grant: what it says.
            now: of before the reservation, in seconds since the epoch.
            refresh_token: goes with it.
            reserved: what it is signed with; None takes that now.

        Raises:
            GateFull: too many signatures are waiting.
            KeysUnconfirmed: the database has not been read for too long.
            ReservedClaimError: a mapped attribute has the name of a registered claim.
        """
        asked = self._lifetime if grant.access_token_seconds is None else grant.access_token_seconds
        lifetime = min(asked, self._longest, grant.deadline - now)
        jti = secrets.token_urlsafe(_JTI_BYTES)
        payload = access_token_payload(grant, issuer=self._issuer, now=now, lifetime=lifetime, jti=jti)
        key, place = (self._active_key(), None) if reserved is None else (reserved.key, reserved.place)
        token = await self._signer.sign(msgspec.json.encode(payload), key, token_type=ACCESS_TOKEN_TYPE, place=place)
        return IssuedToken(token, jti, lifetime, " ".join(grant.scopes) or None, refresh_token)
