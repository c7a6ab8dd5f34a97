"""``make clean`` leaves nothing of a demo, wherever it had to keep its files, and takes nothing from one that runs."""

from pathlib import Path

import pytest

from demo import places
from demo.clean import clean
from demo.state import AlreadyRunningError, Lock, State


@pytest.fixture
def state(tmp_path) -> State:
    state = State(tmp_path / ".run" / "9000")
    state.prepare()
    (state.root / "lock").touch()
    state.postgres.mkdir()
    return state


def moved(state: State, temporary: Path, monkeypatch) -> Path:
    """PostgreSQL's files of this demo, in a temporary directory."""
    monkeypatch.setattr(places, "temporary_directory", lambda: temporary)
    elsewhere = places.short_directory(state.postgres, "home")
    (elsewhere / "data").mkdir(parents=True)
    for side in (state.postgres, elsewhere):
        (side / "moved").write_text("token")
    return elsewhere


def test_what_lies_elsewhere_goes_too(state, tmp_path, monkeypatch) -> None:
    elsewhere = moved(state, tmp_path, monkeypatch)
    clean(state.root.parent)
    assert not elsewhere.exists()
    assert not state.root.parent.exists()


def test_a_demo_that_runs_is_left_alone(state, tmp_path, monkeypatch) -> None:
    elsewhere = moved(state, tmp_path, monkeypatch)
    lock = Lock(state)
    lock.take()
    try:
        with pytest.raises(AlreadyRunningError):
            clean(state.root.parent)
    finally:
        lock.release()
    assert state.kek.parent.exists()
    assert elsewhere.exists()


def test_what_is_no_demos_stays(state) -> None:
    """A folder without a lock is somebody else's."""
    foreign = state.root.parent / "notes"
    foreign.mkdir()
    clean(state.root.parent)
    assert foreign.exists()
    assert not state.root.exists()


def test_nothing_to_clean_is_well(tmp_path) -> None:
    clean(tmp_path / "never")
