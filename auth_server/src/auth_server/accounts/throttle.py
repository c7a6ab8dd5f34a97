"""How often somebody may try to log in: GCRA for each account and for each address, kept in PostgreSQL.

An attempt is counted before the password is looked at, so guesses sent at once are not free. Unknown accounts are
counted like known ones: a refusal says nothing about who exists.
"""

import hashlib
import ipaddress
from dataclasses import dataclass
from typing import Final, Literal

from auth_server.accounts.names import normalise_username
from auth_server.storage import throttle as rows
from auth_server.storage.connection import Pool

IPV6_PREFIX: Final = 64
"""Bits of an IPv6 address that tell subscribers apart; the rest one machine may change at will."""

SWEEP_ROWS: Final = 500
"""Rows deleted at a time: a few milliseconds of locks."""


@dataclass(frozen=True, slots=True)
class Limit:
    """``burst`` attempts at once, and one more for every ``interval`` seconds that pass."""

    burst: int
    interval: int

    def __post_init__(self) -> None:
        """Refuse a limit that would admit nothing or limit nothing."""
        if self.burst < 1 or self.interval < 1:
            raise ValueError("a limit has a burst of 1 or more and an interval of 1 second or more")

    @property
    def tolerance(self) -> int:
        """Seconds of cost that may be outstanding before an attempt and still admit it."""
        return (self.burst - 1) * self.interval


ACCOUNT_LIMIT: Final = Limit(burst=10, interval=30)
"""Ten slips of a forgetful person at once, then two guesses a minute: under 3,000 a day against one account."""
ADDRESS_LIMIT: Final = Limit(burst=100, interval=1)
"""An office behind one address logs in at nine o'clock; a list of stolen passwords takes its time."""


@dataclass(frozen=True, slots=True)
class Throttled:
    """Too many attempts. In exactly ``retry_after`` seconds (1 or more) the next one is admitted, if none is made."""

    retry_after: int


class Throttle:
    """Counts attempts of the processes that share one database.

    Args:
        pool: the database.
        account: limit of attempts on one username.
        address: limit of attempts from one IPv4 address or one IPv6 network of 64 bits.
    """

    def __init__(self, pool: Pool, *, account: Limit = ACCOUNT_LIMIT, address: Limit = ADDRESS_LIMIT) -> None:
        self._pool = pool
        self._account = account
        self._address = address

    async def admit(self, username: str, address: str, *, now: int) -> Throttled | None:
        """Count an attempt; None lets it through.

        The address goes first and its refusal counts nothing against the account: one machine that has used up its
        own allowance cannot go on to lock people out.
        """
        async with self._pool.acquire() as conn:
            for key, limit in (
                (address_key(address), self._address),
                (account_key(username), self._account),
            ):
                taken = await rows.take(conn, key, interval=limit.interval, tolerance=limit.tolerance, now=now)
                if not taken.admitted:
                    return Throttled(taken.whole_at - limit.tolerance - now)
        return None

    async def forgive(self, username: str) -> None:
        """Forget the attempts on an account after a success; those of the address stay counted."""
        async with self._pool.acquire() as conn:
            await rows.forgive(conn, account_key(username))

    async def sweep(self, *, now: int) -> int:
        """Delete one batch of rows that no longer say anything; returns how many. Call it now and then."""
        async with self._pool.acquire() as conn:
            return await rows.sweep(conn, now=now, limit=SWEEP_ROWS)


def account_key(username: str) -> bytes:
    """The row of a username, however it was spelled."""
    return _key("account", normalise_username(username))


def address_key(address: str) -> bytes:
    """The row of an address: IPv4 whole (also when mapped into IPv6), IPv6 by its first 64 bits.

    What is no address (a unix socket, say) shares one row: such a caller is a proxy on this machine.
    """
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return _key("address", "")
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is not None:
            return _key("address", str(parsed.ipv4_mapped))
        return _key("address", str(ipaddress.IPv6Network((parsed, IPV6_PREFIX), strict=False)))
    return _key("address", str(parsed))


def _key(kind: Literal["account", "address"], value: str) -> bytes:
    # surrogatepass: whatever was typed has a row; it is never decoded again
    return hashlib.sha256(f"{kind}\0{value}".encode("utf-8", "surrogatepass")).digest()
