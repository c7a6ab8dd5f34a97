"""The living keys as rows, and the rows as a table that counts down (pure)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from auth_server.cli.keys.outlook import moment, next_of
from auth_server.cli.output import harmless
from auth_server.cli.times import duration_words
from auth_server.keys.lifecycle import LIVING, KeyState
from auth_server.keys.planner import plan
from auth_server.keys.policy import RotationPolicy
from auth_server.storage.signing_keys import StoredKey
from farseal.clock import at

if TYPE_CHECKING:
    from rich.console import RenderableType

COLOURS = {
    KeyState.READY: "dim",
    KeyState.ANNOUNCED: "cyan",
    KeyState.ACTIVE: "bold green",
    KeyState.RETIRING: "yellow",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A living key at one moment. ``rate`` is in signatures a second, None while it is not known yet."""

    kid: str
    state: KeyState
    age_seconds: int
    signatures: int
    rate: float | None
    next: str | None
    next_at: int | None
    next_in_seconds: int | None
    why: str | None

    def body(self) -> dict[str, Any]:
        """For scripts."""
        return {
            "kid": self.kid,
            "state": self.state,
            "age_seconds": self.age_seconds,
            "signatures": self.signatures,
            "signatures_per_second": None if self.rate is None else round(self.rate, 2),
            "next": self.next,
            "next_at": moment(self.next_at),
            "next_in_seconds": self.next_in_seconds,
            "why": self.why,
        }


def rows_of(
    stored: Sequence[StoredKey], policy: RotationPolicy, now: int, rate: Callable[[str], float | None]
) -> tuple[Row, ...]:
    """The living keys, in the order of their lives: the one that has lived longest first."""
    steps = plan([one.key for one in stored], policy, now)
    found = []
    for one in stored:
        if one.state not in LIVING:
            continue
        coming = next_of(one.key, steps)
        at = None if coming is None else coming.at
        found.append(
            Row(
                kid=one.kid,
                state=one.state,
                age_seconds=max(0, now - one.key.created_at),
                signatures=one.signatures,
                rate=rate(one.kid),
                next=None if coming is None else coming.what,
                next_at=at,
                next_in_seconds=None if at is None else max(0, at - now),
                why=None if coming is None else coming.why,
            )
        )
    return tuple(sorted(found, key=lambda row: _ORDER.index(row.state)))


_ORDER = (KeyState.RETIRING, KeyState.ACTIVE, KeyState.ANNOUNCED, KeyState.READY)


def live_table(
    rows: Sequence[Row],
    *,
    now: int | None,
    sequence: int | None,
    trouble: str | None,
    silent_seconds: int,
    interval: float,
) -> "RenderableType":
    """The table, below it why it does not move, where it does not."""
    from rich.console import Group  # noqa: PLC0415 - a list needs no screen
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    table = Table(box=None, pad_edge=False, header_style="bold")
    # One line for each key, however narrow: the kid and the reason are cut before anything else is.
    table.add_column("Key", min_width=8)
    for name in ("State", "Age"):
        table.add_column(name, no_wrap=True)
    for name in ("Signatures", "per s"):
        table.add_column(name, no_wrap=True, justify="right")
    for name in ("Next", "In"):
        table.add_column(name, no_wrap=True)
    table.add_column("Why")
    for row in rows:
        table.add_row(
            Text(harmless(row.kid), no_wrap=True, overflow="ellipsis"),
            Text(row.state, style=COLOURS.get(row.state, "")),
            Text(duration_words(row.age_seconds)),
            Text(f"{row.signatures:,}"),
            Text("-" if row.rate is None else f"{row.rate:,.1f}"),
            Text(row.next or "-"),
            Text(_countdown(row.next_in_seconds), style="bold" if row.next_in_seconds == 0 else ""),
            Text(row.why or "-", style="dim", no_wrap=True, overflow="ellipsis"),
        )
    clock = "no look yet" if now is None else f"{at(now):%Y-%m-%d %H:%M:%SZ}, sequence {sequence}"
    head = Text(f"Signing keys, {clock}, every {interval:g} s, Ctrl-C ends", style="dim")
    if trouble is not None:
        end = Text(
            f"{harmless(trouble)}; nothing new for {duration_words(silent_seconds)}, asking on", style="bold red"
        )
    else:
        end = Text("" if rows else "There are no living keys; the server makes them at its first start.")
    return Group(head, table, end)


def _countdown(seconds: int | None) -> str:
    if seconds is None:
        return "-"
    return "now" if seconds == 0 else duration_words(seconds)
