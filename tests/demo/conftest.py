"""Fixtures of the demo's tests."""

import socket

import pytest

from demo.ports import is_busy
from demo.services import Addresses


@pytest.fixture
def free_base_port() -> int:
    """The first of six free ports."""
    for _ in range(100):
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port = int(probe.getsockname()[1])
        if port < 65000 and not any(is_busy(one) for one in Addresses(port).ports):
            return port
    raise AssertionError("no free ports")
