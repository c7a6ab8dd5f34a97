"""What more than one room of the auth server must spell or bound alike."""

from typing import Final

LOGIN_CLIENT: Final = "login"
"""The client in whose name people log in here. A migration made it; it is never deleted and never gets a secret."""

GRANT_TYPES: Final = ("client_credentials",)
"""What a client may be allowed and ask the token endpoint for, as the table `clients` has it."""

TOKEN_GRANT_TYPES: Final = (*GRANT_TYPES, "refresh_token")
"""What the token endpoint knows. Whether a client has refresh tokens is told by its policy, not by its grant types."""

SESSIONS_SCOPE: Final = "sessions"
"""At the issuer itself: to see and to end one's own sessions. Every person may have it who asks for it by name."""

ACCESS_TOKEN_SECONDS: Final = (10, 86400)
"""The shortest and the longest life of access tokens that can be set, as the table `clients` has it.

Below, clocks that differ a little would refuse a new token; above, a disabled account would live on for days.
"""

SESSION_SECONDS: Final = (60, 365 * 86400)
"""The shortest and the longest deadline of a session, idle or absolute, that can be set, as in the table `clients`."""

STATUS_LIST_SIZES: Final = (1 << 10, 1 << 24)
"""The smallest and the largest number of entries of a status list, powers of two, as in the table `status_lists`."""

REFRESH_GRACE_SECONDS: Final = (0, 300)
"""The bounds of the grace window, as the table `clients` has it. A thief within it is not told from a second tab."""


def is_status_list_size(entries: int) -> bool:
    """Whether a status list may have so many entries."""
    smallest, largest = STATUS_LIST_SIZES
    return smallest <= entries <= largest and entries & (entries - 1) == 0
