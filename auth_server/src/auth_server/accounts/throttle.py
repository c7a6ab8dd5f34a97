"""How often somebody may try to log in: GCRA for each address, for each account from one address, and for each account.

An attempt is counted before the password is looked at, so guesses sent at once are not free. Unknown accounts are
counted like known ones: a refusal says nothing about who exists.

A limit on accounts alone would let anybody keep a person out with two wrong guesses a minute. So the narrow limit is on
one address's attempts on one account, and the account's own limit leaves room for what a single address can use up.
Somebody with many addresses can still delay the login of a person; without that bound they could guess without end.
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


ADDRESS_LIMIT: Final = Limit(burst=100, interval=1)
"""An office behind one address logs in at nine o'clock; a list of stolen passwords takes its time."""
PAIR_LIMIT: Final = Limit(burst=10, interval=60)
"""Of one account from one address: ten slips of a forgetful person at once, then a guess a minute."""
ACCOUNT_LIMIT: Final = Limit(burst=50, interval=30)
"""From everywhere: under 3,000 guesses a day, however many machines make them. What one address may use up in the long
run is half of what comes back, and its burst a fifth: the rest is the owner's."""


@dataclass(frozen=True, slots=True)
class Throttled:
    """Too many attempts. In exactly ``retry_after`` seconds (1 or more) the next one is admitted, if none is made."""

    retry_after: int


class Throttle:
    """Counts attempts of the processes that share one database.

    Args:
        pool: the database.
        address: limit of attempts from one IPv4 address or one IPv6 network of 64 bits.
        pair: limit of such an address's attempts on one username.
        account: limit of attempts on one username from everywhere.
    """

    def __init__(
        self,
        pool: Pool,
        *,
        address: Limit = ADDRESS_LIMIT,
        pair: Limit = PAIR_LIMIT,
        account: Limit = ACCOUNT_LIMIT,
    ) -> None:
        self._pool = pool
        self._address = address
        self._pair = pair
        self._account = account

    async def admit(self, username: str, address: str, *, now: int) -> Throttled | None:
        """Count an attempt; None lets it through.

        From the narrow to the wide, and a refusal counts nothing against what comes after it: a machine that has used
        up its own allowance cannot go on to use up that of the account.
        """
        async with self._pool.acquire() as conn:
            for key, limit in (
                (address_key(address), self._address),
                (pair_key(username, address), self._pair),
                (account_key(username), self._account),
            ):
                taken = await rows.take(conn, key, interval=limit.interval, tolerance=limit.tolerance, now=now)
                if not taken.admitted:
                    return Throttled(taken.whole_at - limit.tolerance - now)
        return None

    async def forgive(self, username: str, address: str) -> None:
        """After a success, forget this address's attempts on the account.

        The account gets back what this attempt cost and no more: guesses of others stay counted, however often the
        owner logs in. So do the attempts of the address.
        """
        async with self._pool.acquire() as conn:
            await rows.forget(conn, pair_key(username, address))
            await rows.give_back(conn, account_key(username), seconds=self._account.interval)

    async def sweep(self, *, now: int) -> int:
        """Delete one batch of rows that no longer say anything; returns how many. Call it now and then."""
        async with self._pool.acquire() as conn:
            return await rows.sweep(conn, now=now, limit=SWEEP_ROWS)


def account_key(username: str) -> bytes:
    """The row of a username, however it was spelled."""
    return _key("account", normalise_username(username))


def pair_key(username: str, address: str) -> bytes:
    """The row of one address's attempts on one username."""
    # An address holds no NUL, so no two pairs are one text.
    return _key("pair", f"{_network(address)}\0{normalise_username(username)}")


def address_key(address: str) -> bytes:
    """The row of an address: IPv4 whole (also when mapped into IPv6), IPv6 by its first 64 bits.

    What is no address (a unix socket, say) shares one row: such a caller is a proxy on this machine.
    """
    return _key("address", _network(address))


def _network(address: str) -> str:
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return ""
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.IPv6Network((parsed, IPV6_PREFIX), strict=False))
    return str(parsed)


def _key(kind: Literal["address", "pair", "account"], value: str) -> bytes:
    # surrogatepass: whatever was typed has a row; it is never decoded again
    return hashlib.sha256(f"{kind}\0{value}".encode("utf-8", "surrogatepass")).digest()
