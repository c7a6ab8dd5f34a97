"""Read one small published file, whatever stands in its place, without ever waiting for it."""

import os
import stat
from dataclasses import dataclass
from typing import Final

from farseal.errors import FarsealError

MAX_DOCUMENT_BYTES: Final = 1 << 20
"""1 MiB, as much as the strict JSON parser takes."""

SETTLED_SECONDS: Final = 2
"""A file changed this lately is read again although it looks the same: the clocks of file systems are coarse."""

_FLAGS: Final = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY


class DocumentError(FarsealError):
    """The file cannot be used. The message names the file and the fault, not what is in it."""


class DocumentMissingError(DocumentError):
    """There is no such file."""


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """Tells whether a file may have changed. Equal fingerprints, both settled, mean equal contents."""

    device: int
    inode: int
    size: int
    modified_ns: int
    changed_ns: int


@dataclass(frozen=True, slots=True)
class Document:
    """The whole content of a file at one moment. ``modified_at`` is in seconds since the epoch."""

    content: bytes
    modified_at: int


def fingerprint(name: str, directory: int) -> Fingerprint | str:
    """What the file looks like from outside, or in words why it cannot be seen.

    Args:
        name: of the file.
        directory: descriptor of the directory it is in.
    """
    try:
        found = os.stat(name, dir_fd=directory)
    except OSError as error:
        return reason(error)
    return Fingerprint(found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


def is_settled(seen: Fingerprint | str, at: int) -> bool:
    """Whether a file that looks the same at another look has the same content."""
    return isinstance(seen, str) or at - max(seen.modified_ns, seen.changed_ns) / 1e9 >= SETTLED_SECONDS


def read_document(name: str, directory: int, *, max_bytes: int = MAX_DOCUMENT_BYTES) -> Document:
    """The file, whole.

    Opened without blocking and looked at before it is read, so that a FIFO or a device in its place is an error and not
    a wait without end.

    Raises:
        DocumentMissingError: it is not there.
        DocumentError: it is unreadable, not a regular file, too large, or changed while it was read.
    """
    try:
        descriptor = os.open(name, _FLAGS, dir_fd=directory)
    except FileNotFoundError:
        raise DocumentMissingError(f"{name}: missing") from None
    except OSError as error:
        raise DocumentError(f"{name}: {reason(error)}") from None
    try:
        before = os.fstat(descriptor)
        if not stat.S_ISREG(before.st_mode):
            raise DocumentError(f"{name}: not a regular file")
        content = _read(descriptor, max_bytes + 1)
        after = os.fstat(descriptor)
    except OSError as error:
        raise DocumentError(f"{name}: {reason(error)}") from None
    finally:
        os.close(descriptor)
    if len(content) > max_bytes:
        raise DocumentError(f"{name}: larger than {max_bytes} bytes")
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns) or len(content) != after.st_size:
        raise DocumentError(f"{name}: it was being written")
    return Document(content, int(after.st_mtime))


def reason(error: OSError) -> str:
    """The fault in the system's own words, without the path."""
    if isinstance(error, FileNotFoundError):
        return "missing"
    return (error.strerror or "cannot be read").lower()


def _read(descriptor: int, limit: int) -> bytes:
    chunks: list[bytes] = []
    while limit > 0 and (chunk := os.read(descriptor, min(limit, 1 << 16))):
        chunks.append(chunk)
        limit -= len(chunk)
    return b"".join(chunks)
