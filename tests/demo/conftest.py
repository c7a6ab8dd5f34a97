"""Fixtures of the demo's tests."""

import pytest

from demo.services import Addresses
from tests.support.ports import free_base


@pytest.fixture
def free_base_port() -> int:
    """The first of the demo's free ports."""
    return free_base(lambda port: Addresses(port).ports)
