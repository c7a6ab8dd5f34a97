"""Ports for stacks that are started as programs."""

import random
from collections.abc import Callable, Iterable

from demo.ports import is_busy


def free_base(ports: Callable[[int], Iterable[int]]) -> int:
    """The first of a stack's ports, all free, which the next minute does not take away.

    Args:
        ports: gives all of them for a first one.
    """
    for _ in range(100):
        # Below the ports that systems give to outgoing connections: those may be taken before the stack is.
        port = random.SystemRandom().randrange(20_000, 32_000)
        if not any(is_busy(one) for one in ports(port)):
            return port
    raise AssertionError("no free ports")
