"""Fixtures of the demo's tests."""

import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from demo.services import Addresses
from demo.stack import is_busy


@pytest.fixture
def free_base_port() -> int:
    """The first of six free ports."""
    for _ in range(100):
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port = int(probe.getsockname()[1])
        if port < 65000 and not any(is_busy(one) for one in Addresses(port).ports):
            return port
    raise AssertionError("no free ports")


@pytest.fixture
def reachable_directory() -> Iterator[Path]:
    """A folder that any user of the machine can pass, unlike pytest's own: root's PostgreSQL is another user."""
    with tempfile.TemporaryDirectory(prefix="farseal-test-", ignore_cleanup_errors=True) as directory:
        Path(directory).chmod(0o755)
        yield Path(directory)
