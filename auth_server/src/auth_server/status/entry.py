"""The place of one grant in a status list."""

from dataclasses import dataclass
from typing import Final, Protocol

LIST_ID_PATTERN: Final = "[A-Za-z0-9_-]{16}"
"""Of the id of a list: 96 random bits, as a part of an address and of a file's name."""


@dataclass(frozen=True, slots=True)
class StatusEntry:
    """One entry of a list, given to one grant and never again.

    Args:
        list_id: of the row in `status_lists`.
        index: 0 or more.
        uri: of the list, as tokens name it.
    """

    list_id: str
    index: int
    uri: str


class Entries(Protocol):
    """Gives out entries."""

    async def take(self) -> StatusEntry:
        """An entry that nobody has, of a list that is published.

        Raises:
            ProblemError: 503, no list is published.
            DatabaseUnavailable: 503.
        """
        ...

    def uri(self, list_id: str) -> str:
        """The address of a list."""
        ...
