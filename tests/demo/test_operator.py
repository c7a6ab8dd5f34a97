"""The tour understands what the key commands print."""

import pytest

from demo.tour.operator import json_in, refusal_in

LOG = '{"event": "signing key activated", "level": "info"}\n'
DOCUMENT = '{\n  "kid": "one"\n}\n'


@pytest.mark.parametrize(
    ("printed", "value"),
    [
        pytest.param(DOCUMENT, {"kid": "one"}, id="alone"),
        pytest.param(LOG + DOCUMENT, {"kid": "one"}, id="after-a-log-line"),
        pytest.param(DOCUMENT + LOG, {"kid": "one"}, id="before-a-log-line"),
        pytest.param("[a word]\n[\n  1\n]\n", [1], id="after-words-in-brackets"),
    ],
)
def test_a_document_is_found_among_log_lines(printed: str, value: object) -> None:
    assert json_in(printed) == value


@pytest.mark.parametrize("printed", ["", "farseal-auth: refused\n", LOG])
def test_without_a_document_there_is_an_error(printed: str) -> None:
    """An act is then not playable, and its claim broken."""
    with pytest.raises(ValueError, match="no JSON"):
        json_in(printed)


MOMENT = "2026-11-24T10:00:00Z"
REFUSED = f'{{\n  "refused": "x",\n  "allowed_at": "{MOMENT}",\n  "forceable": true\n}}\nfarseal-auth: too early\n'


@pytest.mark.parametrize(
    ("printed", "known"),
    [
        pytest.param(REFUSED, True, id="a-refusal"),
        pytest.param(LOG + REFUSED, True, id="after-a-log-line"),
        pytest.param(DOCUMENT, False, id="something-else"),
        pytest.param("farseal-auth: no database\n", False, id="no-json"),
    ],
)
def test_a_refusal_is_told_from_a_breakdown(printed: str, known: bool) -> None:
    """Waiting for the moment that a refusal names is part of the act; a command that broke breaks the claim."""
    told = refusal_in(printed)
    assert (told is not None) is known
    if told is not None:
        assert told["allowed_at"] == MOMENT
