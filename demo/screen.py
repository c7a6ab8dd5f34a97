"""What the visitor sees: colours and a spinner on a terminal, plain lines everywhere else."""

import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import IO

from rich.console import Console
from rich.text import Text

from demo.tour.verdict import Verdict

MARK_WIDTH = 6


class Screen:
    """Writes lines; every line is whole, so that a log of them reads well."""

    def __init__(self, file: IO[str] | None = None) -> None:
        self._console = Console(file=file, highlight=False, emoji=False)

    @contextmanager
    def step(self, doing: str) -> Iterator[None]:
        """Show that something is being done, then that it is done and how long it took."""
        began = time.perf_counter()
        with self.busy(doing):
            yield
        self._line("ok", "green", f"{doing} ({time.perf_counter() - began:.1f} s)")

    @contextmanager
    def busy(self, doing: str) -> Iterator[None]:
        """Spin while something is being done; says nothing when not on a terminal."""
        with self._console.status(Text(doing)) if self._console.is_terminal else nullcontext():
            yield

    def verdict(self, verdict: Verdict) -> None:
        """Show an act's verdict: one line, and one more for each fault."""
        mark, style = ("held", "bold green") if verdict.holds else ("BROKEN", "bold red")
        self._line(mark, style, f"{verdict.number}. {verdict.title}: {verdict.figures}")
        for fault in verdict.faults:
            self._line("", "", f"   {fault}")

    def say(self, text: str = "", *, style: str = "") -> None:
        """Write text as it is."""
        self._console.print(Text(text, style=style), soft_wrap=True)

    def _line(self, mark: str, style: str, text: str) -> None:
        self._console.print(Text.assemble((mark.ljust(MARK_WIDTH), style), " ", text), soft_wrap=True)
