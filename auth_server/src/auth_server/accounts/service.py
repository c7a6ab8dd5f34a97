"""Logging people in and recognising clients: one answer and one cost for everything that is wrong."""

from dataclasses import dataclass
from typing import Literal

import structlog

from auth_server.accounts import client_secrets, names
from auth_server.accounts.names import NameRefusedError
from auth_server.accounts.passwords import PasswordHasher
from auth_server.accounts.throttle import Throttle, Throttled
from auth_server.gate import GateFull
from auth_server.storage import clients, users
from auth_server.storage.clients import Client
from auth_server.storage.connection import Pool
from auth_server.storage.users import User
from farseal.service.postgres import database_errors

__all__ = ["Accounts", "Client", "Refused", "Throttled", "User"]

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Refused:
    """Not who they say they are, or not allowed in. Nothing tells which: the caller must not learn who exists."""

    reason: Literal["wrong_credentials"] = "wrong_credentials"


class Accounts:
    """Who is asking."""

    def __init__(self, pool: Pool, hasher: PasswordHasher, throttle: Throttle) -> None:
        self._pool = pool
        self._hasher = hasher
        self._throttle = throttle

    async def login(self, username: str, password: str, *, address: str, now: int) -> User | Refused | Throttled:
        """Recognise a person by name and password.

        Unknown, disabled, without a password, wrong: the same answer after the same work. No connection of the pool
        is held while a password is hashed.

        Args:
            address: the peer's IP address, counted against its limit.

        Raises:
            GateFull: too many are logging in at this moment (503).
            DatabaseUnavailable: 503.
        """
        with database_errors():
            throttled = await self._throttle.admit(username, address, now=now)
            if throttled is not None:
                return throttled
            async with self._pool.acquire() as conn:
                found = await users.credentials(conn, _lookup_name(username))
        stored = None if found is None else found.password_hash
        verdict = await self._hasher.verify(stored, password)
        if found is None or not verdict.correct or found.user.disabled_at is not None:
            return Refused()
        with database_errors():
            await self._throttle.forgive(username, address)
        if stored is not None and verdict.outdated:
            await self._renew(found.user, stored, password)
        return found.user

    async def authenticate_client(self, client_id: str, secret: str) -> Client | Refused:
        """Recognise a client by its secret (RFC 6749 section 2.3.1).

        Unknown, disabled, without a secret, wrong: the same answer after the same work.

        Raises:
            DatabaseUnavailable: 503.
        """
        with database_errors():
            async with self._pool.acquire() as conn:
                found = await clients.credentials(conn, _lookup_id(client_id))
        correct = client_secrets.matches(secret, None if found is None else found.secret_hash)
        if found is None or not correct or found.client.disabled_at is not None:
            return Refused()
        return found.client

    async def public_client(self, client_id: str) -> Client | Refused:
        """Take a client's word for its id, which a client without a secret has nothing to prove by (section 2.1).

        Unknown, disabled, and one that has a secret: the same answer.

        Raises:
            DatabaseUnavailable: 503.
        """
        with database_errors():
            async with self._pool.acquire() as conn:
                found = await clients.find(conn, _lookup_id(client_id))
        if found is None or found.has_secret or found.disabled_at is not None:
            return Refused()
        return found

    async def _renew(self, user: User, stored: str, password: str) -> None:
        """Replace a hash of old parameters. It can wait for another login when everyone is busy."""
        try:
            fresh = await self._hasher.rehash(password)
        except GateFull:
            return
        with database_errors():
            async with self._pool.acquire() as conn:
                if await users.replace_hash(conn, user.id, old=stored, new=fresh):
                    log.info("password hash renewed", user_id=str(user.id))


def _lookup_name(text: str) -> str:
    """The name to look up; what cannot be a username becomes one that nobody has, and costs the same query."""
    try:
        return names.username(text)
    except NameRefusedError:
        return ""


def _lookup_id(text: str) -> str:
    try:
        return names.client_id(text)
    except NameRefusedError:
        return ""
