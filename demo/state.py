"""The folder a demo keeps its state in, its secrets, and the lock that keeps a second demo out."""

import contextlib
import fcntl
import os
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from demo.places import write_secret
from demo.processes import process_exists

STOPPING_SECONDS: Final = 20.0
"""How long the processes of a demo that was killed may take to end; they hold its lock until they have."""


class AlreadyRunningError(Exception):
    """Another demo uses the same state."""


class StateError(Exception):
    """The folder cannot be made or written to."""


@contextlib.contextmanager
def writable(directory: Path) -> Iterator[None]:
    """Turn what the file system says into `StateError`, with what to do about it."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise StateError(
            f"cannot keep its state in {directory}: {reason}; set DEMO_STATE_DIR to a folder of yours"
        ) from None


@dataclass(frozen=True, slots=True)
class State:
    """Paths below one folder. Demos on different ports have different folders, and do not meet."""

    root: Path

    @property
    def logs(self) -> Path:
        """One file for each process."""
        return self.root / "logs"

    @property
    def secrets(self) -> Path:
        """The key-encryption key and the connection strings, readable by us alone."""
        return self.root / "secrets"

    @property
    def published(self) -> Path:
        """What the auth server publishes: its only way to the resource servers."""
        return self.root / "published"

    @property
    def snapshot(self) -> Path:
        """resource_b's own copy of what it was last given over HTTP."""
        return self.root / "snapshot"

    @property
    def postgres(self) -> Path:
        """Home of the embedded server."""
        return self.root / "postgres"

    @property
    def kek(self) -> Path:
        """The key-encryption key: 32 bytes, base64url."""
        return self.secrets / "kek"

    @property
    def operator_settings(self) -> Path:
        """The auth server's settings, for AUTH_SERVER_SETTINGS_FILE of an operator; it names secrets and holds none."""
        return self.root / "auth_server.settings"

    def client_secret(self, client: str) -> Path:
        """Name the file of a client's secret, in a folder where the auth server's command writes such files."""
        return self.secrets / client

    def prepare(self) -> None:
        """Make the folders.

        Raises:
            StateError: the file system refuses.
        """
        with writable(self.root):
            for directory in (self.root, self.logs, self.published, self.snapshot):
                directory.mkdir(parents=True, exist_ok=True)
            self.secrets.mkdir(mode=0o700, exist_ok=True)
            self.secrets.chmod(0o700)

    def forget_documents(self) -> None:
        """Remove what was published, and the copies of it.

        Their keys were in a database that is no more: an issuer that begins anew counts from one, and everybody who
        holds a higher number would refuse what it publishes, as they should.
        """
        with writable(self.root):
            for directory in (self.published, self.snapshot):
                for file in directory.rglob("*"):  # status lists are in a folder of their own
                    if file.is_file():
                        file.unlink()

    def password(self, name: str) -> str:
        """Give the password of a database role, made at the first call."""
        return self._kept(self.secrets / f"{name}-password")

    def ensure_kek(self) -> bool:
        """Make the key-encryption key if there is none; tell whether it is new."""
        new = not self.kek.exists()
        self._kept(self.kek)
        return new

    def write_secret(self, name: str, text: str) -> Path:
        """Keep a secret in a file that only we can read."""
        file = self.secrets / name
        write_secret(file, text)
        return file

    @staticmethod
    def _kept(file: Path) -> str:
        if not file.exists():
            unfinished = file.with_suffix(".new")
            write_secret(unfinished, secrets.token_urlsafe(32))
            unfinished.rename(file)
        return file.read_text()


class Lock:
    """Held by a demo and by the guard of each of its processes; the kernel releases it when the last of them ends.

    So there is no stale lock, and a new demo begins only when all of the old one is gone.
    """

    def __init__(self, state: State) -> None:
        self._file = state.root / "lock"
        self.descriptor = -1

    def take(self) -> None:
        """Take the lock, waiting for the leftovers of a demo that was killed.

        Raises:
            AlreadyRunningError: the other demo is alive, or its processes do not end.
            StateError: the file system refuses.
        """
        with writable(self._file.parent):
            self.descriptor = os.open(self._file, os.O_RDWR | os.O_CREAT, 0o600)
        deadline = time.monotonic() + STOPPING_SECONDS
        while True:
            try:
                fcntl.flock(self.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                holder = self._holder()
                if (holder is not None and process_exists(holder)) or time.monotonic() >= deadline:
                    self.release()
                    who = f"process {holder}" if holder is not None else "another process"
                    raise AlreadyRunningError(
                        f"a demo is running here already ({who}); stop it, or start a second one on other ports "
                        "with DEMO_PORT=9500"
                    ) from None
                time.sleep(0.05)
            else:
                break
        os.ftruncate(self.descriptor, 0)
        os.pwrite(self.descriptor, str(os.getpid()).encode(), 0)

    def release(self) -> None:
        """Let go; harmless when it is not held."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1

    def _holder(self) -> int | None:
        text = os.pread(self.descriptor, 20, 0)
        return int(text) if text.isdigit() else None
