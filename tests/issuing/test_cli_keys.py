"""farseal-auth keys list, plan, announce, activate, retire and revoke."""

import asyncio
import contextlib
import io
import json
import re
from datetime import UTC, datetime

import pytest

from auth_server.cli import main, prompts
from auth_server.cli.keys import access
from auth_server.storage import signing_keys
from auth_server.storage.database_clock import database_clock
from farseal.clock import at, now
from farseal.encoding import b64url_encode
from tests.support.accounts import accounts_pool
from tests.support.postgres import run_apart
from tests.support.rotation import Replica, Time
from tests.support.signing_keys import DAY, POLICY, active, announced, insert, kid, ready, retiring, stored


class Keyed:
    """Commands on a database with keys that were put there relative to one moment."""

    def __init__(self, cli, moment: int) -> None:
        self.cli = cli
        self.now = moment

    def holds(self, *keys) -> "Keyed":
        self.cli.inside(lambda conn: insert(conn, *keys))
        return self

    def states(self) -> dict[str, str]:
        return {key["kid"].rstrip("_"): key["state"] for key in self.cli.json("keys", "list")}

    def sequence(self) -> int:
        return self.cli.rows("SELECT sequence FROM publication")[0][0]

    def audit(self) -> list[dict]:
        return self.cli.json("audit")


@pytest.fixture
def keyed(cli) -> Keyed:
    return Keyed(cli, now())


def rfc3339(seconds: int) -> str:
    return f"{at(seconds):%Y-%m-%dT%H:%M:%SZ}"


def seconds(text: str) -> int:
    return int(datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC).timestamp())


def test_before_the_first_start_there_are_none(cli) -> None:
    """An empty list in JSON, a bare header in a pipe; a table of another version is told as such."""
    assert cli.json("keys", "list") == []
    assert cli.out("keys", "list").splitlines()[0].startswith("kid\tstate\tage_seconds\t")
    assert cli.json("audit") == []


def test_a_key_is_listed_with_its_life_and_without_its_private_half(keyed) -> None:
    """States, moments, counts and the KEK; what is sealed never. What was promised is told as it holds now."""
    began = keyed.now - 10 * DAY
    keyed.holds(stored(retiring("old", keyed.now - 60), signatures=7), stored(active("signs", began), signatures=1234))
    listed = {key["kid"]: key for key in keyed.cli.json("keys", "list")}
    signs = dict(listed[kid("signs")])
    assert signs.pop("age_seconds") == pytest.approx(keyed.now - began + 2 * DAY + 60, abs=30)
    assert signs == {
        "kid": kid("signs"), "state": "active", "bits": 3072, "kek_id": "4b454b", "has_private_key": True,
        "signatures": 1234, "token_seconds": DAY, "created_at": rfc3339(began - 2 * DAY - 60),
        "announced_at": rfc3339(began - 2 * DAY), "published_at": rfc3339(began - 2 * DAY), "may_sign_from": None,
        "activated_at": rfc3339(began), "retired_at": None, "keep_until": None, "gone_at": None, "revoked_at": None,
        "revoked_reason": None, "public_jwk": {"kty": "RSA"},
    }  # fmt: skip
    kept = keyed.now - 60 + POLICY.retirement_seconds(DAY)
    assert listed[kid("old")]["keep_until"] == rfc3339(kept)
    assert "sealed" not in json.dumps(list(listed.values()))
    assert [key["kid"] for key in keyed.cli.json("keys", "list", "--state", "active")] == [kid("signs")]
    keyed.cli.env["AUTH_SERVER_SIGNING_LEASE_SECONDS"] = "3660"
    longer = {key["kid"]: key["keep_until"] for key in keyed.cli.json("keys", "list")}
    assert longer[kid("old")] == rfc3339(kept + 3600), "a policy that asks for more puts a promise off"


def test_in_a_pipe_a_key_is_a_line(keyed) -> None:
    """One line each, whatever somebody wrote as a reason."""
    key = announced("bad", keyed.now - DAY)
    keyed.holds(active("signs", keyed.now - DAY), stored(key))
    keyed.cli.run("keys", "revoke", kid("bad"), "--reason", "known to others", "--yes")
    keyed.cli.rows("UPDATE signing_keys SET revoked_reason = E'a\\tb\\n\\x1b[2J' WHERE state = 'revoked'")
    header, *lines = keyed.cli.out("keys", "list").splitlines()
    assert [len(line.split("\t")) for line in lines] == [len(header.split("\t"))] * 2
    revoked = dict(zip(header.split("\t"), lines[1].split("\t"), strict=True))
    assert (revoked["state"], revoked["revoked_reason"]) == ("revoked", r'"a\tb\n\u001b[2J"')


class Terminal(io.StringIO):
    """Standard output with somebody looking."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def on_terminal(monkeypatch):
    """What commands print where somebody is looking, without its colours."""

    def run(cli, *words: str) -> str:
        for name, value in cli.env.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("COLUMNS", "140")
        with contextlib.redirect_stdout(Terminal()) as shown, pytest.raises(SystemExit) as ended:
            main(words, prog_name="farseal-auth")
        assert ended.value.code == 0
        return re.sub(r"\x1b\[[0-9;]*m", "", shown.getvalue())

    return run


def test_on_a_terminal_keys_are_a_table_with_moments_in_words(keyed, on_terminal) -> None:
    """Columns are aligned, each moment is on a line of its own, a hostile reason is shown escaped."""
    assert "There are no keys" in on_terminal(keyed.cli, "keys", "list")
    keyed.holds(stored(active("signs", keyed.now - 3600), signatures=5), announced("next", keyed.now - 60))
    keyed.cli.run("keys", "revoke", kid("next"), "--reason", "drill", "--yes")
    keyed.cli.rows("UPDATE signing_keys SET revoked_reason = E'\\x1b[2J\\u009b2J' WHERE state = 'revoked'")
    shown = on_terminal(keyed.cli, "keys", "list")
    assert all(line.isprintable() for line in shown.splitlines())
    lines = [line.rstrip() for line in shown.splitlines()]
    assert lines[0].split() == ["Key", "State", "Age", "Signatures", "Moments"]
    assert re.match(rf"{kid('signs')}  active   2 d 1 h +5 +announced     ", lines[1])
    assert lines[2].startswith("3072 bits, KEK 4b454b")
    assert f"signs since   {at(keyed.now - 3600):%Y-%m-%d %H:%M:%SZ}" in shown
    assert r'"\u001b[2J\u009b2J"' in shown


def test_the_plan_says_what_when_and_why_and_does_nothing(keyed, on_terminal) -> None:
    """Steps in their order with the sums of the policy; another policy gives another plan, of the same keys."""
    began = keyed.now - 10 * DAY
    keyed.holds(
        retiring("old", keyed.now - 3600), active("signs", began), announced("next", keyed.now - 9 * DAY),
        ready("pool", keyed.now - DAY),
    )  # fmt: skip
    found = keyed.cli.json("keys", "plan")
    drop, takeover = found["steps"]
    assert (drop["action"], drop["kid"]) == ("drop", kid("old"))
    assert drop["at"] == rfc3339(keyed.now - 3600 + POLICY.retirement_seconds(DAY))
    assert (takeover["action"], takeover["kid"], takeover["due"]) == ("activate", kid("next"), False)
    assert takeover["at"] == rfc3339(began + 30 * DAY)
    assert takeover["in_seconds"] == pytest.approx(20 * DAY, abs=30)
    assert takeover["reason"] == f"the active key has signed for {30 * DAY} s"
    assert found["policy"]["verifier_needs_seconds"] == 420
    assert found["policy"]["retirement_seconds"] == POLICY.retirement_seconds(0)
    assert found["sequence"] == keyed.sequence()
    header, *rows = keyed.cli.out("keys", "plan").splitlines()
    assert header.split("\t") == ["when", "in", "what", "key", "why"]
    assert [row.split("\t")[2:4] for row in rows] == [["drop", kid("old")], ["activate", kid("next")]]
    shown = on_terminal(keyed.cli, "keys", "plan")
    assert "300 refresh + 60 cache + 30 clock skew + 30 publication = 420 s" in shown
    assert "AUTH_SERVER_ROTATION_SECONDS" in keyed.cli.out("keys", "plan", "--policy")
    keyed.cli.env["AUTH_SERVER_ROTATION_SECONDS"] = str(5 * DAY)
    (now_due,) = [step for step in keyed.cli.json("keys", "plan")["steps"] if step["action"] == "activate"]
    assert now_due["due"] is True
    assert "\tnow\tactivate\t" in keyed.cli.out("keys", "plan")
    assert keyed.states() == {"old": "retiring", "signs": "active", "next": "announced", "pool": "ready"}


def test_a_policy_that_fails_verifiers_is_refused_with_its_sum(keyed) -> None:
    """By every command on keys, before anything is looked at or done."""
    keyed.holds(active("signs", keyed.now - DAY), announced("next", keyed.now - 2 * DAY))
    keyed.cli.env["AUTH_SERVER_ANNOUNCE_SECONDS"] = "839"
    for words in (("list",), ("plan",), ("activate",), ("revoke", kid("signs"), "--reason", "x", "--yes"), ("watch",)):
        refusal = keyed.cli.refused("keys", *words, code=3)
        assert "AUTH_SERVER_ANNOUNCE_SECONDS" in refusal
        assert "= 840 s" in refusal
    keyed.cli.env["AUTH_SERVER_ANNOUNCE_SECONDS"] = "86400"
    assert keyed.states() == {"signs": "active", "next": "announced"}


def test_a_key_is_announced_activated_and_retired_by_hand(keyed) -> None:
    """The whole way with nothing forced: what each command says in JSON, and what the audit keeps of it."""
    keyed.holds(ready("pool", keyed.now - DAY), active("signs", keyed.now - DAY))
    first = keyed.sequence()
    made = keyed.cli.json("keys", "announce", "--reason", "for the move", "--actor", "alice")
    assert made | {"at": None} == {
        "action": "announce", "at": None, "forced": False, "warnings": [], "signs": kid("signs"),
        "changed": [{"kid": kid("pool"), "before": "ready", "after": "announced", "keep_until": None}],
    }  # fmt: skip
    assert keyed.sequence() == first + 1
    (entry,) = keyed.audit()
    assert (entry["action"], entry["kid"], entry["reason"]) == ("announce", kid("pool"), "for the move")
    assert entry["actor"].startswith("alice via ")
    assert entry["before"] == {"state": "ready", "announced_at": None}
    assert entry["after"]["state"] == "announced"
    assert seconds(made["at"]) == entry["after"]["announced_at"]

    keyed.cli.rows("UPDATE signing_keys SET published_at = now() - interval '2 days', activate_after = now() "
                   "- interval '1 day' WHERE state = 'announced'")  # fmt: skip
    said = keyed.cli.out("keys", "activate").splitlines()
    assert said[0] == f"{kid('pool')} signs from now on."
    assert said[1].startswith(f"{kid('signs')} retires and stays published until ")
    assert said[1].endswith("in 1 d 9 min.")
    assert keyed.states() == {"pool": "active", "signs": "retiring"}
    changes = {entry["kid"]: entry for entry in keyed.audit() if entry["action"] == "activate"}
    assert {name: (one["before"]["state"], one["after"]["state"]) for name, one in changes.items()} == {
        kid("pool"): ("announced", "active"), kid("signs"): ("active", "retiring"),
    }  # fmt: skip

    keyed.cli.rows("UPDATE signing_keys SET retired_at = now() - interval '3 days', keep_until = now() "
                   "- interval '1 day' WHERE state = 'retiring'")  # fmt: skip
    assert keyed.cli.json("keys", "retire", kid("signs"))["changed"] == [
        {"kid": kid("signs"), "before": "retiring", "after": "gone", "keep_until": None}
    ]
    assert keyed.states() == {"pool": "active", "signs": "gone"}
    assert keyed.sequence() == first + 3


def test_to_activate_keeps_the_old_key_for_its_last_token(keyed) -> None:
    """In JSON both changes are told, the old key with the moment until which it stays."""
    keyed.holds(active("signs", keyed.now - DAY), announced("next", keyed.now - 2 * DAY))
    found = keyed.cli.json("keys", "activate", kid("next"))
    old, new = found["changed"]
    assert (old["kid"], old["before"], old["after"]) == (kid("signs"), "active", "retiring")
    assert seconds(old["keep_until"]) == seconds(found["at"]) + POLICY.retirement_seconds(DAY)
    assert (new["kid"], new["before"], new["after"], new["keep_until"]) == (kid("next"), "announced", "active", None)
    assert found["signs"] == kid("next")


FRESH, SIGNS, OLD, POOL, UNSEEN = map(kid, ("fresh", "signs", "old", "pool", "unseen"))
SURELY = ("--reason", "x", "--yes")
STAYS = POLICY.retirement_seconds(DAY)


def whole_life(moment: int, *, only: str = "") -> tuple:
    """A key in each state in which something may be refused."""
    keys = {
        "signs": active("signs", moment - 3600), "old": retiring("old", moment - 3600),
        "fresh": announced("fresh", moment - 3600), "pool": ready("pool", moment - 60),
        "unseen": announced("unseen", moment - 1800, published=False),
        "known": announced("known", moment - 3 * DAY), "done": retiring("done", moment - 3 * DAY),
    }  # fmt: skip
    return tuple(keys[name] for name in (only or "signs old fresh pool unseen").split())


@pytest.mark.parametrize(
    ("held", "words", "reason", "allowed", "forceable"),
    [
        pytest.param("", ("announce",), f"key {FRESH} is announced already", None, True, id="announce-a-second"),
        pytest.param("signs", ("announce",), "no key is ready", None, False, id="announce-nothing"),
        pytest.param("", ("announce", SIGNS), "only a ready key", None, False, id="announce-the-active"),
        pytest.param("", ("activate",), "some verifiers may not hold", 82_800, True, id="activate-early"),
        pytest.param("", ("activate", UNSEEN), "no publication that holds it", None, True, id="activate-unpublished"),
        pytest.param("", ("activate", POOL), "announce it first", None, False, id="activate-a-ready-one"),
        pytest.param("", ("activate", OLD), "only an announced key", None, False, id="activate-a-retiring-one"),
        pytest.param("signs", ("activate",), "no key is announced", None, False, id="activate-nothing"),
        pytest.param("", ("retire", SIGNS), "retires when another one is activated", None, False, id="retire-active"),
        pytest.param("", ("retire", OLD), "may be alive", STAYS - 3600, True, id="retire-early"),
        pytest.param("", ("retire", kid("x")), "there is no key", None, False, id="retire-unknown"),
        pytest.param("", ("revoke", POOL, *SURELY), "retire it instead", None, False, id="revoke-ready"),
        pytest.param("signs", ("revoke", SIGNS, *SURELY), "no other key", None, False, id="revoke-the-last"),
    ],
)  # fmt: skip
def test_what_is_refused_says_why_and_from_when_on_it_is_allowed(
    keyed, held, words, reason, *, allowed, forceable
) -> None:
    """For people as a moment and a wait, for scripts as JSON; exit code 1, and nothing is changed or noted."""
    keyed.holds(*whole_life(keyed.now, only=held))
    before, sequence = keyed.states(), keyed.sequence()
    refusal = keyed.cli.refused("keys", *words)
    assert reason in refusal
    assert ("--force" in refusal) is forceable
    result = keyed.cli.run("keys", *words, "--json", code=1)
    body = json.loads(result.stdout)
    assert reason in body["refused"]
    assert body["forceable"] is forceable
    if allowed is None:
        assert body["allowed_at"] is None
        assert body["allowed_in_seconds"] is None
        assert "allowed from" not in refusal
    else:
        assert seconds(body["allowed_at"]) == keyed.now + allowed
        assert body["allowed_in_seconds"] == pytest.approx(allowed, abs=30)
        assert f"allowed from {at(keyed.now + allowed):%Y-%m-%d %H:%M:%SZ}, in 2" in refusal
    assert (keyed.states(), keyed.sequence(), keyed.audit()) == (before, sequence, [])


@pytest.mark.parametrize(
    ("words", "breaks", "after"),
    [
        pytest.param(
            ("activate", FRESH), "refuse every new token with 401", {"fresh": "active", "signs": "retiring"},
            id="activate-early",
        ),
        pytest.param(
            ("activate", UNSEEN), "no publication that holds it", {"unseen": "active", "signs": "retiring"},
            id="activate-unpublished",
        ),
        pytest.param(("retire", OLD), "refused with 401 from now on", {"old": "gone"}, id="retire-early"),
    ],
)  # fmt: skip
def test_what_is_forced_says_what_breaks_and_asks_and_is_kept(keyed, words, breaks, after, monkeypatch) -> None:
    """Off a terminal --yes is needed; on one a no changes nothing; done, the audit has the warning for ever."""
    keyed.holds(*whole_life(keyed.now))
    before = keyed.states()
    result = keyed.cli.run("keys", *words, "--force", code=2)
    assert breaks in result.stderr
    assert "--yes" in result.stderr
    monkeypatch.setattr(prompts, "is_interactive", lambda: True)
    assert breaks in keyed.cli.refused("keys", *words, "--force", input="n\n")
    assert (keyed.states(), keyed.audit()) == (before, [])
    result = keyed.cli.run("keys", *words, "--force", "--json", input="y\n")
    found = json.loads(result.stdout)
    assert found["forced"] is True
    assert breaks in "".join(found["warnings"])
    assert keyed.states() == before | after
    entries = keyed.audit()
    assert len(entries) == len(after)
    for entry in entries:
        assert breaks in "".join(entry["after"]["warnings"])


def test_what_needs_no_force_is_not_forced(keyed) -> None:
    """--force on what is allowed asks nothing and leaves no warning: scripts may give it always."""
    keyed.holds(active("signs", keyed.now - DAY), announced("next", keyed.now - 2 * DAY))
    found = keyed.cli.json("keys", "activate", kid("next"), "--force")
    assert (found["forced"], found["warnings"]) == (False, [])
    assert "warnings" not in keyed.audit()[0]["after"]


def test_a_further_key_is_announced_by_force_and_breaks_nothing(keyed) -> None:
    """So nobody is asked; the next one in its turn stays the first."""
    keyed.holds(active("signs", keyed.now - DAY), announced("next", keyed.now - 2 * DAY), ready("pool", keyed.now))
    assert keyed.cli.json("keys", "announce", "--force")["forced"] is True
    assert keyed.states() == {"signs": "active", "next": "announced", "pool": "announced"}


def test_a_revoked_key_is_replaced_in_the_same_moment(keyed, monkeypatch) -> None:
    """It says what breaks, asks, and then who signs and whether verifiers hold that key."""
    keyed.holds(*whole_life(keyed.now, only="signs fresh"), announced("known", keyed.now - 3 * DAY))
    monkeypatch.setattr(prompts, "is_interactive", lambda: True)
    refusal = keyed.cli.refused("keys", "revoke", SIGNS, "--reason", "leaked", input="n\n")
    assert f"every token that {SIGNS} signed is refused by each verifier within 7 min" in refusal
    assert keyed.states()["signs"] == "active"
    result = keyed.cli.run("keys", "revoke", SIGNS, "--reason", "leaked", input="y\n")
    assert result.stdout.splitlines() == [
        f"{SIGNS} is revoked. Every live token of it is refused from now on, by each verifier within 7 min.",
        f"{kid('known')} signs now; every verifier holds it already.",
    ]
    assert keyed.states() == {"signs": "revoked", "fresh": "announced", "known": "active"}
    (revoked,) = [key for key in keyed.cli.json("keys", "list") if key["state"] == "revoked"]
    assert revoked["revoked_reason"] == "leaked"
    assert {entry["kid"] for entry in keyed.audit() if entry["action"] == "revoke"} == {SIGNS, kid("known")}
    assert "revoked already" in keyed.cli.refused("keys", "revoke", SIGNS, "--reason", "again", "--yes")


@pytest.mark.parametrize(
    ("held", "revoked", "signs", "known"),
    [
        pytest.param("signs fresh", SIGNS, FRESH, False, id="by-a-fresh-one"),
        pytest.param("signs pool", SIGNS, POOL, False, id="by-one-of-the-pool"),
        pytest.param("signs fresh", FRESH, SIGNS, True, id="an-announced-one"),
        pytest.param("signs old", OLD, SIGNS, True, id="a-retiring-one"),
    ],
)
def test_a_revocation_tells_whether_verifiers_hold_the_key_that_signs(keyed, held, revoked, signs, known) -> None:
    """An emergency goes through whatever breaks; what breaks is told before and after."""
    keyed.holds(*whole_life(keyed.now, only=held))
    result = keyed.cli.run("keys", "revoke", revoked, "--reason", "leaked", "--yes", "--json")
    found = json.loads(result.stdout)
    assert (found["signs"], found["verifiers_hold_it"], found["refused_within_seconds"]) == (signs, known, 420)
    assert bool(found["warnings"]) is not known
    for warning in found["warnings"]:
        assert warning in result.stderr


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        pytest.param(("retire",), "KID", id="retire-without-a-key"),
        pytest.param(("revoke", SIGNS), "--reason", id="revoke-without-a-reason"),
        pytest.param(("revoke", SIGNS, "--reason", "  "), "printable", id="blank-reason"),
        pytest.param(("revoke", SIGNS, "--reason", "x\x1b[2J"), "printable", id="hostile-reason"),
        pytest.param(("retire", "short"), "43 characters", id="no-kid"),
        pytest.param(("announce", "--actor", "x" * 65), "printable", id="long-actor"),
        pytest.param(("list", "--state", "lost"), "lost", id="no-state"),
        pytest.param(("watch", "--interval", "0"), "interval", id="no-interval"),
    ],
)
def test_what_is_not_said_rightly_is_a_usage_error(cli, words, reason) -> None:
    """Exit code 2 before the database is asked."""
    cli.env["AUTH_SERVER_DATABASE_URL"] = "postgresql://u@127.0.0.1:1/x"
    assert reason in cli.refused("keys", *words, code=2)


@pytest.mark.parametrize("name", ["-hfirst", "--force", "-"])
def test_a_kid_may_begin_with_a_hyphen(keyed, name) -> None:
    """One kid in 64 does; it is no option, with or without -- before it."""
    keyed.holds(active("signs", keyed.now - DAY), announced(name, keyed.now - 2 * DAY))
    assert keyed.cli.json("keys", "activate", kid(name))["signs"] == kid(name)
    result = keyed.cli.run("keys", "retire", "--json", "--", kid(name), code=1)
    assert "signs" in json.loads(result.stdout)["refused"]
    assert keyed.cli.json("audit", "--kid", kid(name), "--limit", "1")[0]["kid"] == kid(name)


def test_keys_that_change_while_the_question_is_asked_stay_as_they_are(keyed, monkeypatch) -> None:
    """What is done is what was shown, or nothing."""
    keyed.holds(*whole_life(keyed.now, only="signs fresh pool"))
    monkeypatch.setattr(prompts, "is_interactive", lambda: True)

    def meanwhile(*_: object, **__: object) -> None:
        keyed.cli.inside(lambda conn: insert(conn, announced("known", keyed.now - 3 * DAY)))

    monkeypatch.setattr(prompts, "confirm", meanwhile)
    refusal = keyed.cli.refused("keys", "revoke", SIGNS, "--reason", "leaked")
    assert "have changed since this was shown" in refusal
    assert keyed.states() == {"signs": "active", "fresh": "announced", "pool": "ready", "known": "announced"}
    assert keyed.audit() == []


@pytest.mark.parametrize(
    ("held", "words", "ways"),
    [
        pytest.param("signs pool", ("announce",), {"pool": ("ready", "announced")}, id="announce"),
        pytest.param(
            "signs known", ("activate",), {"known": ("announced", "active"), "signs": ("active", "retiring")},
            id="activate",
        ),
        pytest.param("signs pool", ("retire", POOL), {"pool": ("ready", "gone")}, id="retire-ready"),
        pytest.param("signs fresh", ("retire", FRESH), {"fresh": ("announced", "gone")}, id="retire-announced"),
        pytest.param("signs done", ("retire", kid("done")), {"done": ("retiring", "gone")}, id="retire-retiring"),
        pytest.param(
            "signs known", ("revoke", SIGNS, "--yes"),
            {"known": ("announced", "active"), "signs": ("active", "revoked")}, id="revoke-active",
        ),
        pytest.param("signs old", ("revoke", OLD, "--yes"), {"old": ("retiring", "revoked")}, id="revoke-retiring"),
    ],
)  # fmt: skip
def test_each_change_is_kept_for_the_audit(keyed, held, words, ways) -> None:
    """An entry for each key that changed, with who, why, from where to where, and one step of the sequence."""
    keyed.holds(*whole_life(keyed.now, only=held))
    keyed.cli.run("keys", *words, "--reason", "drill", "--actor", "alice")
    entries = {entry["kid"]: entry for entry in keyed.audit()}
    assert {name: (one["before"]["state"], one["after"]["state"]) for name, one in entries.items()} == {
        kid(name): way for name, way in ways.items()
    }
    for entry in entries.values():
        assert (entry["action"], entry["reason"]) == (words[0], "drill")
        assert re.fullmatch(r"alice via \S+@\S+", entry["actor"])
        assert seconds(entry["at"]) == pytest.approx(keyed.now, abs=30)
        assert set(entry["before"]) <= set(entry["after"])
    assert keyed.sequence() == 2


@pytest.mark.parametrize(
    ("named", "uid", "sudo", "actor"),
    [
        pytest.param(None, 0, None, "root@{host}", id="account"),
        pytest.param(None, 0, "alice", "alice via root@{host}", id="sudo"),
        pytest.param("bob", 0, "alice", "bob via root@{host}", id="named"),
        pytest.param(None, 0, "a\x1b[2Jb", '"a\\u001b[2Jb" via root@{host}', id="a-variable-that-commands-a-terminal"),
        pytest.param(None, 0, "\udcff", '"\\udcff" via root@{host}', id="a-variable-that-is-not-utf-8"),
        pytest.param(None, 0, "x" * 999, "x" * 64 + " via root@{host}", id="a-variable-without-end"),
        pytest.param(None, 4_000_000, "alice", "uid-4000000@{host}", id="a-variable-that-is-not-sudos"),
        pytest.param("bob", 4_000_000, None, "bob via uid-4000000@{host}", id="a-number-without-a-name"),
    ],
)
def test_the_account_of_the_process_always_stands_in_the_audit(monkeypatch, named, uid, sudo, actor) -> None:
    """A name that can only be believed stands before it, never in its place."""
    monkeypatch.setattr(access.os, "geteuid", lambda: uid)
    monkeypatch.setattr(access.socket, "gethostname", lambda: "host")
    if sudo is None:
        monkeypatch.delenv("SUDO_USER", raising=False)
    else:
        monkeypatch.setenv("SUDO_USER", sudo)
    assert access.actor(named) == actor.format(host="host")


def test_moments_are_those_of_the_database(keyed, monkeypatch) -> None:
    """An operator's clock that is a year ahead activates nothing early."""
    monkeypatch.setattr("farseal.clock.now", lambda: keyed.now + 365 * DAY)
    keyed.holds(*whole_life(keyed.now, only="signs fresh"))
    assert "some verifiers may not hold" in keyed.cli.refused("keys", "activate")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("pool", "ours, ready: {kid}, published nowhere, so resource servers do not know it"),
        ("fresh", "ours, announced: {kid}, published, and signs nothing yet"),
        ("signs", "ours, active: {kid}"),
        ("old", "ours, retiring: {kid}, still published, and signs no more"),
        ("away", "ours, gone: {kid}, published no more, so resource servers do not know it"),
        ("bad", "ours, revoked: {kid}, withdrawn, so resource servers refuse it"),
    ],
)
def test_a_token_is_told_what_the_state_of_its_key_means(keyed, name, words) -> None:
    """`token inspect` knows every state, and what resource servers make of it."""
    keyed.holds(*whole_life(keyed.now), announced("bad", keyed.now - DAY), ready("away", keyed.now))
    keyed.cli.run("keys", "revoke", kid("bad"), "--reason", "drill", "--yes")
    keyed.cli.run("keys", "retire", kid("away"))
    header = b64url_encode(json.dumps({"alg": "RS256", "kid": kid(name)}).encode())
    found = keyed.cli.json("token", "inspect", input=f"{header}.e30.e30")
    assert found["key"] == words.format(kid=kid(name))


WAITING = """
    SELECT count(*)
      FROM pg_locks
     WHERE NOT granted
       AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""


def test_a_key_retires_when_it_does_and_not_when_somebody_began_to_wait(keyed) -> None:
    """While another change holds the lock the old key goes on signing: its stay is reckoned from the end of that."""
    keyed.holds(*whole_life(keyed.now, only="signs known"))

    async def play() -> tuple[float, dict]:
        async with accounts_pool(keyed.cli.dsn) as pool, pool.acquire() as conn:
            async with conn.transaction():
                await signing_keys.lock(conn, timeout=1)
                command = asyncio.create_task(asyncio.to_thread(keyed.cli.json, "keys", "activate"))
                async with asyncio.timeout(20):
                    while not await conn.fetchval(WAITING):  # noqa: ASYNC110 - it is the database that knows
                        await asyncio.sleep(0.05)
                await asyncio.sleep(2.2)
                free = await database_clock(conn)
            return free, await command

    free, found = run_apart(play())
    assert seconds(found["at"]) >= int(free)
    assert seconds(found["changed"][0]["keep_until"]) >= int(free) + STAYS


def test_a_running_server_takes_over_what_a_command_did(cli) -> None:
    """At its next look it signs with the other key, publishes the withdrawal, and announces the next one."""

    async def play() -> None:
        async with accounts_pool(cli.dsn) as pool:
            replica = await Replica(pool, time=Time(now())).start()
            first = replica.keyring.active_key().kid
            words = ("keys", "revoke", first, "--reason", "drill", "--yes")
            found = await asyncio.to_thread(cli.json, *words)
            await replica.turn(1)
            await replica.turn(1)
            assert replica.keyring.active_key().kid == found["signs"] != first
            listed = {key["kid"]: key["state"] for key in await asyncio.to_thread(cli.json, "keys", "list")}
            assert listed[first] == "revoked"
            assert sorted(listed.values()) == ["active", "announced", "ready", "revoked"]
            await asyncio.to_thread(cli.run, "keys", "activate", "--force", "--yes")
            await replica.turn(1)
            assert listed[replica.keyring.active_key().kid] == "announced"
            await replica.close()

    run_apart(play())
