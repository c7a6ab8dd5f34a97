"""The comparison of the README's lines with a demo's answers can fail. The lines themselves: ``test_whole_demo``."""

import time

import pytest

from demo.processes import process_exists
from tests.support.readme import Step, differences, matches, moved, programs, steps


@pytest.mark.parametrize(
    ("shown", "said", "verdict"),
    [
        pytest.param('{"id":"…","n":1}', '{"id":"x","n":1}', True, id="an-ellipsis-is-anything"),
        pytest.param('{"id":"…","n":1}', '{"id":"x","n":2}', False, id="another-value"),
        pytest.param("", "something", False, id="nothing-shown"),
        pytest.param("a.c", "abc", False, id="a-dot-is-a-dot"),
    ],
)
def test_an_answer_that_differs_is_seen(shown, said, verdict) -> None:
    assert matches(shown, said) is verdict


def test_blocks_become_steps() -> None:
    text = "```console\n$ one\nsaid\nmore\n$ two\n```\ntext\n```sh\nnot this\n```\n```console\n$ three\n```\n"
    assert steps(text) == [Step("one", "said\nmore"), Step("two", ""), Step("three", "")]


def test_a_program_is_saved_under_the_name_in_its_first_line() -> None:
    text = "```python\n# one.py\nprint(1)\n```\n```python\nnot(saved)\n```\n"
    assert programs(text) == {"one.py": "print(1)\n"}


def test_a_demo_elsewhere_is_addressed_there(tmp_path) -> None:
    shown = "http://127.0.0.1:9003 port=9001 .run/9000/secrets 90001 19000"
    assert moved(shown, 7000, tmp_path) == f"http://127.0.0.1:7003 port=7001 {tmp_path}/secrets 90001 19000"


def test_a_line_that_answers_otherwise_is_named(tmp_path) -> None:
    places = {"state": tmp_path, "directory": tmp_path}
    pasted = [Step("NAME=kept", ""), Step("echo $NAME", "kept"), Step("echo port :9001", "port :9001")]
    assert differences(pasted, 9000, **places) == []
    assert differences([*pasted, Step("echo two", "one")], 7000, **places) == ["$ echo two\ntwo"]
    assert "not found" in differences([Step("no-such-command", "")], 9000, **places)[0]


def test_what_the_lines_leave_in_the_background_is_ended(tmp_path) -> None:
    """A step that fails before the line that ends a server must not leave it to the next test."""
    pasted = [Step("sleep 600 > log 2>&1 &", ""), Step("echo $! > pid", "")]
    assert differences(pasted, 9000, state=tmp_path, directory=tmp_path) == []
    pid = int((tmp_path / "pid").read_text())
    deadline = time.monotonic() + 10
    while process_exists(pid):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_the_terminal_has_none_of_our_settings(tmp_path, monkeypatch) -> None:
    """A variable of the test run would be an unknown setting to a service that a visitor starts."""
    monkeypatch.setenv("FARSEAL_PLANTED", "x")
    monkeypatch.setenv("TESTS_PLANTED", "x")
    pasted = [Step('echo "[$FARSEAL_PLANTED$TESTS_PLANTED]"', "[]")]
    assert differences(pasted, 9000, state=tmp_path, directory=tmp_path) == []
