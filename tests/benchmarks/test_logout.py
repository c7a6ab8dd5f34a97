"""The measurement of logouts says what was seen, can say that a bound was missed, and runs on the real stack."""

import itertools
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.logout import BATCH, measure, steady
from benchmarks.logout_figures import Figures, percentile, report
from benchmarks.stack import BenchStack, running
from demo.asking import Ending
from demo.ports import is_busy
from demo.services import Addresses
from demo.state import State
from tests.support.ports import free_base

AT_A = Ending(bound=1.0, let_in_before=True, refused_after=0.2, let_in_after=0.1, turned=0, others={})
AT_B = replace(AT_A, bound=2.0, refused_after=1.2, let_in_after=1.1)
GOOD = Figures(
    endings={"resource_a": [AT_A] * 99 + [replace(AT_A, refused_after=0.7)], "resource_b": [AT_B] * 100},
    load=Counter({"200": 10_000}),
    shown=40_000,
    seconds=50.0,
    ttl=1,
)


@pytest.mark.parametrize(
    ("values", "share", "expected"),
    [
        pytest.param(range(1, 201), 0.5, 100, id="median"),
        pytest.param(range(1, 201), 0.99, 198, id="two-of-two-hundred-are-above-p99"),
        pytest.param(range(1, 201), 1.0, 200, id="max"),
        pytest.param([7], 0.5, 7, id="one-value"),
    ],
)
def test_a_percentile_is_one_of_the_values(values, share: float, expected: float) -> None:
    assert percentile(list(values), share) == expected


def test_the_table_has_each_server_beside_its_bound() -> None:
    told = report(GOOD)
    assert "100 logouts, 1,000 requests/s, 50 s" in told
    lines = {line.split()[0]: line.split() for line in told.splitlines() if line.startswith("resource_")}
    assert lines["resource_a"][-5:] == ["200", "200", "700", "1000", "0"]
    assert lines["resource_b"][-5:] == ["1200", "1200", "1200", "2000", "0"]
    assert "10,000 requests of others, failures 0" in told
    assert told.endswith("bounds met")


@pytest.mark.parametrize(
    "figures",
    [
        pytest.param(replace(GOOD, endings={"resource_a": [replace(AT_A, let_in_after=1.01)]}), id="let-in-late"),
        pytest.param(replace(GOOD, endings={"resource_a": [replace(AT_A, refused_after=None)]}), id="never-refused"),
        pytest.param(replace(GOOD, endings={"resource_a": [replace(AT_A, turned=1)]}), id="let-in-again"),
        pytest.param(
            replace(GOOD, endings={"resource_a": [replace(AT_A, others={"503 status_unavailable": 1})]}), id="an-outage"
        ),
        pytest.param(replace(GOOD, endings={"resource_a": [replace(AT_A, let_in_before=False)]}), id="never-let-in"),
        pytest.param(replace(GOOD, endings={}), id="nothing-was-measured"),
        pytest.param(replace(GOOD, load=Counter({"200": 9999, "401 token_revoked": 1})), id="somebody-else-is-refused"),
        pytest.param(replace(GOOD, load=Counter()), id="no-load"),
    ],
)
def test_a_bound_that_was_missed_is_told(figures: Figures) -> None:
    assert not figures.holds
    assert report(figures).endswith("bounds NOT met")


def test_a_pace_is_kept_and_a_backlog_given_up() -> None:
    pace = steady(1000)
    moments = [pace() for _ in range(5)]
    assert [round((later - earlier) * 1000) for earlier, later in itertools.pairwise(moments)] == [2] * 4


def test_the_stack_is_the_demos(tmp_path: Path) -> None:
    """Another would measure something else: it differs in its logs, the ttl, and whose word on addresses it takes."""
    state = State(tmp_path)
    stack = BenchStack(Addresses(9600), state, lock=-1, ttl=5)
    told = {service.name: service.settings for service in stack.describe(tmp_path / "one", tmp_path / "two")}
    assert told["auth_server"]["AUTH_SERVER_STATUS_TTL_SECONDS"] == "5"
    assert told["resource_b"]["FARSEAL_STATUS_REFRESH_SECONDS"] == "5"
    assert told["auth_server"]["AUTH_SERVER_TRUSTED_PROXIES"] == "127.0.0.1/32"


async def test_sessions_log_out_on_the_real_stack(reachable_directory: Path) -> None:
    """A batch and a bit: every session is refused at both servers, and nothing stays."""
    port = free_base(lambda first: Addresses(first).ports)
    async with running(port, reachable_directory) as stack:
        figures = await measure(stack, BATCH + 2)
    assert {server: len(seen) for server, seen in figures.endings.items()} == {"resource_a": 10, "resource_b": 10}
    assert all(seen.refused_after is not None and not seen.others for seen in figures.all)
    assert set(figures.load) == {"200"}
    assert not any(is_busy(one) for one in Addresses(port).ports)
