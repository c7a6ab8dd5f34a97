"""Threads for work that would hold up the event loop, behind a gate that refuses rather than queues without end."""

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from threading import BoundedSemaphore
from typing import Final, TypeVar

T = TypeVar("T")


class GateFull(Exception):  # noqa: N818 - a state of the server, not a fault of the caller
    """No place is left: answer 503 with ``Retry-After: retry_after``, the load is a matter of seconds."""

    retry_after: Final = 1


class Gate:
    """A few threads and a bounded number of places in front of them. Close it when the service ends.

    Args:
        name: of the threads, for whoever looks at a dump.
        threads: pieces of work that are done at once.
        waiting: how many more may wait; the next is refused.
    """

    def __init__(self, name: str, *, threads: int, waiting: int) -> None:
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix=name)
        self._places = BoundedSemaphore(threads + waiting)

    async def run(self, work: Callable[..., T], *arguments: object) -> T:
        """What ``work`` returns or raises, from a thread.

        Raises:
            GateFull: too much waits already.
            RuntimeError: the gate is closed.
        """
        with self.reserved() as place:
            return await place.run(work, *arguments)

    @contextlib.contextmanager
    def reserved(self) -> "Iterator[Place]":
        """A place for one piece of work, for who must not be refused any more once it has begun.

        Raises:
            GateFull: too much waits already.
        """
        if not self._places.acquire(blocking=False):
            raise GateFull
        place = Place(self._threads, self._places)
        try:
            yield place
        finally:
            place.leave()

    def close(self) -> None:
        """Take no more work and drop what waits; what has begun is finished."""
        self._threads.shutdown(wait=True, cancel_futures=True)


class Place:
    """Room for one piece of work in a gate, see `Gate.reserved`."""

    def __init__(self, threads: ThreadPoolExecutor, places: BoundedSemaphore) -> None:
        self._threads = threads
        self._places = places
        self._begun = False

    async def run(self, work: Callable[..., T], *arguments: object) -> T:
        """What ``work`` returns or raises, from a thread; once.

        Raises:
            RuntimeError: the gate is closed.
        """
        if self._begun:
            raise RuntimeError("the place is for one piece of work")
        future = self._threads.submit(work, *arguments)
        self._begun = True
        # Given back when the thread is done, not when the caller leaves: what was cancelled costs its work too.
        future.add_done_callback(self._give_back)
        return await asyncio.wrap_future(future)

    def leave(self) -> None:
        """Give the place back, unless work has begun in it, which does so at its end."""
        if not self._begun:
            self._places.release()

    def _give_back(self, _done: Future[T]) -> None:
        self._places.release()
