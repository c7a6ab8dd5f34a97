"""Which lists verifiers know more of than the database does (pure)."""

from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from auth_server.status.directory import Ahead
    from auth_server.storage.status_lists import StoredList

_RESTORED: Final = (
    "the database was restored from a backup or made anew: stop the servers, and let it catch up with "
    "farseal-auth sessions recover DIRECTORY"
)


def conflicts(
    stored: "Iterable[StoredList]",
    ahead: "Mapping[str, Ahead]",
    *,
    fallen: Collection[str],
    before: Mapping[str, str],
    looked_since: bool,
) -> dict[str, str]:
    """The lists that must be held back, by id, and why in words.

    A newer list in the directory may be another replica's of this moment, unless the database was looked at since. One
    that was held back stays so until the directory has been looked at too.

    Args:
        stored: the lists as the database has them.
        ahead: those of which the directory knows more.
        fallen: those whose version is below the one in memory.
        before: what this gave last.
        looked_since: whether ``stored`` was read after ``ahead`` was found.
    """
    found = {}
    for one in stored:
        theirs = ahead.get(one.id)
        if one.id in fallen:
            found[one.id] = f"the version of status list {one.id} has fallen to {one.version}: {_RESTORED}"
        elif theirs is None:
            continue
        elif theirs.lost:
            found[one.id] = (
                f"status list {one.id} is published with ended sessions that the database takes for living: {_RESTORED}"
            )
        elif looked_since and theirs.version > one.version:
            found[one.id] = (
                f"status list {one.id} is published in version {theirs.version} and the database is at {one.version}: "
                f"{_RESTORED}"
            )
        elif one.id in before:
            found[one.id] = before[one.id]
    return found
