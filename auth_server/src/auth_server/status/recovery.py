"""Brings a database that was restored from a backup back to what its published status lists say.

Between the backup and the loss sessions have ended, lists were made and entries given out. All of that is known from
the publication directory, but for the sessions that began: those are lost, and what is left of them are access tokens.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from auth_server.keys.lifecycle import KeyState
from auth_server.keys.public_key import PublicKey
from auth_server.publication import files
from auth_server.status.documents import MAX_BYTES, ListError, decoded, list_uri, read_list
from auth_server.storage import grants, signing_keys, status_recovery
from auth_server.storage.grants import Ending
from auth_server.terms import STATUS_LIST_SIZES, is_status_list_size
from auth_server.tokens.own import has_signed
from farseal.clock import at
from farseal.encoding import EncodingError, b64url_decode
from farseal.vocabulary import STATUS_DIRECTORY, STATUS_SUFFIX

if TYPE_CHECKING:
    from auth_server.storage.connection import Connection


@dataclass(frozen=True, slots=True)
class FoundList:
    """A list as it was published.

    Args:
        list_id: of the file and of its `sub`.
        version: of it.
        bits: one for each entry.
        kid: of the key that it names.
        message: that was signed.
        signature: over the message; not checked.
    """

    list_id: str
    version: int
    bits: bytes = field(repr=False)
    kid: str
    message: bytes = field(repr=False)
    signature: bytes = field(repr=False)

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

    Their signatures are not checked, see `unproved`.

    Raises:
        OSError: the directory cannot be read.
    """
    found: list[FoundList] = []
    faults: list[str] = []
    for path in sorted((directory / STATUS_DIRECTORY).iterdir()):
        if path.suffix != STATUS_SUFFIX or path.name.startswith("."):
            continue
        try:
            body = files.read(path, MAX_BYTES + 1)
            said = read_list(body)
            bits = decoded(said.entries, most=STATUS_LIST_SIZES[1] // 8)
            message, _, signature = body.rpartition(b".")
            signed = b64url_decode(signature)
        except (ListError, EncodingError, OSError) as error:
            faults.append(f"{path.name!r}: {error}")
            continue
        if (said.issuer, said.uri) != (issuer, list_uri(issuer, path.stem)):
            faults.append(f"{path.name!r}: a list of another issuer or of another name")
        elif not is_status_list_size(len(bits) * 8):
            faults.append(f"{path.name!r}: not the size of a list")
        else:
            found.append(FoundList(path.stem, said.version, bits, said.kid, message, signed))
    return tuple(found), tuple(faults)


def unproved(lists: Iterable[FoundList], keys: Mapping[str, PublicKey]) -> tuple[str, ...]:
    """The lists that none of these keys has signed: anybody who can write to the directory may have made them."""
    return tuple(
        found.list_id
        for found in lists
        if (key := keys.get(found.kid)) is None or not has_signed(key, found.message, found.signature)
    )


async def known_keys(conn: "Connection") -> Mapping[str, PublicKey]:
    """The keys that the database knows and that nobody has withdrawn, by kid; those too that are long gone.

    A kid is the thumbprint of its key, so a row cannot say that a list was signed by a key that it was not signed by.
    """
    found = {}
    for stored in await signing_keys.list_all(conn):
        if stored.state is not KeyState.REVOKED and stored.public_jwk:
            key = PublicKey(n=stored.public_jwk.get("n", ""), e=stored.public_jwk.get("e", ""))
            if key.kid == stored.kid:
                found[key.kid] = key
    return found


async def recover(conn: "Connection", lists: Iterable[FoundList], *, now: int) -> Recovered:
    """Merge published lists into the database, in one transaction; the servers should not run meanwhile.

    What is set becomes a revocation and ends its grant. The version passes both the published one and the stored one,
    so that what is published next is newer for every verifier. Every list is closed: it is unknown which entries were
    given out after the backup. To do it twice does no harm, but for a further version.

    Args:
        conn: a connection.
        lists: from `read_directory`, those that are believed.
        now: seconds since the epoch.
    """
    believed = sorted(lists, key=lambda one: one.list_id)
    ids, added = [found.list_id for found in believed], 0
    async with conn.transaction():
        living = [
            grant_id
            for found in believed
            for grant_id in await status_recovery.living(conn, found.list_id, found.revoked)
        ]
        await status_recovery.lock(conn, living)
        before = await status_recovery.count(conn, ids)
        ended = await grants.end(conn, [Ending("recovered", ids=tuple(living))], at=at(now))
        for found in believed:
            added += await status_recovery.add(conn, found.list_id, size=found.size, version=found.version, now=at(now))
            version = await status_recovery.raise_above(conn, found.list_id, found.version)
            await status_recovery.revoke(conn, found.list_id, found.revoked, version=version)
        revocations = await status_recovery.count(conn, ids) - before
        closed = await status_recovery.close_all(conn, now=at(now))
    return Recovered(len(believed) - added, added, closed, revocations, len(ended))
