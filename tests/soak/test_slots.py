"""Latencies in buckets give percentiles within five percent, over whatever slots are chosen."""

import json
import random

import pytest

from soak.slots import (
    SLOT_SECONDS,
    Slot,
    bucket_milliseconds,
    bucket_of,
    merged,
    percentile_milliseconds,
    slot_of,
    within,
)


@pytest.mark.parametrize(
    ("share", "expected"),
    [
        pytest.param(0.5, 50.0, id="median"),
        pytest.param(0.99, 99.0, id="p99"),
        pytest.param(1.0, 100.0, id="the-slowest"),
        pytest.param(0.0, 1.0, id="the-quickest"),
    ],
)
def test_a_percentile_is_right_within_a_bucket(share: float, expected: float) -> None:
    """Of 1 to 100 ms, in any order; never told better than it was."""
    slot = Slot()
    for milliseconds in random.Random(1).sample(range(1, 101), 100):
        slot.add("a", "200", milliseconds / 1000, good=True)
    told = percentile_milliseconds(slot.took, share)
    assert told is not None
    assert expected <= told <= expected * 1.051


def test_without_requests_there_is_no_percentile() -> None:
    assert percentile_milliseconds({}, 0.99) is None


def test_one_slow_request_in_a_hundred_is_not_p99_and_two_are() -> None:
    """The boundary: p99 of 100 requests is the 99th, not the slowest."""
    quick = {bucket_of(0.001): 99, bucket_of(1.0): 1}
    assert percentile_milliseconds(quick, 0.99) == bucket_milliseconds(bucket_of(0.001))
    slow = {bucket_of(0.001): 98, bucket_of(1.0): 2}
    assert percentile_milliseconds(slow, 0.99) == bucket_milliseconds(bucket_of(1.0))


@pytest.mark.parametrize("seconds", [0.0, -0.001, 1e-9])
def test_what_took_no_time_has_a_bucket(seconds: float) -> None:
    """A clock may stand still between two looks."""
    assert bucket_of(seconds) == 0


def test_refusals_count_and_do_not_flatter() -> None:
    """A failure is no latency: it would be the quickest answer of all."""
    slot = Slot()
    slot.add("a", "200", 0.010, good=True)
    slot.add("a", "401 key_unknown", 0.000_1, good=False)
    assert slot.answers == {("a", "200"): 1, ("a", "401 key_unknown"): 1}
    assert sum(slot.took.values()) == 1


def test_a_slot_comes_back_from_json_as_it_was() -> None:
    slot = Slot()
    for number in range(50):
        slot.add("ab"[number % 2], "200", number / 1000, good=True)
    slot.add("b", "connection lost", 0.1, good=False)
    assert Slot.decoded(json.loads(json.dumps(slot.encoded()))) == slot
    twice = merged([slot, slot])
    assert twice.answers.total() == 2 * slot.answers.total()
    assert sum(twice.took.values()) == 2 * sum(slot.took.values())


def test_a_moment_belongs_to_one_slot() -> None:
    assert [slot_of(moment) for moment in (0.0, 0.05, 0.1, 0.15, 12.34)] == [0, 0, 1, 1, 123]


@pytest.mark.parametrize(
    ("number", "inside"),
    [(9, False), (10, True), (11, True), (19, True), (20, False)],
)
def test_a_slot_is_in_a_window_that_it_touches(number: int, inside: bool) -> None:
    """From 1.05 s to 2 s: the slot that holds the beginning is in, the one that begins at the end is not."""
    assert within([(1.05, 20 * SLOT_SECONDS)], number) is inside
