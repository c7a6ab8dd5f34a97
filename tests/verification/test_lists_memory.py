"""Which lists are worth a question, by what is known of them. Pure."""

from dataclasses import replace
from typing import Any

from farseal.sources.fetch import UNCONDITIONAL, Validators
from farseal.sources.lists_memory import AGAIN_SECONDS, BEHIND_LOOKS, REMEMBERED, ListsMemory
from farseal.status_list import StatusList

URI = "https://a.example/status/a.jwt"
KEYS = b"keys"


def a_list(digest: bytes, version: int | None = 1, issued_at: int = 100) -> StatusList:
    return StatusList(URI, issued_at, None, None, 1, b"", "first", digest, version)


def wants(memory: ListsMemory, hint: bytes | None, held: StatusList | None, keys: bytes = KEYS, at: float = 0) -> bool:
    return memory.wanted({URI: hint}, {} if held is None else {URI: held}, keys, at) == [URI]


def after(made: StatusList, *others: StatusList) -> ListsMemory:
    memory = ListsMemory()
    wants(memory, None, None)
    for one in (made, *others):
        memory.good(one, Validators(one.digest.hex()))
    return memory


def test_a_list_is_wanted_where_the_index_names_another_document() -> None:
    """By digests; without one there is no telling."""
    held = a_list(b"new", 2)
    memory = after(a_list(b"old"), held)
    assert not wants(memory, b"new", held)
    assert wants(memory, b"newer", held)
    assert wants(memory, None, held)
    assert wants(memory, b"new", None)


def test_a_document_that_was_judged_good_is_not_asked_for_again() -> None:
    """It is the one in force, or an older one, or another replica's; the last few are known."""
    held = a_list(b"new", 2)
    memory = after(a_list(b"old"), held)
    assert not wants(memory, b"old", held)
    assert wants(memory, b"old", None)
    many = [a_list(bytes([number]), 2) for number in range(REMEMBERED)]
    assert wants(after(a_list(b"old"), held, *many[2:]), b"old", held) is False
    assert wants(after(a_list(b"old"), held, *many[1:]), b"old", held)


def test_a_document_that_was_judged_bad_is_asked_for_by_other_keys_or_later() -> None:
    """A key may have come, or the clock been put right."""
    memory = after(a_list(b"new"))
    memory.bad(URI, b"bad", "it is broken", KEYS, 0.0)
    held = a_list(b"new")
    assert not wants(memory, b"bad", held, at=AGAIN_SECONDS - 0.1)
    assert memory.words(URI) == "it is broken"
    assert wants(memory, b"bad", held, at=AGAIN_SECONDS)
    assert wants(memory, b"bad", held, keys=b"others")
    assert wants(memory, b"worse", held)
    assert not wants(memory, b"new", held)
    assert memory.words(URI) is None


def test_a_failure_is_waited_for_and_counted_until_something_comes() -> None:
    """Each list waits for itself."""
    memory = after(a_list(b"new"))
    assert (memory.failed(URI, "down"), memory.failed(URI, "down")) == (1, 2)
    memory.wait(URI, 10.0)
    held = a_list(b"new")
    assert not wants(memory, b"newer", held, at=9.9)
    assert memory.words(URI) == "down"
    assert wants(memory, b"newer", held, at=10.0)
    memory.answered(URI)
    assert memory.failed(URI, "down") == 1


def test_only_what_is_known_good_is_asked_about() -> None:
    """A 304 must mean a document that was judged."""
    held = a_list(b"new")
    memory = after(held)
    assert memory.ask(URI, held, 1.0) == Validators(b"new".hex())
    assert memory.ask(URI, None, 1.0) == UNCONDITIONAL
    memory.bad(URI, b"bad", "it is broken", KEYS, 0.0)
    assert memory.ask(URI, held, 1.0) == UNCONDITIONAL


def test_an_older_list_is_told_once_it_stays() -> None:
    """One replica that lags is no news; a list laid back is."""
    cases: list[tuple[tuple[Any, ...], tuple[Any, ...], bool]] = [
        ((1, 100), (2, 100), True),
        ((2, 50), (2, 100), False),
        ((None, 50), (None, 100), True),
        ((None, 100), (None, 100), False),
        ((None, 50), (2, 100), False),
    ]
    for there, in_force, told in cases:
        held = a_list(b"new", *in_force)
        memory = after(a_list(b"old", *there), held)
        for look in range(1, BEHIND_LOOKS + 1):
            wants(memory, b"old", held)
            assert (memory.words(URI) is not None) is (told and look == BEHIND_LOOKS)
        wants(memory, b"new", held)
        assert memory.words(URI) is None


def test_another_list_under_the_same_version_is_told_until_it_is_passed() -> None:
    """Of an issuer that counts again from a backup. The same under another signature is what a second replica says."""
    held = a_list(b"held", 7)
    for data, told in ((b"", None), (b"x", "It is another list under the same version 7")):
        there = replace(a_list(b"there", 7), data=data)
        memory = after(held)
        memory.good(there, UNCONDITIONAL, held)
        for _ in range(BEHIND_LOOKS + 5):
            assert not wants(memory, b"there", held)
        assert memory.words(URI) == told
        wants(memory, b"there", a_list(b"next", 6))
        assert memory.words(URI) is None


def test_the_lists_that_waited_longest_come_first() -> None:
    """So that none is left out for ever where a look has not room for all."""
    memory = ListsMemory()
    index = dict.fromkeys(("one", "two", "three"), b"x")
    assert memory.wanted(index, {}, KEYS, 1.0) == ["one", "two", "three"]
    memory.ask("one", None, 1.0)
    memory.ask("two", None, 2.0)
    assert memory.wanted(index, {}, KEYS, 3.0) == ["three", "one", "two"]
