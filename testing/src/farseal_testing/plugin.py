"""The pytest plugin: an issuer for each test. Where it is installed, nothing has to be written into conftest.py.

A project that wants another name or clock overrides the fixture:

    @pytest.fixture
    def farseal_issuer(tmp_path):
        return Issuer(tmp_path, issuer="https://login.example")
"""

from pathlib import Path

import pytest

from farseal_testing.issuer import Forgery, Issuer


@pytest.fixture
def farseal_issuer(tmp_path: Path) -> Issuer:
    """An issuer of this test's own, `farseal_testing.issuer.Issuer`, with its documents published in a directory."""
    return Issuer(tmp_path / "farseal-published")


@pytest.fixture(params=list(Forgery), ids=lambda forgery: forgery.name.lower())
def farseal_forgery(request: pytest.FixtureRequest) -> Forgery:
    """Each way to forge a token, one test for each: ``issuer.forged(farseal_forgery, token)`` gets its ``code``."""
    forgery: Forgery = request.param
    return forgery
