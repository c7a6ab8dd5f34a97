"""A token without a login: the signing half of the service, for one command alone."""

import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any, Self

import structlog

from auth_server.app import open_keks, sessions_of
from auth_server.cli.keys.access import actor
from auth_server.cli.session import Refusal, Unavailable, now, told
from auth_server.grants.grant import Grant, Opened, Seen
from auth_server.grants.rules import GrantRefused
from auth_server.grants.sessions import Sessions
from auth_server.keys.keyring import Keyring
from auth_server.keys.opening import Keks
from auth_server.keys.sealing import KekError
from auth_server.keys.signer import Signer
from auth_server.settings import AuthServerSettings
from auth_server.status.entries import EntryPool
from auth_server.storage.connection import Pool
from auth_server.tokens.issuer import TokenIssuer

log = structlog.get_logger(__name__)

OpenSession = Callable[[Sessions, Seen, int], Awaitable[Opened | GrantRefused]]
"""Opens a session at a moment, in the name of who is seen."""


@dataclass(frozen=True, slots=True)
class Mint:
    """The settings of the server and its KEKs. ``lifetime`` is in seconds, None for what a login would give."""

    settings: AuthServerSettings
    keks: Keks
    lifetime: int | None

    @classmethod
    def load(cls, lifetime: int | None) -> Self:
        """As the environment has them.

        Raises:
            Refusal: no token may live for so long.
            Unavailable: a setting or a KEK file is wrong.
        """
        with told():
            settings = AuthServerSettings.from_environ(os.environ)
        if lifetime is not None and lifetime > settings.max_token_seconds:
            raise Refusal(f"--lifetime may be {settings.max_token_seconds} s at most: AUTH_SERVER_MAX_TOKEN_SECONDS")
        try:
            return cls(settings, open_keks((settings.kek_file, *settings.old_kek_files)), lifetime)
        except KekError as error:
            raise Unavailable(str(error)) from None

    async def token(self, pool: Pool, open_session: OpenSession) -> dict[str, Any]:
        """Open a session, sign its token with the active key, and say so in the log; the token endpoint's answer.

        The keys are opened first: under a wrong KEK no session is left behind.

        Raises:
            Refusal: it would not be granted.
        """
        keyring = Keyring(pool, self.keks, self.settings.policy)
        await keyring.refresh()
        entries = EntryPool(pool, issuer=self.settings.issuer)
        sessions = sessions_of(self.settings, self.keks, pool, entries)
        at = now()
        try:
            opened = await open_session(sessions, Seen(agent=f"farseal-auth token mint by {actor(None)}"), at)
        finally:
            await entries.close()
        if isinstance(opened, GrantRefused):
            raise Refusal(f"{opened.error}: {opened.description}")
        return await self._issue(keyring, opened.grant, at)

    async def _issue(self, keyring: Keyring, grant: Grant, at: int) -> dict[str, Any]:
        if self.lifetime is not None:
            grant = replace(grant, access_token_seconds=self.lifetime)
        signer = Signer()
        try:
            issuer = TokenIssuer(
                signer,
                keyring.active_key,
                issuer=self.settings.issuer,
                lifetime=self.settings.access_token_seconds,
                longest=self.settings.max_token_seconds,
            )
            issued = await issuer.issue(grant, now=at)
        finally:
            signer.close()
        await keyring.flush(signer.take_counts())
        log.warning(
            "token minted by an operator",
            jti=issued.token_id,
            sid=grant.session_id,
            subject=grant.subject,
            audience=grant.audience,
        )
        return dict(issued.body())
