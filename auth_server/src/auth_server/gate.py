"""Threads for work that would hold up the event loop, behind a gate that refuses rather than queues without end."""

import asyncio
from collections.abc import Callable
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
        if not self._places.acquire(blocking=False):
            raise GateFull
        try:
            future = self._threads.submit(work, *arguments)
        except BaseException:
            self._places.release()
            raise
        # Given back when the thread is done, not when the caller leaves: what was cancelled costs its work too.
        future.add_done_callback(self._give_back)
        return await asyncio.wrap_future(future)

    def close(self) -> None:
        """Take no more work and drop what waits; what has begun is finished."""
        self._threads.shutdown(wait=True, cancel_futures=True)

    def _give_back(self, _done: Future[T]) -> None:
        self._places.release()
