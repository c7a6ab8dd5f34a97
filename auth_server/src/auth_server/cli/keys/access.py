"""What every command on keys begins with: the policy, the database's own clock, and who is asking."""

import contextlib
import os
import pwd
import re
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final

import click

from auth_server.cli.output import harmless
from auth_server.cli.parameters import ACTOR_CHARACTERS
from auth_server.cli.session import told
from auth_server.database_settings import KeySettings, load_key_settings
from auth_server.keys.lifecycle import Key
from auth_server.keys.store import LOCK_SECONDS
from auth_server.storage import publication, signing_keys
from auth_server.storage.connection import Connection
from auth_server.storage.database_clock import database_clock
from auth_server.storage.signing_keys import StoredKey

_LIKE_AN_OPTION: Final = re.compile("-[A-Za-z0-9_-]{42}")
"""One kid in 64 begins with a hyphen. No option is as long."""


@dataclass(frozen=True, slots=True)
class Look:
    """The keys at one moment, which the database's clock tells: an operator's machine may show any time."""

    now: int
    sequence: int
    stored: tuple[StoredKey, ...]

    @property
    def keys(self) -> tuple[Key, ...]:
        """What the lifecycle knows of them."""
        return tuple(one.key for one in self.stored)


class KeyCommand(click.Command):
    """A command whose argument may be a kid that begins with a hyphen."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Take such a kid for what it is, as if ``--`` stood before it."""
        kids = [word for word in args if _LIKE_AN_OPTION.fullmatch(word)]
        if kids and "--" not in args:
            args = [*(word for word in args if word not in kids), "--", *kids]
        return super().parse_args(ctx, args)


def settings() -> KeySettings:
    """The database and the policy of the environment.

    Raises:
        Unavailable: naming every fault, a policy whose sums do not come out included.
    """
    with told():
        return load_key_settings(os.environ)


async def look(conn: Connection) -> Look:
    """The keys as they are now, read at once."""
    async with conn.transaction(isolation="repeatable_read", readonly=True):
        stored = await signing_keys.list_all(conn)
        sequence = await publication.sequence(conn)
        return Look(await database_now(conn), sequence, stored)


async def database_now(conn: Connection) -> int:
    """Seconds since the epoch by the database's clock, rounded down."""
    return int(await database_clock(conn))


@contextlib.asynccontextmanager
async def alone(conn: Connection) -> AsyncIterator[int]:
    """A transaction in which nobody else changes keys, with the moment at which that began.

    The clock is read with the lock held: a key retires when it does, not when somebody began to wait for that, and how
    long it stays is reckoned from there.
    """
    async with conn.transaction():
        await signing_keys.lock(conn, timeout=LOCK_SECONDS)
        yield await database_now(conn)


def actor(named: str | None) -> str:
    """Who asks, for the audit log: ``root@host``, or ``alice via root@host``.

    The account of the process always stands there. Before it stands a name that can only be believed: what --actor
    says, or whom sudo was called by.
    """
    name = named or (harmless(os.environ.get("SUDO_USER", ""))[:ACTOR_CHARACTERS] if os.geteuid() == 0 else None)
    account = f"{_account()}@{socket.gethostname()}"
    return f"{name} via {account}" if name else account


def _account() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:  # a container runs under a number that has no name
        return f"uid-{os.geteuid()}"
