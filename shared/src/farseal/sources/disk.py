"""A copy of the last good key set on this machine's disk: what a verifier starts from while its issuer is down.

It decides whose tokens are honoured, so it is believed only as far as a key set from the network would be: of this
issuer, whole, not from the future, not past the hard limit, and written by nobody else.
"""

import hashlib
import os
import secrets
import stat
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec

from farseal.encoding import EncodingError, parse_json_object
from farseal.errors import FarsealError
from farseal.sources.document import MAX_DOCUMENT_BYTES, reason

FORMAT: Final = 1
"""Another one is not read: the next good fetch writes ours over it."""

MAX_HEAD_BYTES: Final = 16_384
"""Of what is said about the body: an issuer, an address, and two fields of an answer, each of them bounded."""

FUTURE_SECONDS: Final = 300
"""A copy dated later than this from now is refused: either clock is wrong, and its age cannot be told."""

ABANDONED_SECONDS: Final = 3600
"""After which a file that was never renamed into place is what a killed process left."""

_READ: Final = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY | os.O_NOFOLLOW
_WRITE: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW


class CopyError(FarsealError):
    """The copy cannot be used, or not written. The message names the fault, and nothing that is in it."""


@dataclass(frozen=True, slots=True)
class Copy:
    """A key set as it was fetched.

    Args:
        issuer: whose it is.
        url: where it came from; what the server says of its own copy holds for this address alone.
        dated: when it was published, in seconds since the epoch, as the keeper was told.
        fetched: when an answer last said that it is the one there is, in seconds since the epoch.
        etag: as the server wrote it.
        last_modified: as the server wrote it.
        body: the document, byte for byte.
    """

    issuer: str
    url: str
    dated: int
    fetched: int
    etag: str | None
    last_modified: str | None
    body: bytes


def file_name(issuer: str) -> str:
    """Of an issuer's copy: its SHA-256, because an issuer may be longer than a name and has slashes in it."""
    return f"{hashlib.sha256(issuer.encode()).hexdigest()}.jwks"


def write_copy(directory: Path, copy: Copy) -> None:
    """Put a copy in the place of the one before, whole or not at all, for this user alone. Blocks.

    Raises:
        CopyError: the disk is full, read-only, or otherwise not willing.
    """
    head: dict[str, Any] = {
        "format": FORMAT,
        "issuer": copy.issuer,
        "url": copy.url,
        "dated": copy.dated,
        "fetched": copy.fetched,
        "etag": copy.etag,
        "last_modified": copy.last_modified,
    }
    content = msgspec.json.encode(head) + b"\n" + copy.body
    name = file_name(copy.issuer)
    temporary = f".{name}.{secrets.token_hex(8)}"
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            _write(temporary, hashlib.sha256(content).hexdigest().encode() + b"\n" + content, folder)
            os.rename(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
            os.fsync(folder)
        except OSError:
            with suppress(OSError):
                os.unlink(temporary, dir_fd=folder)
            raise
        finally:
            os.close(folder)
    except OSError as error:
        raise CopyError(reason(error)) from None


def read_copy(directory: Path, issuer: str, now: int, limit: int) -> Copy | None:
    """The copy of an issuer's key set, or None where there is none. Blocks.

    Args:
        directory: of the copies.
        issuer: whose it must be, byte for byte.
        now: seconds since the epoch.
        limit: seconds since publication; a copy of this age has reached it.

    Raises:
        CopyError: there is one, and it must not be used.
    """
    _sweep(directory, issuer, now)
    content = _read(directory / file_name(issuer))
    if content is None:
        return None
    digest, _, content = content.partition(b"\n")
    if hashlib.sha256(content).hexdigest().encode() != digest:
        raise CopyError("damaged")
    head, _, body = content.partition(b"\n")
    try:
        said = parse_json_object(head, max_bytes=MAX_HEAD_BYTES)
    except EncodingError:
        raise CopyError("damaged") from None
    if said.get("format") != FORMAT:
        raise CopyError("of another format")
    if said.get("issuer") != issuer:
        raise CopyError("of another issuer")
    try:
        copy = msgspec.convert({**said, "body": body}, Copy, builtin_types=(bytes,))
    except msgspec.ValidationError:
        raise CopyError("damaged") from None
    if max(copy.dated, copy.fetched) > now + FUTURE_SECONDS:
        raise CopyError("from the future")
    if now - copy.dated >= limit:
        raise CopyError(f"older than the limit of {limit} s")
    return copy


def remove_copy(directory: Path, issuer: str) -> None:
    """Take the copy of an issuer's key set away. Blocks.

    Raises:
        CopyError: it stays.
    """
    try:
        (directory / file_name(issuer)).unlink(missing_ok=True)
    except OSError as error:
        raise CopyError(reason(error)) from None


def _write(name: str, content: bytes, folder: int) -> None:
    descriptor = os.open(name, _WRITE, 0o600, dir_fd=folder)
    try:
        left = memoryview(content)
        while left:
            left = left[os.write(descriptor, left) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _read(path: Path) -> bytes | None:
    limit = MAX_DOCUMENT_BYTES + MAX_HEAD_BYTES
    try:
        descriptor = os.open(path, _READ)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise CopyError(reason(error)) from None
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise CopyError("not a regular file")
        if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise CopyError("writable by others")
        if found.st_uid not in (0, os.geteuid()):
            raise CopyError("owned by another user")
        if found.st_size > limit:
            raise CopyError("too large")
        with os.fdopen(os.dup(descriptor), "rb") as file:
            return file.read(limit)
    except OSError as error:
        raise CopyError(reason(error)) from None
    finally:
        os.close(descriptor)


def _sweep(directory: Path, issuer: str, now: int) -> None:
    with suppress(OSError):
        for path in directory.glob(f".{file_name(issuer)}.*"):
            if now - path.stat().st_mtime > ABANDONED_SECONDS:
                path.unlink()
