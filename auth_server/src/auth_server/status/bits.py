"""The bits of one list in memory, brought up to date by what the database says."""

from array import array
from collections.abc import Iterable
from sys import byteorder


class Bits:
    """A list of ``size`` entries of one bit each, the lowest bit of a byte first (section 4.1); none is unset again.

    Attributes:
        version: of the database, up to which it holds every revocation; 0 before the first look.
        revoked: how many bits are set.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.version = 0
        self.revoked = 0
        self._bits = bytearray(size // 8)

    @property
    def data(self) -> bytearray:
        """The bytes, not to be changed."""
        return self._bits

    def take_over(self, packed: Iterable[bytes], *, version: int) -> None:
        """Set what was revoked up to ``version``. Set bits may come again. In a thread: ten million take seconds.

        Args:
            packed: indexes in any order, big-endian, four bytes each.
            version: of the list's row, read before them.

        Raises:
            IndexError: an index is outside of the list; the version stays.
        """
        bits, added = self._bits, 0
        for block in packed:
            indexes = array("I", block)
            if byteorder == "little":
                indexes.byteswap()
            for index in indexes:
                byte, bit = index >> 3, 1 << (index & 7)
                if not bits[byte] & bit:
                    bits[byte] |= bit
                    added += 1
        self.revoked += added
        self.version = version
