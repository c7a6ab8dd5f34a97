"""How often somebody may try."""

import asyncio
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auth_server.accounts.throttle import ADDRESS_LIMIT, Limit, Throttle, Throttled, account_key, address_key, pair_key
from auth_server.storage import throttle as rows
from tests.support.accounts import NOW, accounts_pool

HERE, THERE = "192.0.2.1", "192.0.2.2"
WIDE = Limit(burst=1000, interval=1)


@pytest.fixture
async def pool(new_database):
    async with accounts_pool(await new_database()) as pool:
        yield pool


async def test_the_burst_passes_and_the_next_waits_exactly_as_told(pool) -> None:
    """Three at once, then one every ten seconds; one second before Retry-After is over is too early."""
    throttle = Throttle(pool, pair=Limit(burst=3, interval=10))
    answers = [await throttle.admit("alice", HERE, now=NOW) for _ in range(4)]
    assert answers == [None, None, None, Throttled(retry_after=10)]
    assert await throttle.admit("alice", HERE, now=NOW + 9) == Throttled(retry_after=1)
    assert await throttle.admit("alice", HERE, now=NOW + 10) is None
    assert await throttle.admit("alice", HERE, now=NOW + 10) == Throttled(retry_after=10)
    whole_again = NOW + 10 + 30
    answers = [await throttle.admit("alice", HERE, now=whole_again) for _ in range(4)]
    assert answers == [None, None, None, Throttled(retry_after=10)]


async def test_rest_is_not_saved_up(pool) -> None:
    """After a day without an attempt the burst is what it was, and no more."""
    throttle = Throttle(pool, pair=Limit(burst=3, interval=10))
    assert await throttle.admit("alice", HERE, now=NOW) is None
    answers = [await throttle.admit("alice", HERE, now=NOW + 86_400) for _ in range(4)]
    assert answers == [None, None, None, Throttled(retry_after=10)]


async def test_a_refused_attempt_costs_nothing(pool) -> None:
    """Hammering at a closed door does not keep it closed."""
    throttle = Throttle(pool, pair=Limit(burst=1, interval=10))
    assert await throttle.admit("alice", HERE, now=NOW) is None
    for second in range(10):
        assert await throttle.admit("alice", HERE, now=NOW + second) == Throttled(retry_after=10 - second)
    assert await throttle.admit("alice", HERE, now=NOW + 10) is None


async def test_accounts_and_addresses_are_counted_apart(pool) -> None:
    """One account from many addresses, and many accounts from one address, both meet a limit."""
    throttle = Throttle(pool, account=Limit(burst=2, interval=60), address=Limit(burst=3, interval=30))
    assert await throttle.admit("alice", HERE, now=NOW) is None
    assert await throttle.admit("alice", THERE, now=NOW) is None
    assert await throttle.admit("alice", "192.0.2.3", now=NOW) == Throttled(60)
    assert await throttle.admit("bob", HERE, now=NOW) is None
    assert await throttle.admit("carol", HERE, now=NOW) is None
    assert await throttle.admit("dave", HERE, now=NOW) == Throttled(30)
    assert await throttle.admit("dave", "192.0.2.4", now=NOW) is None


async def test_a_throttled_address_cannot_lock_people_out(pool) -> None:
    """Attempts refused for their address are not counted against the account."""
    throttle = Throttle(pool, account=Limit(burst=2, interval=60), address=Limit(burst=1, interval=60))
    assert await throttle.admit("someone", HERE, now=NOW) is None
    for _ in range(5):
        assert await throttle.admit("alice", HERE, now=NOW) == Throttled(60)
    assert await throttle.admit("alice", THERE, now=NOW) is None


async def test_a_success_forgives_the_pair_and_not_the_address(pool) -> None:
    """After a login this address's count on the account begins anew, the address's own goes on."""
    throttle = Throttle(pool, pair=Limit(burst=1, interval=60), address=Limit(burst=2, interval=60))
    assert await throttle.admit("alice", HERE, now=NOW) is None
    await throttle.forgive("ALICE", HERE)
    assert await throttle.admit("alice", HERE, now=NOW) is None
    await throttle.forgive("alice", HERE)
    assert await throttle.admit("alice", HERE, now=NOW) == Throttled(60)


async def test_a_success_costs_the_account_nothing_and_forgives_nobody_else(pool) -> None:
    """Somebody who logs in again and again is never throttled; guesses of others stay counted meanwhile."""
    throttle = Throttle(pool, account=Limit(burst=2, interval=60), address=WIDE)
    assert await throttle.admit("alice", THERE, now=NOW) is None
    for _ in range(5):
        assert await throttle.admit("alice", HERE, now=NOW) is None
        await throttle.forgive("alice", HERE)
    assert await throttle.admit("alice", THERE, now=NOW) is None
    assert await throttle.admit("alice", THERE, now=NOW) == Throttled(60)


async def test_one_machine_cannot_keep_a_person_out(pool) -> None:
    """For an hour it makes every guess that it may, at once and as soon as the next is allowed: the owner gets in at
    every moment from elsewhere, and may slip as often as ever."""
    throttle, now, guesses = Throttle(pool), NOW, 0
    while now < NOW + 3600:
        answer = await throttle.admit("alice", THERE, now=now)
        if answer is None:
            guesses += 1
            continue
        assert await throttle.admit("alice", HERE, now=now) is None
        await throttle.forgive("alice", HERE)
        now += answer.retry_after
    assert guesses <= 10 + 60
    assert [await throttle.admit("alice", HERE, now=now) for _ in range(10)] == [None] * 10


async def test_many_machines_do_not_buy_more_guesses_at_one_account(pool) -> None:
    """Each guess from another address: the account's own limit holds, under 3,000 in a day."""
    throttle, admitted = Throttle(pool), 0
    for number in count():
        if await throttle.admit("alice", f"2001:db8:0:{number:x}::1", now=NOW) is not None:
            break
        admitted += 1
    assert admitted == 50
    for number in range(10):
        later = NOW + 30 * (number + 1)
        assert await throttle.admit("alice", f"2001:db8:1:{number:x}::1", now=later) is None
        assert await throttle.admit("alice", f"2001:db8:2:{number:x}::1", now=later) == Throttled(30)


async def test_a_clock_that_was_ahead_locks_nobody_out(pool) -> None:
    """After it is set back by a day each limit is used up, and gives way after one interval of its own, not a day."""
    throttle = Throttle(pool, pair=Limit(burst=2, interval=30))
    for _ in range(3):
        await throttle.admit("alice", HERE, now=NOW + 86_400)
    now, waits = NOW, []
    while (answer := await throttle.admit("alice", HERE, now=now)) is not None:
        waits.append(answer.retry_after)
        now += answer.retry_after
    assert waits == [1, 30, 30]


async def test_clocks_a_minute_apart_buy_no_attempts(pool) -> None:
    """A replica whose clock is behind leaves the row of one that is ahead as it is."""
    throttle = Throttle(pool)
    ahead = NOW + 60
    for number in range(ADDRESS_LIMIT.burst):
        assert await throttle.admit(f"user {number}", HERE, now=ahead) is None
    for _ in range(3):
        assert await throttle.admit("alice", HERE, now=NOW) == Throttled(61)
        assert await throttle.admit("alice", HERE, now=ahead) == Throttled(1)


async def test_of_fifty_at_once_no_more_than_the_burst_pass(pool) -> None:
    """Attempts that arrive at the same moment are counted one after the other."""
    throttle = Throttle(pool, pair=Limit(burst=5, interval=60))
    answers = await asyncio.gather(*(throttle.admit("alice", HERE, now=NOW) for _ in range(50)))
    assert answers.count(None) == 5
    assert answers.count(Throttled(60)) == 45


async def test_what_people_type_is_not_stored(pool) -> None:
    """A password typed into the username field is in no row."""
    throttle = Throttle(pool)
    await throttle.admit("my secret password", HERE, now=NOW)
    stored = await pool.fetch("SELECT throttle::text AS row FROM throttle")
    assert len(stored) == 3
    assert all("secret" not in row["row"] and HERE not in row["row"] for row in stored)


async def test_rows_that_say_nothing_any_more_go_in_batches(pool) -> None:
    """A row is swept from the very second in which its allowance is whole again, a bounded number at a time."""
    async with pool.acquire() as conn:
        for number in range(5):
            await rows.take(conn, bytes([number]) * 32, interval=10, tolerance=0, now=NOW)
        assert await rows.sweep(conn, now=NOW + 9, limit=3) == 0
        assert await rows.sweep(conn, now=NOW + 10, limit=3) == 3
    assert await Throttle(pool).sweep(now=NOW + 10) == 2


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        pytest.param("192.0.2.1", "192.0.2.2", False, id="ipv4-neighbours"),
        pytest.param("192.0.2.1", "::ffff:192.0.2.1", True, id="ipv4-mapped-into-ipv6"),
        pytest.param("2001:db8::1", "2001:db8::ffff:0:0:1", True, id="ipv6-same-64"),
        pytest.param("2001:db8::1", "2001:db8:0:1::1", False, id="ipv6-other-64"),
        pytest.param("fe80::1%eth0", "fe80::2", True, id="ipv6-with-zone"),
        pytest.param("", "/run/socket", True, id="no-address"),
    ],
)
def test_which_addresses_share_a_count(one, other, same) -> None:
    """IPv4 counts one address, IPv6 the 64 bits that a subscriber gets."""
    assert (address_key(one) == address_key(other)) is same


def test_spellings_of_one_name_share_a_count() -> None:
    """Case and composition do not buy attempts; an account never shares a row with an address."""
    assert account_key("Zoe\u0308") == account_key("zo\u00eb")
    assert pair_key("Zoe\u0308", HERE) == pair_key("zo\u00eb", f"::ffff:{HERE}")
    assert len({account_key(HERE), address_key(HERE), pair_key(HERE, ""), pair_key("", HERE)}) == 4


@given(st.text())
def test_whatever_is_typed_has_a_count(text) -> None:
    """No text fails: control characters, surrogates, anything of any length."""
    assert len(account_key(text)) == len(address_key(text)) == len(pair_key(text, text)) == 32


@pytest.mark.parametrize(("burst", "interval"), [pytest.param(0, 1, id="no-burst"), pytest.param(1, 0, id="no-wait")])
def test_a_limit_that_is_none_is_refused(burst, interval) -> None:
    """A limit admits something, and not everything."""
    with pytest.raises(ValueError, match="1 or more"):
        Limit(burst, interval)
