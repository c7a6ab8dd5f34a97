"""A soak can fail: by one request, by a control that does not fail, and by showing nothing at all."""

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from soak.ledger import Ledger
from soak.published import Change
from soak.slots import Slot
from soak.verdict import Figures, Phase, faults, p99s, phase_of, report

CLEAN = Phase(60.0, 90_000, Counter())
UNKNOWN = Counter({("resource_a", "401 key_unknown"): 20, ("resource_b", "401 key_unknown"): 80})
SESSIONS = Ledger(
    bounds={"resource_a": 1.0, "resource_b": 2.0},
    counts=Counter(
        {"login": 70, "refresh": 210, "tabs": 20, "lost answers": 5, "refresh after a lost answer": 1, "logout": 65}
    ),
    asked=Counter(resource_a=4000, resource_b=3900),
    refused=Counter(resource_a=65, resource_b=64),
    latest={"resource_a": 0.21, "resource_b": 1.07},
)
GOOD = Figures(
    main=CLEAN,
    control=Phase(8.0, 9000, UNKNOWN),
    naive=3,
    rotations=8,
    tokens=1200,
    kills=9,
    retries=Counter({"connection refused": 40}),
    changes=30,
    announced=8,
    retired=6,
    p99_rest_ms=10.0,
    p99_rotation_ms=12.0,
    sessions=SESSIONS,
)


def test_a_good_soak_holds() -> None:
    """Token requests that met a killed replica are no failures."""
    assert faults(GOOD) == ()
    assert faults(replace(GOOD, control=None, naive=0)) == ()
    assert faults(replace(GOOD, sessions=None)) == ()
    assert GOOD.ratio == pytest.approx(1.2)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"main": replace(CLEAN, failures=Counter({("resource_b", "503"): 1}))}, id="one-request"),
        pytest.param({"main": replace(CLEAN, requests=900)}, id="hardly-any-load"),
        pytest.param({"rotations": 0}, id="no-key-rotated"),
        pytest.param({"control": Phase(8.0, 9000, Counter())}, id="a-control-that-fails-nobody"),
        pytest.param(
            {"control": Phase(8.0, 9000, Counter({("resource_a", "connection lost"): 9}))}, id="another-kind-only"
        ),
        pytest.param(
            {"control": Phase(8.0, 9000, UNKNOWN + Counter({("resource_a", "503"): 1}))}, id="another-kind-too"
        ),
        *(
            pytest.param({"sessions": replace(SESSIONS, **change)}, id=name)
            for name, change in {
                "an-ended-session-is-let-in-late": {"late": Counter(resource_b=1)},
                "an-ended-session-is-never-refused": {"never": Counter(resource_a=1)},
                "a-living-session-is-refused": {"failures": Counter({("resource_a", "401 token_revoked"): 1})},
                "a-living-session-meets-an-outage": {
                    "failures": Counter({("resource_b", "503 status_unavailable"): 1})
                },
                "a-retry-is-taken-for-a-replay": {
                    "failures": Counter({("auth_server", "refresh: 400 invalid_grant"): 1})
                },
                "no-session-ends": {"counts": SESSIONS.counts - Counter(logout=65)},
                "no-answer-is-lost": {"counts": SESSIONS.counts - Counter({"lost answers": 5})},
                "no-two-tabs": {"counts": SESSIONS.counts - Counter(tabs=20)},
                "no-session-is-refreshed": {"counts": SESSIONS.counts - Counter(refresh=210)},
                "a-server-refuses-nobody": {"refused": Counter(resource_a=65)},
                "nobody-asks-about-the-living": {"asked": Counter(resource_a=4000)},
            }.items()
        ),
    ],
)
def test_a_bad_soak_does_not(change: dict[str, Any]) -> None:
    figures = replace(GOOD, **change)
    assert faults(figures)
    assert figures.encoded()["holds"] is False
    assert "BROKEN" in report(figures)


def test_the_report_says_all_figures() -> None:
    told = report(GOOD)
    for figure in ("90,000", "1,500/s", "failures 0", "8;", "9, with SIGKILL", "ratio 1.20", "100 of 9,000", "held"):
        assert figure in told
    assert "resource_b: 401 key_unknown: 80" in told
    for figure in ("logouts 65", "refreshes 210", "was lost 6", "7,900 times, refused 0", "1.07 s after its 204"):
        assert figure in told
    assert "logins" not in report(replace(GOOD, sessions=None))
    assert "ratio -" in report(replace(GOOD, p99_rest_ms=None))


def test_figures_are_kept_by_server_and_kind() -> None:
    kept = GOOD.encoded()
    assert kept["holds"] is True
    assert kept["control"]["failures"]["resource_b"] == {"401 key_unknown": 80}
    assert kept["sessions"]["latest"] == {"resource_a": 0.21, "resource_b": 1.07}
    assert kept["p99_ms"] == {"at_rest": 10.0, "during_rotation": 12.0, "ratio": pytest.approx(1.2)}


def slot(milliseconds: float, *, failed: int = 0) -> Slot:
    made = Slot()
    for _ in range(10):
        made.add("a", "200", milliseconds / 1000, good=True)
    for _ in range(failed):
        made.add("a", "401 key_unknown", 0.001, good=False)
    return made


def test_a_phase_has_its_own_requests_only() -> None:
    """From 1 s to 2 s: what ended before belongs to the warm-up, what ended after to the control."""
    slots = {9: slot(1, failed=1), 10: slot(1), 19: slot(1, failed=2), 20: slot(1, failed=4)}
    assert phase_of(slots, 1.0, 2.0) == Phase(1.0, 22, Counter({("a", "401 key_unknown"): 2}))


def test_latencies_around_a_change_are_told_apart_from_those_at_rest() -> None:
    """A change at 5 s: half a second before and one and a half after it are rotation; all else is rest."""
    slots = {number: slot(100 if 45 <= number < 65 else 1) for number in range(10, 100)}
    rest, rotation = p99s(slots, [Change(5.0, ("b",), (), 2)], 1.0, 10.0)
    assert rest == pytest.approx(1, rel=0.06)
    assert rotation == pytest.approx(100, rel=0.06)
    assert p99s(slots, [], 1.0, 10.0)[1] is None
