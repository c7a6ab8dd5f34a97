"""One command's way to the database and back, with every failure a line and an exit code."""

import asyncio
import contextlib
import os
from collections.abc import Awaitable, Callable, Iterator
from datetime import datetime
from typing import IO, Any, Final, TypeVar

import asyncpg
import click

from auth_server.database_settings import load_database_settings
from auth_server.storage.connection import Connection, Pool
from farseal import clock
from farseal.errors import FarsealError
from farseal.service.postgres import DatabaseUnavailable, create_pool, database_errors

EXIT_REFUSED: Final = 1
EXIT_UNAVAILABLE: Final = 3

STATEMENT_SECONDS: Final = 60.0
"""An operator's command may wait for a lock; a person is watching."""

T = TypeVar("T")


class Refusal(click.ClickException):
    """The command cannot be done: not found, taken already, not allowed. Exit code 1."""

    exit_code = EXIT_REFUSED

    def show(self, file: "IO[Any] | None" = None) -> None:
        """Write the one line to standard error."""
        click.echo(f"farseal-auth: {self.format_message()}", err=True, file=file)


class Unavailable(Refusal):
    """The database or the configuration stands in the way. Exit code 3."""

    exit_code = EXIT_UNAVAILABLE


def now() -> int:
    """Seconds since the epoch; the commands are composition roots."""
    return clock.now()


def moment() -> datetime:
    """The same, as the database wants it."""
    return clock.at(now())


def in_database(work: Callable[[Connection], Awaitable[T]]) -> T:
    """Run ``work`` on a connection.

    Raises:
        Refusal, Unavailable: see there.
    """

    async def with_connection(pool: Pool) -> T:
        async with pool.acquire() as conn:
            return await work(conn)

    return with_pool(with_connection)


def with_pool(work: Callable[[Pool], Awaitable[T]]) -> T:
    """Run ``work`` on a pool, for what takes connections by itself."""

    async def run() -> T:
        with told():
            settings = load_database_settings(os.environ)
            pool = await create_pool(
                settings.database_url,
                name="farseal-auth",
                max_size=2,
                command_seconds=STATEMENT_SECONDS,
                wait_seconds=2.0,
            )
            try:
                with database_errors():
                    return await work(pool)
            finally:
                pool.terminate()

    return asyncio.run(run())


@contextlib.contextmanager
def told() -> Iterator[None]:
    """Say what went wrong in a line, instead of a traceback."""
    try:
        yield
    except DatabaseUnavailable as error:
        raise Unavailable(error.detail or str(error)) from None
    except (asyncpg.UndefinedTableError, asyncpg.UndefinedColumnError):
        raise Unavailable("the database lacks tables of this version; run: farseal-auth migrate") from None
    except asyncpg.InsufficientPrivilegeError as error:
        raise Unavailable(f"the database refused: {error}") from None
    except asyncpg.IntegrityConstraintViolationError as error:
        # Its first line. What follows may quote the whole row, with hashes and sealed keys in it.
        raise Refusal(f"the database refused: {str(error).splitlines()[0]} (nothing was changed)") from None
    except FarsealError as error:
        raise Unavailable(str(error)) from None
