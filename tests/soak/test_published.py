"""The watch tells what happened to the keys from the published document alone."""

import asyncio
import json
from pathlib import Path

import pytest

from soak.published import AFTER_SECONDS, BEFORE_SECONDS, Change, Document, Watch, changed, read, windows


def document(*kids: str, sequence: int = 1) -> Document:
    return Document(frozenset(kids), sequence)


def body(*kids: str, sequence: int = 1) -> bytes:
    keys = [{"kid": kid} for kid in kids]
    return json.dumps({"keys": keys, "farseal": {"issuer": "x", "sequence": sequence, "revoked": []}}).encode()


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        pytest.param(document("a"), document("a", "b", sequence=2), (("b",), ()), id="announced"),
        pytest.param(document("a", "b"), document("b", sequence=2), ((), ("a",)), id="retired"),
        pytest.param(document("a", "b"), document("a", "b", sequence=2), ((), ()), id="activated"),
        pytest.param(document("a"), document("b", "c", sequence=3), (("b", "c"), ("a",)), id="several-at-once"),
    ],
)
def test_two_documents_are_told_apart(before: Document, after: Document, told) -> None:
    change = changed(before, after, 5.0)
    assert (change.announced, change.retired) == told
    assert (change.at, change.sequence) == (5.0, after.sequence)


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b'{"keys": 1}', b'{"keys": [{}]}', b'{"keys": [], "farseal": 1}'])
def test_what_is_no_key_set_is_refused(text: bytes) -> None:
    with pytest.raises(ValueError):
        read(text)


async def test_the_watch_sees_changes_and_passes_over_heartbeats(tmp_path: Path) -> None:
    """A file written again with the same keys and number is no change; one that is gone for a moment is none either."""
    file = tmp_path / "jwks.json"
    watch = Watch(file)
    watching = asyncio.create_task(watch.run())
    try:
        for text in (body("a"), body("a"), body("a", "b", sequence=2), b"{", body("b", sequence=3)):
            (tmp_path / "new").write_bytes(text)
            (tmp_path / "new").rename(file)
            await asyncio.sleep(0.2)
    finally:
        watching.cancel()
    assert [(change.announced, change.retired) for change in watch.changes] == [(("b",), ()), ((), ("a",))]


@pytest.mark.parametrize(
    ("moments", "spans"),
    [
        pytest.param([], [], id="nothing-happened"),
        pytest.param([10.0], [(10 - BEFORE_SECONDS, 10 + AFTER_SECONDS)], id="one"),
        pytest.param([11.0, 10.0], [(10 - BEFORE_SECONDS, 11 + AFTER_SECONDS)], id="they-overlap"),
        pytest.param(
            [10.0, 10 + BEFORE_SECONDS + AFTER_SECONDS],
            [(10 - BEFORE_SECONDS, 10 + BEFORE_SECONDS + 2 * AFTER_SECONDS)],
            id="they-touch",
        ),
        pytest.param(
            [10.0, 20.0],
            [(10 - BEFORE_SECONDS, 10 + AFTER_SECONDS), (20 - BEFORE_SECONDS, 20 + AFTER_SECONDS)],
            id="apart",
        ),
    ],
)
def test_windows_lie_around_changes(moments: list[float], spans) -> None:
    assert windows([Change(moment, (), (), 1) for moment in moments]) == spans
