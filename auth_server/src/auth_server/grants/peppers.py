"""The server's half of what makes refresh tokens, applied to the other half, which is in the database."""

import hmac
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import UUID

from auth_server.grants import refresh_tokens
from auth_server.grants.refresh_tokens import RefreshToken
from auth_server.storage.grants import StoredGrant


@dataclass(frozen=True, slots=True)
class Peppers:
    """One for each key-encryption key, the newest first: it makes every new token. At least one."""

    secrets: Sequence[bytes] = field(repr=False)

    def __post_init__(self) -> None:
        if not self.secrets:
            raise ValueError("refresh tokens need a pepper")

    def first(self, session_id: UUID) -> tuple[RefreshToken, bytes]:
        """The first token of a session, and the nonce that all of its tokens are made with."""
        nonce = os.urandom(refresh_tokens.NONCE_BYTES)
        return refresh_tokens.derive(self.secrets[0], nonce, session_id, 0), nonce

    def next(self, session: StoredGrant, generation: int) -> RefreshToken:
        """The token of a generation that begins now."""
        return refresh_tokens.derive(self.secrets[0], _nonce(session), session.id, generation)

    def current(self, session: StoredGrant) -> RefreshToken | None:
        """The token that is good; None when it was made under a key that this server does not have."""
        assert session.refresh_hash is not None  # noqa: S101 - as the nonce
        return refresh_tokens.rebuild(
            session.refresh_hash, self.secrets, _nonce(session), session.id, session.generation
        )

    def generation(self, session: StoredGrant, presented: RefreshToken) -> int | None:
        """Which generation of the session the token is; None when the server never made it, or does not know.

        The good one is known by its hash, whatever key made it. One before it must be made again to be known: nobody
        can end a session with a token of their own invention.
        """
        if session.refresh_hash is None:
            return None
        if hmac.compare_digest(presented.digest, session.refresh_hash):
            return session.generation
        if presented.generation >= session.generation:
            return None
        genuine = refresh_tokens.is_genuine(presented, self.secrets, _nonce(session))
        return presented.generation if genuine else None


def _nonce(session: StoredGrant) -> bytes:
    assert session.refresh_nonce is not None  # noqa: S101 - the table has it wherever there is a hash
    return session.refresh_nonce
