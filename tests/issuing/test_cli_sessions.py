"""farseal-auth sessions: who is logged in, and how that ends."""

import contextlib
import io
import json
import re
import uuid
from dataclasses import replace
from datetime import timedelta

import pytest

from auth_server.cli import output, prompts
from auth_server.cli.sessions import ends
from auth_server.cli.sessions.outlook import outlook
from auth_server.grants.refresh_rules import ClientTerms
from auth_server.keys.custody import LocalKey
from auth_server.keys.public_key import PublicKey
from auth_server.storage import grants, status_lists
from auth_server.storage.grants import NewGrant
from auth_server.storage.session_list import SessionRow
from farseal.clock import at, now
from farseal.encoding import b64url_decode, b64url_encode
from tests.support.accounts import accounts_pool
from tests.support.postgres import run_apart
from tests.support.signing_keys import active, insert, stored
from tests.support.status import ISSUER, private, replica

LIST = "L" * 16
ALICE, ALICE_AGAIN, BOB, BATCH = (uuid.UUID(int=number) for number in range(1, 5))
DAY = timedelta(days=1)
BOUND = "Verifiers refuse their tokens within 1 s from a directory, 6 s over HTTP."


@pytest.fixture
def sessions(cli):
    """Commands where alice is logged in twice, bob once, and a client has its own; alice's second one is the newest."""
    people = {
        name: uuid.UUID(cli.json("user", "create", name, "--no-password")["id"]) for name in ("alice", "bob", "carol")
    }
    cli.run("client", "create", "batch")
    begun = at(now()) - timedelta(hours=1)

    async def begin(conn) -> None:
        await conn.execute(status_lists.INSERT, LIST, 1024, bytes(16))
        for index, (session, name) in enumerate([(BOB, "bob"), (ALICE, "alice"), (ALICE_AGAIN, "alice")]):
            new = NewGrant(
                id=session, client_id="login", user_id=people[name], audience=("http://a",), scopes=("read",),
                created_at=begun + timedelta(minutes=index), expires_at=begun + 30 * DAY, address="192.0.2.7",
                agent=f"Browser {index}", status_list=LIST, status_index=index, history=DAY, refresh_hash=bytes(32),
                refresh_nonce=b"n" * 32,
            )  # fmt: skip
            assert await grants.add_login(conn, new, password_changed_at=None)
        own = replace(new, id=BATCH, client_id="batch", user_id=None, status_index=9, refresh_hash=None, agent="")
        own = replace(own, refresh_nonce=None, created_at=begun - DAY)
        async with conn.transaction():
            assert await grants.add_standing(conn, own, instead_of=None)

    cli.inside(begin)
    return cli


def ids(found) -> list[uuid.UUID]:
    """Of sessions in JSON."""
    return [uuid.UUID(one["id"]) for one in found]


def revoked(cli) -> set[int]:
    """The entries whose bits are set."""
    return {index for (index,) in cli.rows("SELECT index FROM status_revocations")}


def test_those_that_live_are_listed_the_last_used_one_first(sessions) -> None:
    """With tabs where nobody looks; a client's own is nobody's."""
    header, *rows = (line.split("\t") for line in sessions.out("sessions", "list").splitlines())
    assert header == ["id", "who", "client", "last use", "address", "agent", "ends"]
    assert [(row[0], row[1], row[2], row[4], row[5]) for row in rows] == [
        (str(ALICE_AGAIN), "alice", "login", "192.0.2.7", "Browser 2"),
        (str(ALICE), "alice", "login", "192.0.2.7", "Browser 1"),
        (str(BOB), "bob", "login", "192.0.2.7", "Browser 0"),
        (str(BATCH), "-", "batch", "192.0.2.7", "-"),
    ]
    newest = sessions.json("sessions", "list")[0]
    assert (newest["state"], newest["username"], newest["refresh"], newest["ended_at"]) == (
        "living",
        "alice",
        "rotate",
        None,
    )
    assert newest["idle_until"] == newest["ends_at"] < newest["expires_at"]
    assert not [name for name in newest if "hash" in name or "nonce" in name]


@pytest.mark.parametrize(
    ("words", "found"),
    [
        pytest.param(("--user", "ALICE"), [ALICE_AGAIN, ALICE], id="person"),
        pytest.param(("--user", "carol"), [], id="nobody"),
        pytest.param(("--client", "batch"), [BATCH], id="client"),
        pytest.param(("--user", "alice", "--client", "batch"), [], id="both-must-hold"),
        pytest.param(("--user", str(uuid.UUID(int=99))), [], id="id-of-nobody"),
        pytest.param(("--ended",), [], id="over"),
        pytest.param(("--limit", "2"), [ALICE_AGAIN, ALICE], id="limit"),
        pytest.param(("--limit", "4"), [ALICE_AGAIN, ALICE, BOB, BATCH], id="limit-that-is-enough"),
    ],
)
def test_sessions_are_picked(sessions, words, found) -> None:
    """By person, client and state. That there are more is said on standard error."""
    result = sessions.run("sessions", "list", *words, "--json")
    assert ids(json.loads(result.stdout)) == found
    assert ("there are more than 2" in result.stderr) is (words == ("--limit", "2"))


@pytest.mark.parametrize(
    ("words", "said", "code"),
    [
        pytest.param(("list", "--user", "dave"), "there is no user dave", 1, id="list-unknown-user"),
        pytest.param(("list", "--client", "x"), "there is no client x", 1, id="list-unknown-client"),
        pytest.param(("show", str(uuid.UUID(int=99))), "there is no session", 1, id="show-unknown"),
        pytest.param(("show", "x"), "not a valid UUID", 2, id="show-no-id"),
        pytest.param(("end", str(ALICE), str(uuid.UUID(int=99))), "there is no session", 1, id="end-unknown"),
        pytest.param(("end", "--user", "dave"), "there is no user", 1, id="end-unknown-user"),
        pytest.param(("end", "--client", "x"), "there is no client", 1, id="end-unknown-client"),
        pytest.param(("end",), "give either", 2, id="end-nothing"),
        pytest.param(("end", str(ALICE), "--all"), "give either", 2, id="end-two-ways"),
        pytest.param(("end", "--user", "alice", "--client", "login"), "give either", 2, id="end-two-others"),
        pytest.param(("end", "--user", "alice"), "--yes", 2, id="end-two-unasked"),
        pytest.param(("end", "--all"), "--yes", 2, id="end-all-unasked"),
    ],
)
def test_what_cannot_be_is_refused_and_nothing_ends(sessions, words, said, code) -> None:
    """Not even those of the words that were good."""
    assert said in sessions.refused("sessions", *words, code=code)
    assert len(sessions.json("sessions", "list")) == 4
    assert revoked(sessions) == set()


def test_one_session_is_shown_whole(sessions) -> None:
    """How it stands, and where its end is published; afterwards what ended it, and since when."""
    shown = sessions.json("sessions", "show", str(ALICE))
    assert (shown["status_list"], shown["status_index"], shown["revoked_in_version"]) == (LIST, 1, None)
    assert (shown["audience"], shown["scopes"], shown["generation"]) == (["http://a"], ["read"], 0)
    assert shown["status_uri"] is None
    sessions.env["AUTH_SERVER_ISSUER"] = ISSUER
    uri = f"{ISSUER}/.well-known/status/{LIST}.jwt"
    assert sessions.json("sessions", "show", str(ALICE))["status_uri"] == uri
    words = sessions.out("sessions", "show", str(ALICE))
    assert "state               living\n" in words
    assert ", in 6 d 23 h" in words
    assert "n" * 32 not in words
    sessions.run("sessions", "end", str(ALICE))
    after = sessions.json("sessions", "show", str(ALICE))
    assert (after["state"], after["ended_by"], after["revoked_in_version"]) == ("ended", "operator", 2)
    assert re.search(r"ended_at .*Z, (now|\d s ago)\n", sessions.out("sessions", "show", str(ALICE)))


def test_one_session_ends_and_the_others_live(sessions) -> None:
    """Its bit is set, and it is told with how soon verifiers go by it; a second time there is nothing to end."""
    assert sessions.out("sessions", "end", str(ALICE)) == f"1 session ended. {BOUND}\n"
    assert revoked(sessions) == {1}
    assert ids(sessions.json("sessions", "list")) == [ALICE_AGAIN, BOB, BATCH]
    assert ids(sessions.json("sessions", "list", "--ended")) == [ALICE]
    assert sessions.out("sessions", "list", "--ended").splitlines()[1].endswith(" operator")
    assert sessions.out("sessions", "end", str(ALICE)) == "No sessions ended. 1 had ended already.\n"


@pytest.mark.parametrize(
    ("words", "over", "living"),
    [
        pytest.param(("--user", "alice"), {1, 2}, [BOB, BATCH], id="person"),
        pytest.param(("--client", "login"), {0, 1, 2}, [BATCH], id="client"),
        pytest.param(("--all",), {0, 1, 2, 9}, [], id="all"),
        pytest.param((str(BOB), str(ALICE), str(BOB)), {0, 1}, [ALICE_AGAIN, BATCH], id="these"),
        pytest.param(("--user", "carol"), set(), [ALICE_AGAIN, ALICE, BOB, BATCH], id="nobody"),
    ],
)
def test_many_sessions_end_at_once(sessions, words, over, living) -> None:
    """Those of a person, of a client, or all; the status list moves on by one version."""
    said = sessions.json("sessions", "end", *words, "--yes")
    assert (said["ended"], said["already_ended"]) == (len(over), 0)
    assert said["refused_within_seconds"] == {"directory": 1, "http": 6}
    assert len(said["sessions"]) == len(over)
    assert revoked(sessions) == over
    assert ids(sessions.json("sessions", "list")) == living
    assert sessions.rows("SELECT version FROM status_lists") == [(2 if over else 1,)]


def test_more_than_one_is_asked_about(sessions, monkeypatch) -> None:
    """On a terminal; no ends none, and one alone is ended unasked."""
    monkeypatch.setattr(prompts, "is_interactive", lambda: True)
    result = sessions.run("sessions", "end", "--user", "alice", input="n\n", code=1)
    assert "End 2 sessions?" in result.stderr
    assert len(sessions.json("sessions", "list")) == 4
    assert "End" not in sessions.run("sessions", "end", "--user", "bob").stderr
    sessions.run("sessions", "end", "--user", "alice", input="y\n")
    assert ids(sessions.json("sessions", "list")) == [BATCH]


def test_who_ended_what_and_why_is_written_down(sessions) -> None:
    """One entry for each transaction, with the sessions and what was asked for; none where nothing ended."""
    sessions.run("sessions", "end", str(BOB), "--reason", "ticket 7", "--actor", "eve")
    sessions.run("sessions", "end", "--user", "alice", "--yes")
    sessions.run("sessions", "end", "--user", "alice")
    many, one = sessions.json("audit")
    assert (one["action"], one["reason"], one["after"]) == (
        "end session",
        "ticket 7",
        {"count": 1, "sessions": [str(BOB)]},
    )
    assert one["actor"].startswith("eve via ")
    alice = sessions.json("user", "show", "alice")["id"]
    assert many["action"] == "end sessions"
    assert many["after"] == {"count": 2, "sessions": [str(ALICE), str(ALICE_AGAIN)], "user": alice}
    row = sessions.out("audit", "--action", "end sessions").splitlines()[1].split("\t")
    assert f"count=2 sessions={ALICE},{ALICE_AGAIN}" in row[4]


def test_very_many_end_in_steps(sessions, monkeypatch) -> None:
    """Each step has its entry, which names sessions only as long as they are few."""
    monkeypatch.setattr(ends, "BATCH", 2)
    monkeypatch.setattr(ends, "NAMED", 1)
    assert sessions.json("sessions", "end", "--all", "--yes")["ended"] == 4
    assert [entry["after"] for entry in sessions.json("audit")] == [{"count": 2, "all": True}] * 2
    assert revoked(sessions) == {0, 1, 2, 9}


def test_the_bound_follows_from_how_often_verifiers_look(sessions) -> None:
    """AUTH_SERVER_STATUS_TTL_SECONDS of the shell; a setting that is wrong ends nothing."""
    sessions.env["AUTH_SERVER_STATUS_TTL_SECONDS"] = "0"
    assert "AUTH_SERVER_STATUS_TTL_SECONDS" in sessions.refused("sessions", "end", str(BOB), code=3)
    sessions.env["AUTH_SERVER_STATUS_TTL_SECONDS"] = "30"
    assert "31 s over HTTP" in sessions.out("sessions", "end", str(BOB))


def test_a_time_that_has_come_needs_nobody_to_end_it(sessions) -> None:
    """By the client's own terms, else by those of the shell; which of them, the list says."""
    sessions.env["AUTH_SERVER_SESSION_IDLE_SECONDS"] = str(58 * 60 + 30)
    assert ids(sessions.json("sessions", "list")) == [ALICE_AGAIN, BATCH]
    over = sessions.json("sessions", "list", "--ended")
    assert [(one["state"], one["ended_by"]) for one in over] == [("idle", None), ("idle", None)]
    assert sessions.out("sessions", "list", "--ended").splitlines()[1].endswith("Z idle")
    sessions.run("client", "update", "login", "--idle", "7d", "--absolute", "7d")
    assert len(sessions.json("sessions", "list")) == 4
    sessions.run("client", "update", "login", "--idle", "60", "--absolute", "60")
    assert {one["state"] for one in sessions.json("sessions", "list", "--ended")} == {"expired"}
    assert sessions.json("sessions", "end", "--user", "alice", "--yes")["ended"] == 2


def test_what_an_agent_says_of_itself_does_not_reach_the_terminal(sessions) -> None:
    """Not in a table, not in fields and not in JSON; a tab does not become a column."""
    sessions.inside(
        lambda conn: conn.execute("UPDATE grants SET agent = E'a\\tb\\x1b[2J\\u009b1m', address = E'\\x1b[31m'")
    )
    for words in (("list",), ("show", str(BOB)), ("list", "--json"), ("show", str(BOB), "--json")):
        said = sessions.out("sessions", *words)
        assert all(line.replace("\t", "").isprintable() for line in said.splitlines())
        assert "[2J" in said
    assert len(sessions.out("sessions", "list").splitlines()[1].split("\t")) == 7


@pytest.fixture
def restored(sessions, tmp_path):
    """The same from a backup: published since are the ends of two sessions."""

    signs = PublicKey.of(private(1).public_key())

    async def publish() -> None:
        async with (
            accounts_pool(sessions.dsn) as pool,
            replica(pool, tmp_path, key=LocalKey(signs.kid, private(1))),
            pool.acquire() as conn,
        ):
            row = stored(replace(active("signs", now()), kid=signs.kid))
            await insert(conn, replace(row, public_jwk=signs.jwk()))

    sessions.run("sessions", "end", str(BOB), str(ALICE), "--yes")
    run_apart(publish())
    sessions.inside(
        lambda conn: conn.execute(
            "UPDATE grants SET ended_at = NULL, ended_by = NULL, keep_until = expires_at + interval '2 days';"
            " DELETE FROM status_revocations;"
            " UPDATE status_lists SET version = 1"
        )
    )
    sessions.env["AUTH_SERVER_ISSUER"] = ISSUER
    return sessions


def test_a_restored_database_learns_which_sessions_have_ended(restored, tmp_path) -> None:
    """From the published lists, after a yes; written down, and the lists give out no more entries."""
    assert "--yes" in restored.run("sessions", "recover", str(tmp_path), code=2).stderr
    assert len(restored.json("sessions", "list")) == 4
    result = restored.run("sessions", "recover", str(tmp_path), "--yes", "--reason", "disk")
    assert f"has 1 status list of {ISSUER}, with 2 sessions ended.\n" in result.stderr
    assert result.stdout == "Recovered: 2 sessions ended again, 0 lists came back, 1 list closed.\n"
    assert ids(restored.json("sessions", "list")) == [ALICE_AGAIN, BATCH]
    assert {one["ended_by"] for one in restored.json("sessions", "list", "--ended")} == {"recovered"}
    entry = restored.json("audit")[0]
    assert (entry["action"], entry["reason"], entry["after"]["sessions"]) == ("recover sessions", "disk", 2)
    again = restored.json("sessions", "recover", str(tmp_path), "--yes")
    assert (again["sessions"], again["closed"], again["not_used"]) == (0, 0, [])


def test_a_list_that_no_key_of_ours_has_signed_ends_no_session(restored, tmp_path) -> None:
    """Who can write to the directory can lay a list there. It is named, and believed only by who insists, which is
    written down; the signature of another list, and a key that was withdrawn, prove nothing."""
    (file,) = (tmp_path / "status").glob("*.jwt")
    head, payload, signature = file.read_bytes().split(b".")
    forged = b64url_encode(b64url_decode(payload).replace(b'"version":', b'"version": '))
    file.write_bytes(b".".join((head, forged.encode(), signature)))
    said = restored.refused("sessions", "recover", str(tmp_path), "--yes")
    assert f"signed by no key that the database knows: 1 status list, {file.stem}" in said
    file.write_bytes(b".".join((head, payload, signature)))
    restored.inside(lambda conn: conn.execute("UPDATE signing_keys SET state = 'revoked', revoked_at = now()"))
    assert "keys recover" in restored.refused("sessions", "recover", str(tmp_path), "--yes")
    assert len(restored.json("sessions", "list")) == 4
    assert restored.json("sessions", "recover", str(tmp_path), "--yes", "--force")["unproved"] == [file.stem]
    assert len(restored.json("sessions", "list")) == 2
    assert restored.json("audit")[0]["after"]["unproved"] == [file.stem]


def test_only_the_issuers_own_lists_are_believed(restored, tmp_path) -> None:
    """What else lies there is named, without a character that a terminal could obey; without a list nothing is done."""
    (tmp_path / "status" / "x\x1b[2J.jwt").write_text("rubbish")
    result = restored.run("sessions", "recover", str(tmp_path), "--yes")
    assert "Warning: not used: " in result.stderr
    assert "\x1b[2J" not in result.stderr
    assert "cannot be read" in restored.refused("sessions", "recover", str(tmp_path / "missing"), "--yes")
    restored.env["AUTH_SERVER_ISSUER"] = "https://other.example"
    assert "has no status list of https://other.example" in restored.refused(
        "sessions", "recover", str(tmp_path), "--yes"
    )
    restored.env["AUTH_SERVER_ISSUER"] = ""
    assert "AUTH_SERVER_ISSUER" in restored.refused("sessions", "recover", str(tmp_path), "--yes", code=3)


class Terminal(io.StringIO):
    """Standard output with somebody looking."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("width", "shown"),
    [
        pytest.param(80, "Mozilla/5.0 (a long story)", id="room"),
        pytest.param(40, "Mozilla/5.0 (a long…", id="less"),
        pytest.param(31, "Mozilla/5.0…", id="the-least"),
    ],
)
def test_the_longest_word_is_cut_to_the_terminal(monkeypatch, width, shown) -> None:
    """To what the others leave, and to no less than can be recognised."""
    monkeypatch.setenv("COLUMNS", str(width))
    with contextlib.redirect_stdout(Terminal()) as said:
        output.show_rows(
            ("Id", "Agent", "Ends"), [("1234567", "Mozilla/5.0 (a long story)", "tomorrow")], empty="", shorten="Agent"
        )
    assert shown in said.getvalue()


ROW = SessionRow(
    id=BOB, client_id="login", user_id=ALICE, username=None, audience=("http://a",), scopes=(), created_at=at(1000),
    expires_at=at(2000), last_used_at=at(1500), address="", agent="", refreshable=True, generation=3, standing=False,
    status_list=LIST, status_index=0, revoked_in=None, ended_at=None, ended_by=None, keep_until=at(3000),
    terms=ClientTerms(),
)  # fmt: skip


@pytest.mark.parametrize(
    ("change", "moment", "state", "ends"),
    [
        pytest.param({}, 1599, "living", 1600, id="a-second-before-idle"),
        pytest.param({}, 1600, "idle", 1600, id="idle"),
        pytest.param({"last_used_at": at(1990)}, 1999, "living", 2000, id="a-second-before-the-deadline"),
        pytest.param({"last_used_at": at(1990)}, 2000, "expired", 2000, id="deadline"),
        pytest.param({"terms": ClientTerms(idle_seconds=60)}, 1560, "idle", 1560, id="client's-idle"),
        pytest.param({"terms": ClientTerms(absolute_seconds=510)}, 1510, "expired", 1510, id="client's-absolute"),
        pytest.param({"refreshable": False}, 1999, "living", 2000, id="without-refresh-token-nothing-is-idle"),
        pytest.param({"ended_at": at(1501), "ended_by": "logout"}, 1502, "ended", 1600, id="ended"),
    ],
)
def test_a_session_is_judged_as_a_refresh_would(change, moment, state, ends) -> None:
    """A deadline that is reached is past."""
    found = outlook(replace(ROW, **change), idle=100, absolute=5000, now=moment)
    assert (found.standing, found.ends_at) == (state, ends)


@pytest.mark.parametrize(
    ("words", "over", "by"),
    [
        pytest.param(("user", "disable", "alice"), {1, 2}, "user_disabled", id="person-disabled"),
        pytest.param(("user", "delete", "alice", "--yes"), {1, 2}, "user_deleted", id="person-deleted"),
        pytest.param(("user", "set-password", "alice", "--stdin"), {1, 2}, "password_changed", id="password"),
        pytest.param(("client", "disable", "batch"), {9}, "client_disabled", id="client-disabled"),
        pytest.param(("client", "delete", "batch", "--yes"), {9}, "client_deleted", id="client-deleted"),
        pytest.param(("client", "disable", "login"), {0, 1, 2}, "client_disabled", id="everybody"),
    ],
)
def test_a_change_of_an_account_ends_its_sessions(sessions, words, over, by) -> None:
    """It says how many, and from when on verifiers go by it."""
    said = sessions.out(*words, input="another horse\n")
    assert f"{len(over)} session{'s' * (len(over) > 1)} ended. {BOUND}\n" in said
    assert revoked(sessions) == over
    assert {one["ended_by"] for one in sessions.json("sessions", "list", "--ended")} == {by}


def test_a_setting_that_is_wrong_does_not_hide_what_was_done(sessions) -> None:
    """The bound is left out, for nobody knows it."""
    sessions.env["AUTH_SERVER_STATUS_TTL_SECONDS"] = "0"
    assert sessions.out("user", "disable", "alice") == "alice is disabled. 2 sessions ended.\n"


def test_disabling_and_deleting_by_a_manifest_ends_sessions(sessions, tmp_path) -> None:
    """Together with the change, and it is told how many; the reason stays with each."""
    file = tmp_path / "manifest.yaml"
    file.write_text("users:\n  - {username: alice, disabled: true}\nclients:\n  - {id: batch, disabled: true}\n")
    said = sessions.out("apply", str(file), "--yes")
    assert f"Applied.\n3 sessions ended. {BOUND}\n" in said
    assert revoked(sessions) == {1, 2, 9}
    assert {one["ended_by"] for one in sessions.json("sessions", "list", "--ended")} == {
        "user_disabled",
        "client_disabled",
    }
    assert sessions.json("apply", str(file), "--yes")["ended"] == 0
    assert sessions.json("apply", str(file), "--prune", "--yes")["ended"] == 1
    assert sessions.json("sessions", "show", str(BOB))["ended_by"] == "user_deleted"
    assert sessions.json("sessions", "show", str(BOB))["username"] is None
