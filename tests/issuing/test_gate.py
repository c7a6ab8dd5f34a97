"""The gate in front of threads: who gets in, who is sent away, and when a place is given back."""

import asyncio
import threading
from collections.abc import Iterator

import pytest

from auth_server.gate import Gate, GateFull


@pytest.fixture
def go() -> Iterator[threading.Event]:
    """Blocked work waits for it; set at the end, whatever happened."""
    event = threading.Event()
    yield event
    event.set()


@pytest.fixture
def gate(go: threading.Event) -> Iterator[Gate]:
    gate = Gate("test", threads=1, waiting=1)
    yield gate
    go.set()
    gate.close()


def blocked(gate: Gate, go: threading.Event) -> "asyncio.Task[bool]":
    return asyncio.create_task(gate.run(go.wait, 10))


async def eventually_admits(gate: Gate) -> bool:
    async with asyncio.timeout(10):
        while True:
            try:
                return await gate.run(bool, 1)
            except GateFull:
                await asyncio.sleep(0.001)


async def test_work_comes_back_from_a_thread_of_that_name(gate: Gate) -> None:
    """What is returned and what is raised reach the caller."""
    assert (await gate.run(threading.current_thread)).name.startswith("test")
    with pytest.raises(ValueError, match="invalid literal"):
        await gate.run(int, "x")


async def test_one_works_one_waits_the_next_is_refused(gate: Gate, go: threading.Event) -> None:
    """The boundary is threads plus waiting, the refusal says when to come back, and the room opens again."""
    inside = [blocked(gate, go) for _ in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(GateFull) as refused:
        await gate.run(bool, 1)
    assert refused.value.retry_after >= 1
    go.set()
    assert await asyncio.gather(*inside) == [True, True]
    assert await eventually_admits(gate)


async def test_a_caller_that_leaves_the_queue_gives_its_place_back(gate: Gate, go: threading.Event) -> None:
    """Clients that hang up before their turn do not fill the gate."""
    first, second = blocked(gate, go), blocked(gate, go)
    await asyncio.sleep(0)
    second.cancel()
    with pytest.raises(asyncio.CancelledError):
        await second
    third = blocked(gate, go)
    await asyncio.sleep(0)
    go.set()
    assert await first is True
    assert await third is True


async def test_a_caller_that_leaves_its_thread_keeps_the_place(gate: Gate, go: threading.Event) -> None:
    """The gate counts work, not callers: what was begun occupies its thread until it is done."""
    started = threading.Event()
    leaving = asyncio.create_task(gate.run(lambda: (started.set(), go.wait(10))))
    await asyncio.to_thread(started.wait, 10)
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    waiting = blocked(gate, go)
    await asyncio.sleep(0)
    with pytest.raises(GateFull):
        await gate.run(bool, 1)
    go.set()
    assert await waiting is True


async def test_a_closed_gate_keeps_raising_its_own_error() -> None:
    """A place that was taken for work that no thread accepts is given back: the tenth call is no `GateFull`."""
    gate = Gate("test", threads=1, waiting=1)
    gate.close()
    for _ in range(10):
        with pytest.raises(RuntimeError):
            await gate.run(bool, 1)
