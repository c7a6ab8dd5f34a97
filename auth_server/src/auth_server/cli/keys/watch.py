"""farseal-auth keys watch: the keys as they live."""

import asyncio
import contextlib
import signal
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

import click

from auth_server.cli.keys.access import look, settings
from auth_server.cli.keys.live import Row, live_table
from auth_server.cli.keys.outlook import moment
from auth_server.cli.keys.watching import Watching
from auth_server.cli.output import json_option, show_json, show_rows
from auth_server.cli.session import with_pool
from auth_server.storage.connection import Pool
from farseal.service.postgres import DatabaseUnavailable, database_errors

if TYPE_CHECKING:
    from rich.console import RenderableType

LOOK_SECONDS: Final = 5.0
"""A database that says nothing for so long is away, and the screen says so."""

COLUMNS: Final = ("At", "Key", "State", "Signatures", "Next", "When", "Why")

PAINTS_PER_SECOND: Final = 2
"""Enough for a countdown in seconds."""


@click.command(short_help="The living keys, counting down.")
@click.option(
    "--interval", type=click.FloatRange(0.1, 3600), default=2.0, show_default=True, help="Seconds between two looks."
)
@click.option("--once", is_flag=True, help="Look once and end.")
@json_option
def watch(*, interval: float, once: bool, as_json: bool) -> None:
    """Show every living key: state, age, signatures and how many a second, and what comes next, counting down.

    On a terminal it is a table that stays up to date until Ctrl-C. Elsewhere a tab-separated line is written whenever
    the state of a key or what comes next changes; with --json, one line of JSON for each look. A database that goes
    away is shown and awaited. Ctrl-C and SIGTERM end it with exit code 0.

    \b
    Examples:
      farseal-auth keys watch
      farseal-auth keys watch --interval 10 --json >> keys.jsonl
      farseal-auth keys watch --once --json | jq -r '.keys[] | select(.state == "active") | .kid'
    """
    watching = Watching(settings().policy)
    shown: JsonLines | Lines | Screen
    if as_json:
        shown = JsonLines(watching)
    elif once or not sys.stdout.isatty():
        shown = Lines(watching)
    else:
        shown = Screen(watching, interval)
    with_pool(lambda pool: _watch(pool, watching, shown, interval=interval, once=once))


class JsonLines:
    """One line of JSON for each look."""

    def __init__(self, watching: Watching) -> None:
        self._watching = watching

    def frame(self) -> contextlib.AbstractContextManager[object]:
        """Lines need nothing around them."""
        return contextlib.nullcontext()

    def show(self) -> None:
        """The keys; or, while the database is away, why it is."""
        watching = self._watching
        body: dict[str, Any] = {"at": moment(watching.now()), "sequence": watching.sequence}
        if watching.trouble is not None:
            show_json(body | {"unavailable": watching.trouble}, indent=None)
        else:
            show_json(body | {"keys": [row.body() for row in watching.rows()]}, indent=None)


class Lines:
    """Tab-separated lines for what has changed; with --once on a terminal a table."""

    def __init__(self, watching: Watching) -> None:
        self._watching = watching
        self._told: dict[str, tuple[object, ...]] | None = None
        self._trouble: str | None = None

    def frame(self) -> contextlib.AbstractContextManager[object]:
        """Lines need nothing around them."""
        return contextlib.nullcontext()

    def show(self) -> None:
        """What is new since the last time; that the database goes and comes is told on standard error."""
        watching = self._watching
        if watching.trouble != self._trouble:
            click.echo(f"farseal-auth: {watching.trouble or 'the database answers again'}", err=True)
            self._trouble = watching.trouble
        now = moment(watching.now())
        cells = {row.kid: _cells(row, now) for row in watching.rows()}
        outlook: dict[str, tuple[object, ...]] = {
            row.kid: (row.state, row.next, row.next_at) for row in watching.rows()
        }
        told, self._told = self._told, outlook
        if told is None:
            show_rows(COLUMNS, list(cells.values()), empty="There are no living keys.")
            return
        changed = [cells[kid] for kid in cells if told.get(kid) != outlook[kid]]
        left: list[tuple[object, ...]] = [
            (now, kid, "gone or revoked", None, None, None, None) for kid in told if kid not in outlook
        ]
        show_rows(None, changed + left, empty="")


class Screen:
    """A table on the terminal that is painted anew twice a second, whether or not the database answers."""

    def __init__(self, watching: Watching, interval: float) -> None:
        from rich.live import Live  # noqa: PLC0415 - for this command alone

        self._watching = watching
        self._interval = interval
        self._live = Live(get_renderable=self._paint, refresh_per_second=PAINTS_PER_SECOND)

    def frame(self) -> contextlib.AbstractContextManager[object]:
        """At its end the last table stays where it is, and the cursor is back."""
        return self._live

    def show(self) -> None:
        """Paint it now."""
        self._live.refresh()

    def _paint(self) -> "RenderableType":
        watching = self._watching
        return live_table(
            watching.rows(),
            now=watching.now(),
            sequence=watching.sequence,
            trouble=watching.trouble,
            silent_seconds=watching.silent_seconds(),
            interval=self._interval,
        )


async def _watch(
    pool: Pool, watching: Watching, shown: JsonLines | Lines | Screen, *, interval: float, once: bool
) -> None:
    with _until_told_to_stop() as stop, shown.frame():
        while not stop.is_set():
            try:
                with database_errors():
                    async with asyncio.timeout(LOOK_SECONDS), pool.acquire() as conn:
                        watching.saw(await look(conn))
            except DatabaseUnavailable as error:
                if once:
                    raise
                watching.missed(error.detail or str(error))
            shown.show()
            if once:
                return
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(interval):
                    await stop.wait()


@contextlib.contextmanager
def _until_told_to_stop() -> Iterator[asyncio.Event]:
    """An event that Ctrl-C and SIGTERM set: to end this command so is to end it well, with exit code 0."""
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    signals = (signal.SIGINT, signal.SIGTERM)
    for number in signals:
        loop.add_signal_handler(number, stop.set)
    try:
        yield stop
    finally:
        for number in signals:
            loop.remove_signal_handler(number)


def _cells(row: Row, now: object) -> tuple[object, ...]:
    return (now, row.kid, row.state, row.signatures, row.next, moment(row.next_at), row.why)
