"""What the commands on sessions begin with: the settings, the database's own clock, and whose sessions are meant."""

import os
import uuid

from auth_server.cli.client import require as require_client
from auth_server.cli.keys.access import database_now
from auth_server.cli.parameters import UserRef
from auth_server.cli.session import Refusal, told
from auth_server.cli.user import require as require_user
from auth_server.database_settings import SessionSettings, load_session_settings
from auth_server.storage.connection import Connection
from auth_server.storage.session_list import Wanted

__all__ = ["database_now", "not_found", "settings", "wanted"]


def settings() -> SessionSettings:
    """The database and the times of sessions of the environment.

    Raises:
        Unavailable: naming every fault.
    """
    with told():
        return load_session_settings(os.environ)


async def wanted(conn: Connection, user: UserRef | None, client_id: str | None) -> Wanted:
    """Whose sessions. The id of a person who is gone is good: their sessions are told for a while.

    Raises:
        Refusal: nobody has this name, no client this id.
    """
    if client_id is not None:
        await require_client(conn, client_id)
    if user is None or isinstance(user, uuid.UUID):
        return Wanted(user, client_id)
    return Wanted((await require_user(conn, user)).id, client_id)


def not_found(session_id: uuid.UUID) -> Refusal:
    """There is no such session, or it ended so long ago that it has been forgotten."""
    return Refusal(f"there is no session {session_id}")
