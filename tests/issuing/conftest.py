"""Fixtures of the issuer's tests."""

from tests.support.commands import cli, empty_cli

__all__ = ["cli", "empty_cli"]
