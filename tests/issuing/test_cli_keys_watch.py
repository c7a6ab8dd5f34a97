"""farseal-auth keys watch: in a pipe, in JSON, and on a terminal."""

import contextlib
import io
import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

import asyncpg
import pytest
from rich.console import Console

from auth_server.cli.keys.access import Look
from auth_server.cli.keys.live import live_table, rows_of
from auth_server.cli.keys.watching import Watching
from farseal.clock import now
from tests.support.postgres import run_apart
from tests.support.signing_keys import DAY, POLICY, active, announced, insert, kid, ready, retiring, stored

PATIENCE_SECONDS = 20
NOW = 1_800_000_000


def at_rest(moment: int) -> tuple:
    """Keys that the plan has something to say of."""
    return (
        retiring("old", moment - 3600), stored(active("signs", moment - 3600), signatures=1000),
        announced("next", moment - DAY), ready("pool", moment - 60),
    )  # fmt: skip


@pytest.fixture
def held(cli):
    """Commands where four keys live."""
    cli.inside(lambda conn: insert(conn, *at_rest(now())))
    return cli


def test_each_key_is_told_what_comes_next(held) -> None:
    """The longest-lived one first; what has no date has a reason. Looking once needs no terminal."""
    found = held.json("keys", "watch", "--once")
    assert found["sequence"] == 1
    rows = {row["kid"]: row for row in found["keys"]}
    assert list(rows) == [kid("old"), kid("signs"), kid("next"), kid("pool")]
    assert rows[kid("old")]["next"] == "goes"
    assert rows[kid("old")]["next_in_seconds"] == pytest.approx(POLICY.retirement_seconds(DAY) - 3600, abs=30)
    signs, following = rows[kid("signs")], rows[kid("next")]
    assert (signs["next"], following["next"]) == ("retires", "signs")
    assert signs["next_at"] == following["next_at"]
    assert (signs["signatures"], signs["signatures_per_second"]) == (1000, None)
    pool = {name: rows[kid("pool")][name] for name in ("state", "next", "next_at", "next_in_seconds", "why")}
    assert pool == {
        "state": "ready", "next": "is announced", "next_at": None, "next_in_seconds": None,
        "why": "waits in the pool until the announced key signs",
    }  # fmt: skip
    header, *lines = held.out("keys", "watch", "--once").splitlines()
    assert header.split("\t") == ["at", "key", "state", "signatures", "next", "when", "why"]
    assert [line.split("\t")[1:3] for line in lines] == [
        [kid("old"), "retiring"], [kid("signs"), "active"], [kid("next"), "announced"], [kid("pool"), "ready"],
    ]  # fmt: skip


def test_looking_once_needs_a_database(cli) -> None:
    """Nobody waits for one that is not there at the start."""
    cli.env["AUTH_SERVER_DATABASE_URL"] = "postgresql://u@127.0.0.1:1/x"
    assert "no database answered" in cli.refused("keys", "watch", "--once", code=3)
    assert "no database answered" in cli.refused("keys", "watch", code=3)


@pytest.mark.parametrize(
    ("keys", "outlook"),
    [
        pytest.param([ready("a", NOW)], [("a", "signs", NOW)], id="nobody-signs"),
        pytest.param([active("a", NOW)], [("a", "retires", None)], id="no-successor"),
        pytest.param(
            [active("a", NOW - 40 * DAY), announced("b", NOW, published=False)],
            [("a", "retires", None), ("b", "signs", None)], id="not-published",
        ),
        pytest.param(
            [active("a", NOW - 40 * DAY), announced("b", NOW - DAY), announced("c", NOW)],
            [("a", "retires", NOW), ("b", "signs", NOW), ("c", "signs", None)], id="one-too-many",
        ),
        pytest.param([retiring("a", NOW - 9 * DAY)], [("a", "goes", None)], id="nobody-signs-so-nobody-goes"),
    ],
)  # fmt: skip
def test_the_outlook_follows_the_plan(keys, outlook) -> None:
    """Whatever is due counts down to now and no further."""
    rows = rows_of([stored(key) for key in keys], POLICY, NOW, lambda _: None)
    assert [(row.kid, row.next, row.next_at) for row in rows] == [(kid(name), *rest) for name, *rest in outlook]
    assert all(row.next_in_seconds in (None, 0) for row in rows)
    assert all(row.why for row in rows)


def test_signatures_per_second_are_counted_over_ten_seconds() -> None:
    """Not from one look alone, and not from what was before the window; time goes on while nobody answers."""
    clock = [100.0]
    watching = Watching(POLICY, monotonic=lambda: clock[0])
    assert (watching.rows(), watching.now(), watching.rate(kid("a"))) == ((), None, None)
    counts = [0, 50, 100, 100, 100, 100, 100, 100, 400]
    for count in counts:
        watching.saw(Look(NOW + int(clock[0]), 1, (stored(active("a", NOW), signatures=count),)))
        clock[0] += 2
    assert watching.rate(kid("a")) == pytest.approx(30)
    assert watching.rate(kid("b")) is None
    clock[0] += 58
    watching.missed("away")
    assert watching.silent_seconds() == 60
    assert watching.now() == NOW + 116 + 60
    assert watching.trouble == "away"


def painted(rows, *, width: int, **more) -> list[str]:
    """The table as a terminal of ``width`` columns shows it, without its styles."""
    console = Console(width=width, file=io.StringIO())
    console.print(
        live_table(rows, **{"now": NOW, "sequence": 7, "trouble": None, "silent_seconds": 0, "interval": 2.0, **more})
    )
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


def counting(seconds: int) -> tuple:
    """Rows of two keys, of which one takes over in so many seconds."""
    keys = (active("signs", NOW - 30 * DAY + seconds), announced("next", NOW - 2 * DAY))
    return rows_of([stored(key, signatures=1_234_567) for key in keys], POLICY, NOW, lambda _: 12.34)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(2 * DAY, "2 d"), (3661, "1 h 1 min"), (61, "1 min 1 s"), (1, "1 s"), (0, "now"), (-5, "now")],
)
def test_the_table_counts_down_to_now(seconds, words) -> None:
    """And stays at now until somebody has done it."""
    header, *rows = painted(counting(seconds), width=160)[1:3]
    assert header.split() == ["Key", "State", "Age", "Signatures", "per", "s", "Next", "In", "Why"]
    assert re.search(rf"^{kid('signs')}  active .+ 1,234,567   12\.3  retires  {words}  ", rows[0])


@pytest.mark.parametrize("width", [160, 120, 80])
def test_a_key_is_one_line_however_narrow_the_terminal_is(width) -> None:
    """The kid and the reason are cut, nothing else is."""
    head, _, first, second, end = painted(counting(60), width=width)
    assert head == "Signing keys, 2027-01-15 08:00:00Z, sequence 7, every 2 s, Ctrl-C ends"
    assert end == ""
    for line, state in ((first, "active"), (second, "announced")):
        assert state in line.split()
        assert "1,234,567" in line
        assert "1 min" in line


def test_what_stands_in_the_way_is_below_the_table() -> None:
    """The last look stays, with its age; text of a database is no command; no keys and no look yet are told."""
    lines = painted(counting(60), width=120, trouble="gone \x1b[2J", silent_seconds=75)
    assert lines[-1] == r'"gone \u001b[2J"; nothing new for 1 min 15 s, asking on'
    assert len(lines) == 5
    assert painted((), width=120)[-1] == "There are no living keys; the server makes them at its first start."
    assert painted((), width=120, now=None)[0].startswith("Signing keys, no look yet, ")


class Running:
    """`farseal-auth keys watch WORDS` as a program of its own, whose output is read as it comes."""

    def __init__(self, cli, *words: str, terminal: bool = False) -> None:
        environ = {"AUTH_SERVER_DATABASE_URL": cli.dsn, "PATH": os.environ["PATH"], "TERM": "xterm", "COLUMNS": "160"}
        self.text = ""
        self._ours, theirs = pty.openpty() if terminal else os.pipe()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "auth_server", "keys", "watch", *words],
            env=environ, stdin=theirs if terminal else subprocess.DEVNULL, stdout=theirs, stderr=subprocess.STDOUT,
        )  # fmt: skip
        os.close(theirs)

    def until(self, seen: Callable[[str], object]) -> str:
        """Read on until ``seen`` finds what it looks for in all that was written."""
        end = time.monotonic() + PATIENCE_SECONDS
        while not seen(self.text):
            assert time.monotonic() < end, self.text
            if select.select([self._ours], [], [], 0.1)[0]:
                with contextlib.suppress(OSError):  # Linux says EIO at the end of a terminal
                    self.text += os.read(self._ours, 65536).decode()
        return self.text

    def since(self) -> str:
        """Forget what was written until now."""
        text, self.text = self.text, ""
        return text

    def end(self, number: signal.Signals) -> int:
        """Its exit code after a signal."""
        self.process.send_signal(number)
        return self.process.wait(PATIENCE_SECONDS)

    def close(self) -> None:
        """Leave nothing behind."""
        self.process.kill()
        self.process.wait()
        os.close(self._ours)


@pytest.fixture
def watch(held) -> Iterator[Callable[..., Running]]:
    """Starts one, and ends it after the test."""
    running: list[Running] = []

    def start(*words: str, terminal: bool = False) -> Running:
        running.append(Running(held, *words, terminal=terminal))
        return running[-1]

    yield start
    for one in running:
        one.close()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_line_of_json_for_each_look(held, watch, number) -> None:
    """What changes meanwhile is in the next one; a signal ends it with exit code 0 and nothing broken off."""
    running = watch("--json", "--interval", "0.2")
    running.until(lambda text: text.count("\n") >= 2)
    held.rows("UPDATE signing_keys SET signatures = signatures + 500 WHERE state = 'active'")
    held.run("keys", "activate")
    running.until(lambda text: '"sequence": 2' in text and text.endswith("\n"))
    assert running.end(number) == 0
    looks = [json.loads(line) for line in running.text.splitlines()]
    first, last = ({row["kid"]: row for row in look["keys"]} for look in (looks[0], looks[-1]))
    assert (first[kid("signs")]["state"], last[kid("signs")]["state"]) == ("active", "retiring")
    assert (first[kid("next")]["state"], last[kid("next")]["state"]) == ("announced", "active")
    assert last[kid("signs")]["signatures"] == 1500
    assert last[kid("signs")]["signatures_per_second"] > 0


def test_in_a_pipe_a_line_is_written_when_something_changes(held, watch) -> None:
    """The keys as they are, then only what is new; a key that is not living any more is named once."""
    running = watch("--interval", "0.1")
    running.until(lambda text: text.count("\n") == 5)
    time.sleep(0.5)
    running.until(lambda text: text.count("\n") == 5)
    running.since()
    held.run("keys", "retire", kid("pool"))
    (line,) = running.until(lambda text: text.endswith("\n")).splitlines()
    assert line.split("\t")[1:] == [kid("pool"), "gone or revoked", "-", "-", "-", "-"]
    assert running.end(signal.SIGINT) == 0


def without_styles(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)


async def _elsewhere(server, old: str, new: str) -> None:
    """Give a database another name, for whose old name the server then refuses everybody."""
    connection = await asyncpg.connect(server.dsn)
    try:
        for _ in range(200):
            await connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1", old)
            with contextlib.suppress(asyncpg.ObjectInUseError):
                await connection.execute(f"ALTER DATABASE {old} RENAME TO {new}")
                return
    finally:
        await connection.close()
    raise AssertionError(f"{old} is always in use")


def test_on_a_terminal_a_table_lives(held, watch, postgres_server) -> None:
    """It counts down, shows a change, waits for a database that goes away, and leaves the cursor as it was."""
    running = watch("--interval", "0.2", terminal=True)
    shown = without_styles(running.until(lambda text: kid("pool") in text))
    assert "Ctrl-C ends" in shown
    row = next(line for line in shown.splitlines() if line.startswith(kid("signs")))
    assert row.split()[1:3] == ["active", "2"]
    assert "1,000" in row
    held.rows("UPDATE signing_keys SET signatures = 2500 WHERE state = 'active'")
    held.run("keys", "activate")
    running.until(lambda text: "2,500" in text and "sequence 2" in text)
    name = urlsplit(held.dsn).path[1:]
    run_apart(_elsewhere(postgres_server, name, f"{name}_away"))
    running.since()
    shown = without_styles(running.until(lambda text: "nothing new for 1 s, asking on" in text))
    assert "the database cannot be reached" in shown
    assert kid("signs") in shown, "what was seen last stays"
    run_apart(_elsewhere(postgres_server, f"{name}_away", name))
    held.run("keys", "retire", kid("pool"))
    running.until(lambda text: "sequence 3" in text)
    running.since()
    assert running.end(signal.SIGINT) == 0
    assert "\x1b[?25h" in running.until(lambda text: "\x1b[?25h" in text), "the cursor is back"
    assert "Traceback" not in running.text


def test_a_database_that_goes_away_is_told_and_awaited_in_a_pipe_too(held, watch, postgres_server) -> None:
    """In JSON the line says why it has no keys."""
    running = watch("--json", "--interval", "0.1")
    running.until(lambda text: '"keys"' in text)
    name = urlsplit(held.dsn).path[1:]
    run_apart(_elsewhere(postgres_server, name, f"{name}_away"))
    running.until(lambda text: '"unavailable": "the database cannot be reached"' in text)
    run_apart(_elsewhere(postgres_server, f"{name}_away", name))
    running.since()
    running.until(lambda text: '"keys"' in text)
    assert running.end(signal.SIGTERM) == 0
