"""Fixtures and hooks of every test: the database server of the run."""

import hypothesis
import pytest

from tests.support import postgres
from tests.support.postgres import database_url, new_database, postgres_server, reachable_directory

__all__ = ["database_url", "new_database", "postgres_server", "reachable_directory"]


def pytest_configure(config: pytest.Config) -> None:
    """Begin the run."""
    postgres.configure(config)


def pytest_unconfigure(config: pytest.Config) -> None:
    """End the run."""
    postgres.unconfigure(config)


# A deadline would make the suite depend on how busy the machine is.
hypothesis.settings.register_profile("farseal", deadline=None)
hypothesis.settings.load_profile("farseal")
