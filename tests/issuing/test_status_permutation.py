"""The order in which indexes are given out."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auth_server.status.permutation import index_at

KEY, OTHER = b"k" * 16, b"o" * 16


@pytest.mark.parametrize("bits", range(2, 15))
def test_every_index_is_given_out_once(bits: int) -> None:
    """A bijection: nobody gets what another has, and nothing is left over."""
    size = 1 << bits
    assert sorted(index_at(position, size=size, key=KEY) for position in range(size)) == list(range(size))


@pytest.mark.parametrize("bits", range(15, 25))
def test_no_two_of_a_large_list_are_the_same(bits: int) -> None:
    """A sample of a run, as servers take them: all different, all inside."""
    size = 1 << bits
    first = size // 3
    found = {index_at(position, size=size, key=KEY) for position in range(first, first + 4096)}
    assert len(found) == 4096
    assert 0 <= min(found) <= max(found) < size


@given(bits=st.integers(10, 24), key=st.binary(min_size=16, max_size=16), data=st.data())
def test_two_positions_never_meet(bits: int, key: bytes, data) -> None:
    """For any key and size."""
    one, two = data.draw(st.lists(st.integers(0, (1 << bits) - 1), min_size=2, max_size=2, unique=True))
    assert index_at(one, size=1 << bits, key=key) != index_at(two, size=1 << bits, key=key)


def test_the_order_is_another_for_each_list() -> None:
    """Who knows one list learns nothing about the next."""
    one, two = ([index_at(position, size=1024, key=key) for position in range(1024)] for key in (KEY, OTHER))
    assert sum(a == b for a, b in zip(one, two, strict=True)) < 16


def test_indexes_are_spread_over_the_list() -> None:
    """The first thousand of a million reach every sixteenth of it about alike, and do not climb."""
    size = 1 << 20
    found = [index_at(position, size=size, key=KEY) for position in range(1024)]
    shares = [sum(index * 16 // size == part for index in found) for part in range(16)]
    assert min(shares) > 32
    assert max(shares) < 128
    climbs = sum(a < b for a, b in itertools.pairwise(found))
    assert 400 < climbs < 624


@pytest.mark.parametrize(("position", "size"), [(-1, 1024), (1024, 1024), (0, 1000), (0, 0), (0, 2)])
def test_what_is_no_place_of_a_list_is_refused(position: int, size: int) -> None:
    """An index is never made up."""
    with pytest.raises(ValueError, match="list"):
        index_at(position, size=size, key=KEY)
