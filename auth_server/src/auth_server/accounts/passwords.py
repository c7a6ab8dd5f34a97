"""Passwords of people: argon2id in threads, behind a gate that refuses rather than queues without end."""

import secrets
import unicodedata
from dataclasses import dataclass
from typing import Final, Self

import argon2
from argon2.exceptions import InvalidHashError, VerificationError

from auth_server.gate import Gate

PASSWORD_BYTES: Final = 1024
"""UTF-8 bytes. Longer is refused before it is hashed; no passphrase comes near."""
MINIMUM_CHARACTERS: Final = 8
"""Of a new password (NIST SP 800-63B section 5.1.1.2). No other rule of composition."""

MEMORY_KIB: Final = 19 * 1024
TIME_COST: Final = 2
PARALLELISM: Final = 1
"""OWASP's first choice for argon2id: 28 ms, where argon2-cffi's default takes 130 ms and 64 MiB."""


class PasswordRefusedError(ValueError):
    """This cannot become somebody's password. The message says the rule and never quotes the text."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether the password was right, and whether its hash should be made anew with today's parameters."""

    correct: bool
    outdated: bool = False


def check_new_password(password: str) -> None:
    """Refuse what must not become a password.

    Raises:
        PasswordRefusedError: too short, too long, or holds a NUL or a lone surrogate.
    """
    if len(password) < MINIMUM_CHARACTERS:
        raise PasswordRefusedError(f"a password has at least {MINIMUM_CHARACTERS} characters")
    if _canonical(password) is None:
        raise PasswordRefusedError(f"a password has at most {PASSWORD_BYTES} bytes of UTF-8 and no NUL character")


class PasswordHasher:
    """Hashes and checks passwords off the event loop.

    Args:
        workers: threads, each with 19 MiB while it hashes. More than there are cores gain nothing.
        waiting: how many may wait for a thread; one more is refused.
        memory_kib, time_cost: argon2id's cost. Hashes made with another are replaced when their owner logs in.
    """

    def __init__(
        self, *, workers: int = 2, waiting: int = 32, memory_kib: int = MEMORY_KIB, time_cost: int = TIME_COST
    ) -> None:
        self._argon2 = argon2.PasswordHasher(
            time_cost=time_cost, memory_cost=memory_kib, parallelism=PARALLELISM, type=argon2.Type.ID
        )
        self._gate = Gate("password", threads=workers, waiting=waiting)
        # Nobody's password: checked against when there is no account, so that the answer takes as long.
        self._dummy = self._argon2.hash(secrets.token_urlsafe(32))

    async def hash(self, password: str) -> str:
        """Hash a new password.

        Raises:
            PasswordRefusedError: see `check_new_password`.
            GateFull: too many passwords are being checked.
        """
        check_new_password(password)
        canonical = _canonical(password)
        assert canonical is not None  # noqa: S101 - check_new_password has seen to it
        return await self._gate.run(self._argon2.hash, canonical)

    async def rehash(self, password: str) -> str:
        """Hash a password that was just found right, whatever today's rules for new ones.

        Raises:
            GateFull: too many passwords are being checked.
        """
        return await self._gate.run(self._argon2.hash, _canonical(password) or b"")

    async def verify(self, stored: str | None, password: str) -> Verdict:
        """Check a password against a stored hash, or against nobody's when there is none: the cost is the same.

        A password that could never have been set (empty, too long, NUL) is wrong at once, for everyone alike.

        Raises:
            GateFull: too many passwords are being checked.
        """
        canonical = _canonical(password)
        if canonical is None:
            return Verdict(correct=False)
        correct = await self._gate.run(self._verify, self._dummy if stored is None else stored, canonical)
        if stored is None or not correct:
            return Verdict(correct=False)
        return Verdict(correct=True, outdated=self._argon2.check_needs_rehash(stored))

    def close(self) -> None:
        """End the threads; what is being hashed is finished first."""
        self._gate.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _verify(self, stored: str, canonical: bytes) -> bool:
        try:
            return self._argon2.verify(stored, canonical)
        except (VerificationError, InvalidHashError):
            return False


def _canonical(password: str) -> bytes | None:
    """The bytes that are hashed: NFC, so that keyboards agree (RFC 8265 section 4.2.2); None for no password.

    The bound is on what was sent: composing never makes more than it was times three.
    """
    try:
        sent = password.encode()
    except UnicodeEncodeError:
        return None
    if not 1 <= len(sent) <= PASSWORD_BYTES or b"\0" in sent:
        return None
    return unicodedata.normalize("NFC", password).encode()
