"""The host of a runbook: an auth server and two resource servers under "systemd", with the files where the pages say.

The pages say ``/etc/farseal``, ``/var/lib/farseal`` and the default ports; here both are elsewhere. Everything else is
the real thing: PostgreSQL and its own tools, the installed commands, processes that are stopped and started.
"""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

from demo.postgres import find_installation
from tests.support.auth import NOTES, REPORTS
from tests.support.readme import OUR_PREFIXES

UNIT = Path(__file__).with_name("unit.py")
PORTS = (9000, 9001, 9002, 9100, 9101, 9102)
ISSUER = "https://auth.example.org"
UNITS = ("reports", "notes", "farseal-auth")

POLICY = {
    "RSA_BITS": "2048", "REFRESH_SECONDS": "0.1", "DRAIN_SECONDS": "0", "GRACE_SECONDS": "2",
    "VERIFIER_REFRESH_SECONDS": "1", "JWKS_MAX_AGE_SECONDS": "0", "CLOCK_SKEW_SECONDS": "1",
    "PUBLICATION_SECONDS": "1", "ANNOUNCE_SECONDS": "6", "MAX_TOKEN_SECONDS": "600",
    "VERIFIER_LEEWAY_SECONDS": "2", "SIGNING_LEASE_SECONDS": "5", "STATUS_LIST_SECONDS": "120",
    "STATUS_LIST_SIZE": "4096", "REFRESH_GRACE_SECONDS": "1",
}  # fmt: skip
"""Days become seconds. The sums are the same, and are held."""


class Host:
    """Paths, ports and programs of one host.

    Args:
        root: of its files, empty.
        auth_dsn: the auth server's database, migrated and seeded.
        notes_dsn: resource_a's.
    """

    def __init__(self, root: Path, *, auth_dsn: str, notes_dsn: str) -> None:
        self.root = root
        self.etc, self.var, self.units, self.bin = (root / name for name in ("etc", "var", "units", "bin"))
        self.published = self.var / "published"
        self._ports = dict(zip(PORTS, _free_ports(len(PORTS)), strict=True))
        for directory in (self.etc, self.published, self.units, self.bin):
            directory.mkdir(parents=True)
        self._database(auth_dsn)
        self._program("systemctl", f'exec "{sys.executable}" "{UNIT}" "$@"')
        self._program("journalctl", 'cat "$UNITS/$2.log"')
        self._unit("farseal-auth", "auth_server", 9100, self._auth(), "serve")
        notes = {"RESOURCE_A_DATABASE_URL": notes_dsn, "RESOURCE_A_MIGRATE_ON_START": "true"}
        self._unit("notes", "resource_a", 9101, self._resource("RESOURCE_A_", NOTES, 9001) | notes)
        reports = {"RESOURCE_B_NOTES_URL": self.url(9001)}
        self._unit("reports", "resource_b", 9102, self._resource("RESOURCE_B_", REPORTS, 9002) | reports)

    def url(self, shown: int) -> str:
        """Where the port that the pages show is here."""
        return f"http://127.0.0.1:{self._ports[shown]}"

    def here(self, text: str) -> str:
        """The paths and ports of this host in place of those of the pages."""
        for shown, port in self._ports.items():
            text = text.replace(f"127.0.0.1:{shown}", f"127.0.0.1:{port}")
        return text.replace("/etc/farseal", str(self.etc)).replace("/var/lib/farseal", str(self.var))

    def environment(self) -> Mapping[str, str]:
        """What an operator's shell has: programs, and no setting of ours."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(OUR_PREFIXES)}
        path = f"{self.bin}:{Path(sys.executable).parent}:{find_installation()}:{kept['PATH']}"
        places = {"UNITS": str(self.units), "PGSERVICEFILE": str(self.etc / "pg_service.conf"), "HOME": str(self.root)}
        return kept | {"PATH": path} | places

    def systemctl(self, verb: str, unit: str) -> None:
        """Start or stop a unit."""
        subprocess.run([self.bin / "systemctl", verb, unit], env=dict(self.environment()), check=True)

    def shell(self, script: str, *, seconds: float = 60) -> str:
        """What a script says, both outputs, as an operator's terminal shows them."""
        done = subprocess.run(
            ["sh"], input=script, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=self.root,
            env=dict(self.environment()), timeout=seconds, check=False,
        )  # fmt: skip
        return done.stdout

    def set(self, unit: str, **settings: str) -> None:
        """Add to the settings of a unit."""
        with (self.etc / f"{unit}.env").open("a") as file:
            file.writelines(f"{name}={value}\n" for name, value in settings.items())

    def hurry(self, unit: str, *, stale_after: int, refuse_after: int) -> None:
        """Give a resource server limits for the age of status lists that its settings would refuse as too short."""
        file = self.units / f"{unit}.json"
        said = json.loads(file.read_text())
        _, _, _, module, *words = said["command"]
        program = (
            "import runpy, sys\n"
            "from farseal.settings import TrustSettings\n"
            "from farseal.trust import StatusLimits\n"
            f"TrustSettings.status_limits = StatusLimits({stale_after}, {refuse_after})\n"
            f"runpy.run_module({module!r}, run_name='__main__')\n"
        )
        file.write_text(json.dumps(said | {"command": [sys.executable, "-P", "-c", program, *words]}))

    def log(self, unit: str) -> str:
        """What a unit has said."""
        return (self.units / f"{unit}.log").read_text(errors="replace")

    def _auth(self) -> dict[str, str]:
        return {
            "AUTH_SERVER_ISSUER": ISSUER,
            "AUTH_SERVER_DATABASE_URL_FILE": str(self.etc / "auth-dsn"),
            "AUTH_SERVER_KEK_FILE": str(self.etc / "kek"),
            "AUTH_SERVER_PUBLISH_DIRECTORY": str(self.published),
            "AUTH_SERVER_PORT": str(self._ports[9000]),
            "AUTH_SERVER_OPS_PORT": str(self._ports[9100]),
        } | {f"AUTH_SERVER_{name}": value for name, value in POLICY.items()}

    def _resource(self, prefix: str, audience: str, port: int) -> dict[str, str]:
        return {
            f"{prefix}PORT": str(self._ports[port]),
            f"{prefix}OPS_PORT": str(self._ports[port + 100]),
            f"{prefix}DRAIN_SECONDS": "0",
            f"{prefix}GRACE_SECONDS": "2",
            "FARSEAL_ISSUER": ISSUER,
            "FARSEAL_AUDIENCE": audience,
            "FARSEAL_TRUST_DIRECTORY": str(self.published),
        }

    def _database(self, dsn: str) -> None:
        """The connection string for us, and the same as a service for PostgreSQL's own tools."""
        _secret(self.etc / "auth-dsn", dsn)
        _secret(self.etc / "kek", os.urandom(32).hex())
        parts = urlsplit(dsn)
        host = parts.hostname or parse_qs(parts.query)["host"][0]
        fields = {
            "host": host, "port": parts.port or 5432, "dbname": parts.path[1:], "user": unquote(parts.username or ""),
            "password": unquote(parts.password or ""),
        }  # fmt: skip
        lines = ["[farseal-auth]", *(f"{name}={value}" for name, value in fields.items())]
        _secret(self.etc / "pg_service.conf", "\n".join(lines) + "\n")

    def _unit(self, name: str, module: str, ops_port: int, settings: Mapping[str, str], *words: str) -> None:
        environment = self.etc / f"{name}.env"
        _secret(environment, "".join(f"{key}={value}\n" for key, value in settings.items()))
        unit = {
            "command": [sys.executable, "-P", "-m", module, *words],
            "environment": str(environment),
            "ready": f"{self.url(ops_port)}/readyz",
        }
        (self.units / f"{name}.json").write_text(json.dumps(unit))

    def _program(self, name: str, line: str) -> None:
        path = self.bin / name
        path.write_text(f"#!/bin/sh\n{line}\n")
        path.chmod(0o755)


@contextmanager
def running(host: Host, *units: str) -> Iterator[Host]:
    """Start units, and end every unit of the host in the end, whoever started it."""
    try:
        for unit in units:
            host.systemctl("start", unit)
        yield host
    finally:
        for unit in UNITS:
            host.systemctl("stop", unit)


def _secret(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o600)


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()
