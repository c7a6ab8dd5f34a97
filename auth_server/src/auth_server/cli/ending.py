"""What is said after sessions were ended, and from when on verifiers go by it."""

import os
from typing import Final

from auth_server.cli.output import counted
from auth_server.database_settings import SessionSettings, load_session_settings
from farseal.errors import FarsealError

DIRECTORY_SECONDS: Final = 1
"""How soon a verifier that watches a directory refuses an ended session: the bound of docs/protocol.md."""


def http_seconds(settings: SessionSettings) -> int:
    """The same for a verifier that polls: the time between two of its looks, and a second."""
    return settings.status_ttl_seconds + 1


def ended_text(count: int) -> str:
    """How many sessions a change has ended, and within what time verifiers refuse their tokens.

    What is done is done: where a setting is wrong, the time is left out.
    """
    if count == 0:
        return "No sessions ended."
    said = f"{counted(count, 'session')} ended."
    try:
        polled = http_seconds(load_session_settings(os.environ))
    except FarsealError:
        return said
    return f"{said} Verifiers refuse their tokens within {DIRECTORY_SECONDS} s from a directory, {polled} s over HTTP."
