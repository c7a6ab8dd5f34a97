"""The comparison of the README's lines with a demo's answers can fail. The lines themselves: ``test_whole_demo``."""

import pytest

from tests.support.readme import Step, differences, matches, steps


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


def test_a_line_that_answers_otherwise_is_named() -> None:
    pasted = [Step("NAME=kept", ""), Step("echo $NAME", "kept"), Step("echo port :9001", "port :9001")]
    assert differences(pasted, 9000) == []
    assert differences(pasted, 7000) == ["$ echo port :9001\nport :7001"]
    assert "not found" in differences([Step("no-such-command", "")], 9000)[0]
