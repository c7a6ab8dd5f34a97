"""The id of a session as it is told outside (pure): the `sid` of tokens, and the last segment of an address."""

from uuid import UUID


def session_id(value: object) -> UUID | None:
    """The id in its one spelling, 36 characters in lower case; None for everything else."""
    if not isinstance(value, str):
        return None
    try:
        found = UUID(value)
    except ValueError:
        return None
    return found if str(found) == value else None
