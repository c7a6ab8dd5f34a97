"""Operator's commands on a database of their own, in this process."""

import json
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, TypeVar

import pytest
from click.testing import CliRunner, Result
from structlog.testing import capture_logs

from auth_server.cli import main
from auth_server.cli.session import in_database
from auth_server.storage.connection import Connection
from tests.support.postgres import TestServer, run_apart

T = TypeVar("T")


class Commands:
    """Runs `farseal-auth WORDS` and holds it to its exit code."""

    def __init__(self, dsn: str) -> None:
        self.dsn = dsn
        self.env: dict[str, str | None] = {"AUTH_SERVER_DATABASE_URL": dsn}
        self._runner = CliRunner()

    def run(self, *words: str, input: str | bytes | None = None, code: int = 0) -> Result:  # noqa: A002 - click's word
        """Run it; ``code`` is the exit code that it must have. An exception that is no exit is raised."""
        with capture_logs():  # the program itself logs to standard error; that is its own test
            result = self._runner.invoke(main, words, input=input, env=self.env, prog_name="farseal-auth")
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == code, result.output
        return result

    def out(self, *words: str, input: str | bytes | None = None) -> str:  # noqa: A002 - click's word
        """What it prints on standard output."""
        return self.run(*words, input=input).stdout

    def json(self, *words: str, input: str | bytes | None = None) -> Any:  # noqa: A002 - click's word
        """What it prints with --json, and nothing else is on standard output."""
        return json.loads(self.out(*words, "--json", input=input))

    def refused(self, *words: str, input: str | bytes | None = None, code: int = 1) -> str:  # noqa: A002 - click's word
        """What it says on standard error when it refuses; nothing is on standard output."""
        result = self.run(*words, input=input, code=code)
        assert result.stdout == ""
        assert "Traceback" not in result.stderr
        return result.stderr

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        """Rows of the database, as they are."""
        return [tuple(row) for row in self.inside(lambda conn: conn.fetch(statement))]

    def inside(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        """What ``work`` gives on a connection to the database."""
        monkey = pytest.MonkeyPatch()
        with monkey.context() as patch:
            patch.setenv("AUTH_SERVER_DATABASE_URL", self.dsn)
            return in_database(work)


@pytest.fixture
def empty_cli(postgres_server: TestServer) -> Iterator[Commands]:
    """Commands on an empty database."""
    dsn = run_apart(postgres_server.create_database())
    yield Commands(dsn)
    run_apart(postgres_server.drop_database(dsn))


@pytest.fixture
def cli(empty_cli: Commands) -> Commands:
    """Commands on a migrated database."""
    empty_cli.run("migrate")
    return empty_cli
