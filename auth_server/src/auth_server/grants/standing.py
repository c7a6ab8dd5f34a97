"""The one grant that all tokens of a client's own belong to."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from auth_server.grants.beginning import Beginning
from auth_server.grants.grant import Seen
from auth_server.grants.refresh_rules import SessionDefaults
from auth_server.grants.refreshing import ATTEMPTS, SOON
from auth_server.storage import grant_uses, grants
from auth_server.storage.connection import Pool
from auth_server.storage.grants import StoredGrant
from auth_server.storage.permissions import Standing
from farseal.clock import at
from farseal.problems import ProblemError
from farseal.service.postgres import database_errors

STANDING_SECONDS: Final = 30 * 86400
"""How long it is used for new tokens: rows and entries of clients that ask no more are freed."""

NOTED_EVERY: Final = timedelta(seconds=60)
"""How often its use is written down: the tokens are many, and each would wait for the row."""


@dataclass(frozen=True, slots=True)
class StandingGrants:
    """One for each client, made when the first token is asked for."""

    pool: Pool
    beginning: Beginning
    defaults: SessionDefaults

    async def find(self, client_id: str, standing: Standing, seen: Seen, *, now: int) -> StoredGrant | None:
        """The client's own grant, begun anew when a token could outlive it; None when the client may not any more.

        Raises:
            DatabaseUnavailable, ProblemError: 503.
        """
        for _ in range(ATTEMPTS):
            with database_errors():
                async with self.pool.acquire() as conn:
                    own = await grants.standing_of(conn, client_id)
                    if own is not None and own.expires_at >= at(now + self.defaults.max_token):
                        if own.last_used_at + NOTED_EVERY <= at(now):
                            await grant_uses.touch(conn, own.id, at=at(now), address=seen.address, agent=seen.agent)
                        return own
            audience = sorted(holding.audience for holding in standing.holdings)
            scopes = sorted({scope for holding in standing.holdings for scope in holding.permitted})
            new = await self.beginning.new(client_id, None, audience, scopes, seen, now=now, lasts=STANDING_SECONDS)
            with database_errors():
                async with self.pool.acquire() as conn, conn.transaction():
                    if not await grants.add_standing(conn, new, instead_of=None if own is None else own.id):
                        return None
        raise ProblemError(503, "session_busy", "this client changes too often at this moment", SOON)
