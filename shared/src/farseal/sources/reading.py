"""One look at a directory of published documents, and what is to be said of them. Blocks; made for a thread."""

import hashlib
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from farseal.encoding import EncodingError, parse_json_object
from farseal.errors import FarsealError
from farseal.jwks import KeySetError, parse_jwks
from farseal.sources.document import (
    Document,
    DocumentError,
    DocumentMissingError,
    Fingerprint,
    fingerprint,
    is_settled,
    read_document,
    reason,
)
from farseal.sources.keeper import Found, Refused
from farseal.vocabulary import ISSUER_METADATA_FILE, JWKS_FILE


class DirectoryRefusedError(FarsealError):
    """What the directory holds must not replace what is trusted."""


@dataclass(frozen=True, slots=True)
class Look:
    """The directory from outside: nothing was read. Words stand for what could not be seen."""

    directory: tuple[int, int] | str
    jwks: Fingerprint | str
    metadata: Fingerprint | str

    def settled(self, at: int) -> bool:
        """Whether another look that equals this one means equal contents."""
        return all(is_settled(seen, at) for seen in (self.jwks, self.metadata))


@dataclass(frozen=True, slots=True)
class Reading:
    """What a look led to. ``settled`` as of the time of the look."""

    look: Look
    settled: bool
    outcome: Found | Refused


def read_directory(path: Path, issuer: str, at: int, before: Reading | None, digest: bytes) -> Reading | None:
    """One look, and a reading where something may have changed since ``before``; None where nothing has.

    Args:
        path: of the directory.
        issuer: whose documents they must be, byte for byte, where the metadata is there to say so.
        at: seconds since the epoch.
        before: what the last look that was no None led to.
        digest: of the key set in force, which is not parsed again.
    """
    try:
        directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        fault = f"the directory: {reason(error)}"
        look = Look(fault, fault, fault)
        return (
            None if before is not None and before.look == look else Reading(look, settled=True, outcome=Refused(fault))
        )
    try:
        itself = os.fstat(directory)
        look = Look(
            (itself.st_dev, itself.st_ino),
            fingerprint(JWKS_FILE, directory),
            fingerprint(ISSUER_METADATA_FILE, directory),
        )
        if before is not None and before.settled and before.look == look:
            return None
        return Reading(look, look.settled(at), _read_documents(directory, issuer, digest))
    finally:
        os.close(directory)


def _read_documents(directory: int, issuer: str, digest: bytes) -> Found | Refused:
    try:
        jwks = read_document(JWKS_FILE, directory)
        with suppress(DocumentMissingError):
            _check_issuer(read_document(ISSUER_METADATA_FILE, directory), issuer)
        found = hashlib.sha256(jwks.content).digest()
        if found == digest:
            return Found(found, jwks.modified_at, None)
        keys = parse_jwks(jwks.content)
    except (DocumentError, DirectoryRefusedError, KeySetError) as error:
        return Refused(str(error))
    return Found(found, jwks.modified_at, keys)


def _check_issuer(metadata: Document, issuer: str) -> None:
    try:
        named = parse_json_object(metadata.content).get("issuer")
    except EncodingError as error:
        raise DirectoryRefusedError(f"{ISSUER_METADATA_FILE}: {error}") from None
    if named != issuer:
        raise DirectoryRefusedError(f"{ISSUER_METADATA_FILE}: the documents are of another issuer than {issuer}")
