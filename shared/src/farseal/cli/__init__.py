"""The commands of the library, for people at a terminal and for scripts."""

from farseal.cli.command import main

__all__ = ["main"]
