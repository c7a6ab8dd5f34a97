"""The order in which the indexes of a list are given out: random to whoever does not know the list's key (pure).

An index that was the next number would tell when a session began and how many there are (Token Status List section
13.5). A permutation needs no memory of what was given out: the count alone says what comes next.
"""

from hashlib import blake2b
from typing import Final

ROUNDS: Final = 8
"""Of the Feistel network; four make a permutation that is hard to tell from a random one, and halves of 5 bits are
small."""


def index_at(position: int, *, size: int, key: bytes) -> int:
    """The index that is given out as the ``position``-th, counted from 0.

    A bijection on the numbers below ``size`` for every key: each round changes one half of the bits by what the other
    half says, and can be undone. The halves differ by one bit where the number of bits is odd.

    Args:
        position: 0 or more, below ``size``.
        size: a power of two, 4 or more.
        key: secret, 1 to 64 bytes.

    Raises:
        ValueError: the position is outside the list, or the size no power of two.
    """
    if size < 4 or size & (size - 1):
        raise ValueError("the size of a list is a power of two")
    if not 0 <= position < size:
        raise ValueError("the position is outside the list")
    low_bits = (size.bit_length() - 1) // 2
    low_mask, high_mask = (1 << low_bits) - 1, (size >> low_bits) - 1
    high, low = position >> low_bits, position & low_mask
    for number in range(0, ROUNDS, 2):
        high ^= _mixed(low, number, key) & high_mask
        low ^= _mixed(high, number + 1, key) & low_mask
    return high << low_bits | low


def _mixed(half: int, number: int, key: bytes) -> int:
    digest = blake2b(bytes((number,)) + half.to_bytes(4), key=key, digest_size=4).digest()
    return int.from_bytes(digest)
