"""Brings a database that was restored from a backup back to what its published status lists say.

Between the backup and the loss sessions have ended, lists were made and entries given out. All of that is known from
the publication directory, but for the sessions that began: those are lost, and what is left of them are access tokens.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from auth_server.publication import files
from auth_server.status.documents import MAX_BYTES, ListError, decoded, list_uri, read_list
from auth_server.storage import status_recovery
from farseal.clock import at
from farseal.vocabulary import STATUS_DIRECTORY, STATUS_SUFFIX

if TYPE_CHECKING:
    from auth_server.storage.connection import Connection

MOST_ENTRIES: Final = 1 << 24
"""Of a list, as the table has it."""

ENDED_BY: Final = "recovered"
"""What the grants say that a published list has ended."""


@dataclass(frozen=True, slots=True)
class FoundList:
    """A list as it was published: its version, and one bit for each entry."""

    list_id: str
    version: int
    bits: bytes = field(repr=False)

    @property
    def size(self) -> int:
        """How many entries it has."""
        return len(self.bits) * 8

    @property
    def revoked(self) -> list[int]:
        """The entries that are set, in order."""
        return [byte * 8 + bit for byte, value in enumerate(self.bits) if value for bit in range(8) if value >> bit & 1]


@dataclass(frozen=True, slots=True)
class Recovered:
    """What was made of the lists.

    Args:
        merged: lists that the database had and that knew more.
        added: lists that it did not have.
        closed: lists from which no entry will be given out any more.
        revocations: entries that were set and are again.
        sessions: that have ended by that.
    """

    merged: int
    added: int
    closed: int
    revocations: int
    sessions: int


def read_directory(directory: Path, *, issuer: str) -> tuple[tuple[FoundList, ...], tuple[str, ...]]:
    """The published lists of ``issuer``, and in words what else lies there under the name of a list.

    Their signatures are not checked: who may write to the directory could end sessions by this, and no more.

    Raises:
        OSError: the directory cannot be read.
    """
    found: list[FoundList] = []
    faults: list[str] = []
    for path in sorted((directory / STATUS_DIRECTORY).iterdir()):
        if path.suffix != STATUS_SUFFIX or path.name.startswith("."):
            continue
        try:
            said = read_list(files.read(path, MAX_BYTES + 1))
            bits = decoded(said.entries, most=MOST_ENTRIES // 8)
        except (ListError, OSError) as error:
            faults.append(f"{path.name!r}: {error}")
            continue
        if (said.issuer, said.uri) != (issuer, list_uri(issuer, path.stem)):
            faults.append(f"{path.name!r}: a list of another issuer or of another name")
        elif not status_recovery.is_size(len(bits) * 8):
            faults.append(f"{path.name!r}: not the size of a list")
        else:
            found.append(FoundList(path.stem, said.version, bits))
    return tuple(found), tuple(faults)


async def recover(conn: "Connection", lists: Iterable[FoundList], *, now: int, keep_seconds: int) -> Recovered:
    """Merge published lists into the database, in one transaction; the servers must not run meanwhile.

    What is set becomes a revocation and ends its grant. The version passes both the published one and the stored one,
    so that what is published next is newer for every verifier. Every list is closed: it is unknown which entries were
    given out after the backup. To do it twice does no harm, but for a further version.

    Args:
        conn: a connection.
        lists: from `read_directory`.
        now: seconds since the epoch.
        keep_seconds: how long to keep the rows of the grants that end.
    """
    merged = added = revocations = sessions = 0
    async with conn.transaction():
        for found in sorted(lists, key=lambda one: one.list_id):
            revoked = found.revoked
            if await status_recovery.add(conn, found.list_id, size=found.size, version=found.version, now=at(now)):
                added += 1
            else:
                merged += 1
            version = await status_recovery.raise_above(conn, found.list_id, found.version)
            revocations += await status_recovery.revoke(conn, found.list_id, revoked, version=version)
            sessions += await status_recovery.end(
                conn, found.list_id, by=ENDED_BY, now=at(now), keep_until=at(now + keep_seconds)
            )
        closed = await status_recovery.close_all(conn, now=at(now))
    return Recovered(merged, added, closed, revocations, sessions)
