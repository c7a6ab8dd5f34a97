"""Fixtures of the demo's tests."""

import random

import pytest

from demo.ports import is_busy
from demo.services import Addresses


@pytest.fixture
def free_base_port() -> int:
    """The first of the demo's free ports, which the next minute does not take away."""
    for _ in range(100):
        # Below the ports that systems give to outgoing connections: those may be taken before the demo is.
        port = random.SystemRandom().randrange(20_000, 32_000)
        if not any(is_busy(one) for one in Addresses(port).ports):
            return port
    raise AssertionError("no free ports")
