"""A session that begins."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from auth_server.grants.grant import Seen
from auth_server.grants.refresh_rules import SessionDefaults
from auth_server.status.entry import Entries
from auth_server.storage.grants import NewGrant
from farseal.clock import at


@dataclass(frozen=True, slots=True)
class Beginning:
    """What every session begins with."""

    entries: Entries
    defaults: SessionDefaults

    async def new(
        self,
        client_id: str,
        user_id: UUID | None,
        audience: Sequence[str],
        scopes: Sequence[str],
        seen: Seen,
        *,
        now: int,
        lasts: int,
    ) -> NewGrant:
        """One with a place in a list of its own; not in the database yet.

        Args:
            lasts: seconds until its absolute deadline.

        Raises:
            ProblemError: 503, no list is published that has room.
        """
        entry = await self.entries.take()
        return NewGrant(
            id=uuid.uuid4(),
            client_id=client_id,
            user_id=user_id,
            audience=tuple(audience),
            scopes=tuple(scopes),
            created_at=at(now),
            expires_at=at(now + lasts),
            address=seen.address,
            agent=seen.agent,
            status_list=entry.list_id,
            status_index=entry.index,
            history=timedelta(seconds=self.defaults.history),
        )
