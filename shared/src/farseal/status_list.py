"""A status list in memory, and what one entry of it says (Token Status List, draft-ietf-oauth-status-list)."""

from dataclasses import dataclass, field
from typing import Final

VALID: Final = 0
"""Every other value refuses the token: 1 is INVALID, 2 SUSPENDED (section 7.1)."""


@dataclass(frozen=True, slots=True)
class StatusReference:
    """Where the status of a token is published: its claim ``status.status_list`` (section 6.1)."""

    uri: str
    index: int


@dataclass(frozen=True, slots=True)
class StatusList:
    """One list whose signature holds. Times are in seconds since the epoch.

    Args:
        uri: its ``sub``, and what tokens name it by.
        issued_at: ``iat``: what is not in it by then, it does not know.
        expires_at: ``exp``: not to be relied on from then on; None where the issuer gave none.
        ttl: seconds after which to look for the next one; None where the issuer gave none.
        bits: of one entry: 1, 2, 4 or 8.
        data: the entries, inflated, the lowest bits of a byte first.
        kid: of the key that signed it.
        digest: SHA-256 of the document.
        version: of an issuer of ours: a lower one is older. None where the issuer does not count.
    """

    uri: str
    issued_at: int
    expires_at: int | None
    ttl: int | None
    bits: int
    data: bytes = field(repr=False)
    kid: str
    digest: bytes = field(repr=False)
    version: int | None = None

    @property
    def size(self) -> int:
        """How many entries it has."""
        return len(self.data) * 8 // self.bits

    def value(self, index: int) -> int:
        """The entry at ``index``, which is below `size` and not negative (section 4.1)."""
        if self.bits == 1:
            return self.data[index >> 3] >> (index & 7) & 1
        position = index * self.bits
        return self.data[position >> 3] >> (position & 7) & ((1 << self.bits) - 1)
