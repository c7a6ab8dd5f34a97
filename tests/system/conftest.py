"""Tests against real containers, run by ``make system``. Each states the promise it holds and the figure it saw."""

import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import pytest_asyncio

from farseal_testing.compose import Project

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent
HELD = "held"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip them, aloud, where nobody asked for containers."""
    if os.environ.get("FARSEAL_SYSTEM", "0") in {"", "0"}:
        skip = pytest.mark.skip(reason="needs containers: make system")
        for item in items:
            if HERE in item.path.parents:
                item.add_marker(skip)


def pytest_terminal_summary(terminalreporter) -> None:
    """Show what was held, with the figures."""
    told = [
        f"{name}: {value}"
        for reports in terminalreporter.stats.values()
        for report in reports
        for name, value in getattr(report, "user_properties", ())
        if name.startswith(HELD) and getattr(report, "when", "") == "call"
    ]
    if told:
        terminalreporter.section("promises, and what was seen")
        for line in told:
            terminalreporter.line(line)


@pytest.fixture
def held(record_property) -> Callable[[str, str], None]:
    """Note a promise that was held and the figure that shows it; they are told at the end of the run."""

    def note(promise: str, figure: str) -> None:
        record_property(f"{HELD}  {promise}", figure)

    return note


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def project() -> AsyncIterator[Project]:
    """Everything of compose.yaml, in seconds in place of days, up and healthy. A module's tests leave it so.

    A module that needs another one makes its own fixture of this name.
    """
    async with Project(ROOT) as made:
        await made.up()
        yield made
