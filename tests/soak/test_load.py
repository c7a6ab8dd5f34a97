"""The load process counts every request once, streams what is over, and keeps to a pace that is asked for."""

import json
import time
from collections import Counter
from pathlib import Path

import pytest

from demo.asking import Target
from demo.stack import StackError
from soak.ledger import Ledger
from soak.load import MOST_BEHIND_SECONDS, Notes, Plan, paced
from soak.loader import Loader
from soak.slots import SLOT_SECONDS, slot_of


def plan(directory: Path) -> Plan:
    (directory / "secret").write_text("secret")
    (directory / "logs").mkdir(exist_ok=True)
    return Plan(
        replicas=["http://127.0.0.1:9"],
        targets=[Target("resource_a", "http://127.0.0.1:9", "/notes", 1.0)],
        client="client",
        secret_file=str(directory / "secret"),
        connections=1,
        rate=0,
        token_seconds=0.05,
        use_seconds=5.0,
        sessions=2,
    )


def test_a_plan_is_kept_as_it_is(tmp_path: Path) -> None:
    made = plan(tmp_path)
    made.write(tmp_path / "plan")
    assert Plan.read(tmp_path / "plan") == made


def test_a_request_counts_where_it_ended_and_is_given_once() -> None:
    notes = Notes()
    notes.add("a", "kid", "200", 1.0, 0.05)
    notes.add("a", "kid", "200", 1.0, 0.25)
    notes.add("b", "kid", "503", 1.2, 0.05)
    first, last = slot_of(1.05), slot_of(1.25)
    assert notes.take(last).keys() == {first}
    assert notes.take(last) == {}
    rest = notes.take(last + 1)
    assert rest[last].answers == Counter({("a", "200"): 1, ("b", "503"): 1})


def test_a_pace_gives_each_request_its_moment() -> None:
    """A hundred in a second; the backlog of a stall is given up after a while."""
    pace = paced(100)
    assert pace is not None
    moments = [pace() for _ in range(50)]
    assert moments[-1] - moments[0] == pytest.approx(0.49)
    assert paced(0) is None
    late = paced(100_000)
    assert late is not None
    time.sleep(2 * SLOT_SECONDS)
    assert time.monotonic() - MOST_BEHIND_SECONDS <= late() <= time.monotonic()


def test_what_the_load_wrote_is_added_up(tmp_path: Path) -> None:
    """Half a line waits for its other half; what is no line of the load's is left to people."""
    loader = Loader(plan(tmp_path), tmp_path, keep_open=())
    loader.stop()
    log = tmp_path / "logs" / "load.log"
    line: dict[str, object] = {"slots": {"7": {"answers": [["a", "200", 3], ["a", "503", 1]], "took": [[100, 3]]}}}
    sessions = Ledger({"resource_a": 1.0}, counts=Counter(logout=3)).encoded()
    line |= {"signed": {"one": 2}, "retries": {"connection refused": 5}, "sessions": sessions}
    text = json.dumps(line) + "\n"
    for part, told in (("a warning\n" + text + text[:20], (4, 1)), (text[20:], (8, 2))):
        with log.open("a") as file:
            file.write(part)
        loader._take_in()
        assert (loader.requests, loader.failed) == told
    assert loader.slots[7].answers == Counter({("a", "200"): 6, ("a", "503"): 2})
    assert loader.signed == {"one": 2}
    assert loader.ledger.counts["logout"] == 3


def test_a_load_that_ends_is_told(tmp_path: Path) -> None:
    """With the end of its log: nothing was measured since."""
    made = plan(tmp_path)
    Path(made.secret_file).unlink()
    loader = Loader(made, tmp_path, keep_open=())
    with pytest.raises(StackError, match=r"(?s)the load ended by itself with status 1.*FileNotFoundError"):
        poll_until_it_ends(loader)
    loader.stop()


def poll_until_it_ends(loader: Loader) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        loader.poll()
        time.sleep(0.05)
