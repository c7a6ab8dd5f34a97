"""Passwords: argon2id, bounded in length, in number and in what may be set."""

import asyncio
import contextlib

import argon2
import pytest

from auth_server.accounts.passwords import (
    MEMORY_KIB,
    PASSWORD_BYTES,
    TIME_COST,
    PasswordHasher,
    PasswordRefusedError,
    check_new_password,
)
from auth_server.gate import GateFull

CHEAP = {"memory_kib": 64, "time_cost": 1}


@pytest.fixture
def hasher():
    with PasswordHasher(**CHEAP) as hasher:
        yield hasher


async def test_the_cost_is_the_one_that_was_weighed() -> None:
    """A hash is argon2id with 19 MiB, two passes, one lane."""
    with PasswordHasher() as hasher:
        stored = await hasher.hash("correct horse")
    assert stored.startswith("$argon2id$")
    parameters = argon2.extract_parameters(stored)
    assert (parameters.memory_cost, parameters.time_cost, parameters.parallelism) == (19456, 2, 1)
    assert (MEMORY_KIB, TIME_COST) == (19456, 2)


@pytest.mark.parametrize(
    ("set_as", "given", "correct"),
    [
        pytest.param("correct horse", "correct horse", True, id="right"),
        pytest.param("correct horse", "Correct horse", False, id="case-matters"),
        pytest.param("correct horse", "correct horse ", False, id="space-matters"),
        pytest.param("pa\u00dfw\u00f6rter", "pa\u00dfwo\u0308rter", True, id="composed-or-not-is-the-same"),
        pytest.param("x" * PASSWORD_BYTES, "x" * PASSWORD_BYTES, True, id="the-longest"),
        pytest.param("x" * PASSWORD_BYTES, "x" * (PASSWORD_BYTES + 1), False, id="one-longer"),
        pytest.param("correct horse", "", False, id="empty"),
        pytest.param("correct horse", "correct horse\0", False, id="nul"),
        pytest.param("correct horse", "\ud800", False, id="lone-surrogate"),
    ],
)
async def test_a_password_is_right_or_wrong(hasher, set_as, given, correct) -> None:
    """Only the same text, under Unicode composition, is the password."""
    verdict = await hasher.verify(await hasher.hash(set_as), given)
    assert verdict.correct is correct
    assert verdict.outdated is False


@pytest.mark.parametrize(
    ("password", "accepted"),
    [
        pytest.param("1234567", False, id="seven-characters"),
        pytest.param("12345678", True, id="eight-characters"),
        pytest.param("é" * 8, True, id="eight-characters-of-two-bytes"),
        pytest.param("x" * PASSWORD_BYTES, True, id="longest"),
        pytest.param("x" * (PASSWORD_BYTES + 1), False, id="one-byte-more"),
        pytest.param("é" * (PASSWORD_BYTES // 2 + 1), False, id="the-bound-is-in-bytes"),
        pytest.param("eight or more\0", False, id="nul"),
        pytest.param("eight or more\ud800", False, id="lone-surrogate"),
    ],
)
async def test_what_may_become_a_password(hasher, password, accepted) -> None:
    """A new password has 8 characters or more, 1024 bytes or less, no NUL, and the refusal does not repeat it."""
    if accepted:
        check_new_password(password)
        return
    with pytest.raises(PasswordRefusedError) as refused:
        await hasher.hash(password)
    assert password not in str(refused.value)


async def test_without_an_account_the_work_is_the_same(monkeypatch) -> None:
    """A check against nobody's hash says no after one hash of the same memory, time and lanes."""
    with PasswordHasher(workers=1, memory_kib=64) as hasher:
        stored = await hasher.hash("correct horse")
        checked = []
        check = hasher._verify
        monkeypatch.setattr(hasher, "_verify", lambda *given: (checked.append(given[0]), check(*given))[1])
        for against in (stored, None):
            assert (await hasher.verify(against, "wrong")).correct is False
    known, unknown = map(argon2.extract_parameters, checked)
    assert known == unknown
    assert known.memory_cost == 64


async def test_a_hash_that_is_no_hash_refuses(hasher) -> None:
    """A damaged row lets nobody in and raises nothing."""
    assert (await hasher.verify("$argon2id$damaged", "whatever it is")).correct is False


async def test_a_hash_of_other_parameters_is_called_outdated(hasher) -> None:
    """After a change of cost, a right password asks for a new hash; a wrong one does not."""
    with PasswordHasher(memory_kib=128, time_cost=1) as later:
        stored = await hasher.hash("correct horse")
        assert (await later.verify(stored, "correct horse")).outdated is True
        assert (await later.verify(stored, "wrong horse!!")).outdated is False
        assert (await later.verify(await later.rehash("correct horse"), "correct horse")).outdated is False


async def test_the_gate_refuses_the_one_too_many_and_opens_again() -> None:
    """Workers plus waiting are admitted, the next is refused at once, and afterwards all is as before."""
    with PasswordHasher(workers=1, waiting=2, memory_kib=8192) as hasher:
        results = await asyncio.gather(
            *(hasher.verify(None, "some password") for _ in range(5)), return_exceptions=True
        )
        busy = [result for result in results if isinstance(result, GateFull)]
        assert len(busy) == 2
        assert busy[0].retry_after >= 1
        assert (await hasher.verify(None, "some password")).correct is False


async def test_a_caller_that_leaves_does_not_free_the_thread() -> None:
    """The gate counts work, not callers: a cancelled check is counted until its thread is done."""
    with PasswordHasher(workers=1, waiting=0, memory_kib=32768) as hasher:
        leaving = asyncio.create_task(hasher.verify(None, "some password"))
        await asyncio.sleep(0.005)
        leaving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaving
        with pytest.raises(GateFull):
            await hasher.verify(None, "some password")
        async with asyncio.timeout(10):
            while True:
                await asyncio.sleep(0.01)
                with contextlib.suppress(GateFull):
                    assert (await hasher.verify(None, "some password")).correct is False
                    break


async def test_hashing_leaves_the_event_loop_free() -> None:
    """While a password is hashed, other requests are answered."""
    with PasswordHasher(workers=1, memory_kib=65536) as hasher:
        checking = asyncio.create_task(hasher.verify(None, "some password"))
        turns = 0
        while not checking.done():
            await asyncio.sleep(0.001)
            turns += 1
    assert turns > 3
