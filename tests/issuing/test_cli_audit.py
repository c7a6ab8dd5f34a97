"""farseal-auth audit, and what keeps hostile text of the database from a terminal."""

import contextlib
import io
import json
import re
from datetime import UTC, datetime

import click
import pytest

from auth_server.cli import main, output
from auth_server.cli.parameters import Since
from auth_server.storage import audit
from farseal.clock import at, now
from tests.support.signing_keys import DAY, active, announced, insert, kid

NOW = 1_800_000_000


@pytest.fixture
def noted(cli):
    """Commands where three entries are, the last one a moment ago."""
    moment = now()
    entries = (
        {"at": at(moment - 10 * DAY), "actor": "server", "action": "make", "kid": kid("a"),
         "after": {"state": "ready"}},
        {"at": at(moment - 5 * DAY), "actor": "server", "action": "announce", "kid": kid("a"),
         "before": {"state": "ready", "announced_at": None}, "after": {"state": "announced", "announced_at": NOW}},
        {"at": at(moment - 60), "actor": "alice via root@host", "action": "revoke", "kid": kid("b"), "reason": "leaked",
         "before": {"state": "active"}, "after": {"state": "revoked", "revoked_at": NOW, "warnings": ["it breaks"]}},
    )  # fmt: skip

    async def write(conn) -> None:
        for entry in entries:
            await audit.append(conn, **entry)

    cli.inside(write)
    return cli


def test_the_newest_entry_is_the_first(noted) -> None:
    """In JSON as it is stored; for people the state, then what else differs, then the warnings."""
    newest, middle, oldest = noted.json("audit")
    assert newest["id"] > middle["id"] > oldest["id"]
    assert {name: newest[name] for name in ("actor", "action", "kid", "reason", "before")} == {
        "actor": "alice via root@host", "action": "revoke", "kid": kid("b"), "reason": "leaked",
        "before": {"state": "active"},
    }  # fmt: skip
    assert newest["after"] == {"state": "revoked", "revoked_at": NOW, "warnings": ["it breaks"]}
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", newest["at"])
    header, first, second, third = (line.split("\t") for line in noted.out("audit").splitlines())
    assert header == ["when", "who", "action", "key", "what", "reason"]
    assert first[1:] == [
        "alice via root@host", "revoke", kid("b"),
        "active -> revoked revoked_at=2027-01-15T08:00:00Z warning: it breaks", "leaked",
    ]  # fmt: skip
    assert second[4] == "ready -> announced announced_at=2027-01-15T08:00:00Z"
    assert third[4:] == ["ready", "-"]


@pytest.mark.parametrize(
    ("words", "actions"),
    [
        pytest.param((), ["revoke", "announce", "make"], id="all"),
        pytest.param(("--limit", "2"), ["revoke", "announce"], id="limit"),
        pytest.param(("--kid", kid("a")), ["announce", "make"], id="one-key"),
        pytest.param(("--action", "make"), ["make"], id="one-action"),
        pytest.param(("--since", "1h"), ["revoke"], id="an-hour"),
        pytest.param(("--since", "6d"), ["revoke", "announce"], id="days"),
        pytest.param(("--since", "30s"), [], id="nothing-so-new"),
        pytest.param(("--since", "2000-01-01"), ["revoke", "announce", "make"], id="a-date"),
        pytest.param(("--action", "announce", "--kid", kid("b")), [], id="both-must-hold"),
    ],
)
def test_entries_are_picked(noted, words, actions) -> None:
    """By key, action and age, the newest of them first, not more than asked for."""
    assert [entry["action"] for entry in noted.json("audit", *words)] == actions


def test_an_action_that_no_entry_has_is_told_with_those_that_there_are(noted) -> None:
    """On standard error, and no failure: what is asked for may come yet. Where other options leave none, it is good."""
    result = noted.run("audit", "--action", "revok", "--json")
    assert json.loads(result.stdout) == []
    assert result.stderr == "farseal-auth: there is no entry of that action; there are: announce, make, revoke\n"
    assert noted.run("audit", "--action", "make", "--since", "1h").stderr == ""


def test_an_audit_without_entries_has_no_action(cli) -> None:
    """Which is told as well."""
    assert cli.run("audit", "--action", "revoke").stderr.endswith("there are: none at all\n")
    assert cli.run("audit").stderr == ""


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        pytest.param("90s", NOW - 90, id="seconds"),
        pytest.param("30min", NOW - 1800, id="minutes"),
        pytest.param("6h", NOW - 21_600, id="hours"),
        pytest.param("7d", NOW - 7 * DAY, id="days"),
        pytest.param("999999d", 0, id="before-all-time"),
        pytest.param("2027-01-15T08:00:00Z", NOW, id="rfc3339"),
        pytest.param("2027-01-15T09:00+01:00", NOW, id="offset"),
        pytest.param("2027-01-15 08:00", NOW, id="utc-where-nothing-is-said"),
    ],
)
def test_since_is_a_duration_or_a_moment(text, moment) -> None:
    """Seen from now, or as it stands."""
    assert Since(lambda: at(NOW)).convert(text, None, None) == at(moment)
    assert Since(lambda: at(NOW)).convert(at(moment), None, None) == at(moment)


@pytest.mark.parametrize(
    "text", ["", "7", "7w", "d", "-7d", "1e3s", "yesterday", "2027-13-01", "0001-01-01T00:00+14:00"]
)
def test_what_is_no_moment_is_a_usage_error(text) -> None:
    """And says what would be one."""
    with pytest.raises(click.UsageError, match="expected 90s"):
        Since(lambda: datetime.now(UTC)).convert(text, None, None)  # noqa: TID251 - is not read


HOSTILE = "\x1b]0;owned\x07\x9b2J\u202egnp\ttab\nline"


class Terminal(io.StringIO):
    """Standard output with somebody looking."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("words", [("audit",), ("audit", "--json"), ("keys", "list"), ("keys", "list", "--json")])
def test_text_of_the_database_reaches_no_terminal_as_it_is(cli, words, monkeypatch) -> None:
    """Whoever can write to a table must not be able to write to an operator's terminal."""
    moment = now()
    cli.inside(lambda conn: insert(conn, active("signs", moment), announced("bad", moment)))
    cli.run("keys", "revoke", kid("bad"), "--reason", "drill", "--yes")

    async def write(conn) -> None:
        await conn.execute("UPDATE signing_keys SET revoked_reason = $1, kek_id = $1 WHERE state = 'revoked'", HOSTILE)
        after = {"state": HOSTILE, HOSTILE: HOSTILE, "gone_at": 10**300, "warnings": [HOSTILE]}
        await audit.append(conn, at=at(moment), actor=HOSTILE, action=HOSTILE, kid=HOSTILE, reason=HOSTILE, after=after)
        await audit.append(conn, at=at(moment), actor="x", action="x", after={"warnings": HOSTILE, "state": [HOSTILE]})

    cli.inside(write)
    monkeypatch.setenv("AUTH_SERVER_DATABASE_URL", cli.dsn)
    with contextlib.redirect_stdout(Terminal()) as shown, pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 0
    text = re.sub(r"\x1b\[[0-9;]*m", "", shown.getvalue())
    assert "owned" in text
    assert all(line.isprintable() for line in text.splitlines())
    piped = cli.out(*words)
    assert all(part.isprintable() for line in piped.splitlines() for part in line.split("\t"))
    if "--json" in words:
        assert any(HOSTILE in entry.values() for entry in json.loads(piped))


def test_json_is_the_same_value_however_it_is_escaped(capsys) -> None:
    """Letters stay letters; marks, controls and astral characters come back whole; a line is a line."""
    value = {"a": "é日😀", "b": [HOSTILE, "\U000e0041"]}
    output.show_json(value)
    shown = capsys.readouterr().out
    assert json.loads(shown) == value
    assert "é日😀" in shown
    output.show_json(value, indent=None)
    (line,) = capsys.readouterr().out.splitlines()
    assert json.loads(line) == value
