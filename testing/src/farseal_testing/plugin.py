"""The pytest plugin: an issuer for each test. Where it is installed, nothing has to be written into conftest.py.

It is loaded before any test, and before coverage is measured: so it imports nothing of what a project may test.

A project that wants another name or clock overrides the fixture:

    @pytest.fixture
    def farseal_issuer(tmp_path):
        return Issuer(tmp_path, issuer="https://login.example")
"""

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from farseal_testing.forge import Forgery

if TYPE_CHECKING:
    from farseal_testing.issuer import Issuer


@pytest.fixture
def farseal_issuer(tmp_path: Path) -> "Issuer":
    """An issuer of this test's own, `farseal_testing.issuer.Issuer`, with its documents published in a directory."""
    from farseal_testing.issuer import Issuer  # noqa: PLC0415 - only where a test asks for one

    return Issuer(tmp_path / "farseal-published")


@pytest.fixture(params=list(Forgery), ids=lambda forgery: forgery.name.lower())
def farseal_forgery(request: pytest.FixtureRequest) -> Forgery:
    """Each way to forge a token, one test for each: ``issuer.forged(farseal_forgery, token)`` gets its ``code``."""
    forgery: Forgery = request.param
    return forgery
