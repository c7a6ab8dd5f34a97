"""farseal-auth token mint and inspect."""

import json
import os
import re
from typing import Any

import pytest

from auth_server.cli import prompts
from auth_server.cli.inspection import MalformedTokenError, inspect_token, lifetime_words
from auth_server.cli.times import duration_words
from auth_server.keys.sealing import read_kek
from farseal.encoding import b64url_decode, b64url_encode
from tests.support.accounts import NOTES, NOW, accounts_pool, add_client, add_resource, add_user
from tests.support.commands import Commands
from tests.support.postgres import run_apart
from tests.support.rotation import Replica
from tests.support.sessions import add_list

ISSUER = "http://127.0.0.1:9000"


@pytest.fixture(scope="module")
def prepared(database_url, tmp_path_factory):
    """A database with keys, a user and a client; and the settings that open it."""
    kek_file = tmp_path_factory.mktemp("kek") / "kek"
    kek_file.touch(0o600)
    kek_file.write_text(os.urandom(32).hex())

    async def fill() -> None:
        async with accounts_pool(database_url) as pool:
            await Replica(pool, keks=(read_kek(kek_file),)).rotation.prepare()
            await add_list(pool)
            async with pool.acquire() as conn:
                await add_resource(conn, NOTES, "notes:read", "notes:write", claims={"org_id": "org_id"})
                await add_user(conn, "alice", attributes={"org_id": "acme"}, may={NOTES: ("notes:read",)})
                await add_client(conn, "nightly", may={NOTES: ("notes:read",)}, seconds=60)

    run_apart(fill())
    return {
        "AUTH_SERVER_DATABASE_URL": database_url,
        "AUTH_SERVER_ISSUER": ISSUER,
        "AUTH_SERVER_KEK_FILE": str(kek_file),
    }


@pytest.fixture
def minting(prepared):
    """Commands with the settings of the prepared database."""
    commands = Commands(prepared["AUTH_SERVER_DATABASE_URL"])
    commands.env |= prepared
    return commands


def claims_of(token: str) -> dict[str, Any]:
    """The payload, unverified."""
    claims: dict[str, Any] = json.loads(b64url_decode(token.split(".")[1]))
    return claims


def test_a_minted_token_says_what_a_login_would(minting) -> None:
    """On standard output is the token and nothing else; its life may be set."""
    out = minting.out("token", "mint", "--user", "alice", "--resource", NOTES, "--lifetime", "1")
    claims = claims_of(out.strip())
    assert claims["iss"] == ISSUER
    assert claims["aud"] == NOTES
    assert claims["scope"] == "notes:read"
    assert claims["org_id"] == "acme"
    assert claims["client_id"] == "login"
    assert claims["exp"] == claims["iat"] + 1


def test_a_token_for_a_client_is_its_own(minting) -> None:
    """Subject and client are the same, the life is the client's own; --json is the answer of the token endpoint."""
    body = minting.json("token", "mint", "--client", "nightly", "--scope", "notes:read")
    assert (body["token_type"], body["expires_in"], body["scope"]) == ("Bearer", 60, "notes:read")
    claims = claims_of(body["access_token"])
    assert claims["sub"] == claims["client_id"] == "nightly"


@pytest.mark.parametrize(
    ("words", "code", "reason"),
    [
        pytest.param(("--user", "alice", "--scope", "notes:write"), 1, "invalid_scope", id="scope-not-held"),
        pytest.param(("--user", "alice", "--resource", "http://x"), 1, "invalid_target", id="resource-not-held"),
        pytest.param(("--user", "nobody"), 1, "no user", id="unknown-user"),
        pytest.param(("--client", "nobody"), 1, "no client", id="unknown-client"),
        pytest.param(("--client", "login"), 1, "unauthorized_client", id="login-for-itself"),
        pytest.param((), 2, "--user or --client", id="for-nobody"),
        pytest.param(("--user", "alice", "--client", "nightly"), 2, "only one may be given", id="for-two"),
        pytest.param(("--user", "alice", "--lifetime", "0"), 2, "lifetime", id="no-life"),
    ],
)
def test_what_would_not_be_granted_is_not_minted(minting, words, code, reason) -> None:
    """The rules of a login hold for the operator too."""
    assert reason in minting.refused("token", "mint", *words, code=code)


def test_minting_needs_the_right_kek(minting, tmp_path) -> None:
    """Another KEK, a missing one or a missing setting: exit code 3 and why."""
    other = tmp_path / "other"
    other.touch(0o600)
    other.write_text(os.urandom(32).hex())
    for file in (other, tmp_path / "missing"):
        minting.env["AUTH_SERVER_KEK_FILE"] = str(file)
        minting.refused("token", "mint", "--user", "alice", code=3)
    minting.env["AUTH_SERVER_ISSUER"] = ""
    assert "AUTH_SERVER_ISSUER" in minting.refused("token", "mint", "--user", "alice", code=3)


def test_a_token_is_shown_with_the_key_that_it_names(minting, tmp_path) -> None:
    """Header, claims, life in words, the key and its state; the signature is nowhere in the output, and not judged."""
    token = minting.out("token", "mint", "--user", "alice").strip()
    found = minting.json("token", "inspect", input=token + "\n")
    assert found["header"]["alg"] == "RS256"
    assert found["claims"]["org_id"] == "acme"
    assert found["lifetime"].endswith("5 min in all")
    assert found["key"] == f"ours, active: {found['header']['kid']}"
    assert found["signature"].startswith("not checked here")
    assert "farseal inspect" in found["signature"]
    file = tmp_path / "token"
    file.write_text(token)
    shown = minting.out("token", "inspect", str(file))
    assert "acme" in shown
    assert token.rpartition(".")[2] not in shown + json.dumps(found)


def test_a_minted_token_belongs_to_a_session(minting) -> None:
    """A person's to one of its own, which nobody refreshes; a client's to its standing one. Both end like any other."""
    token = minting.out("token", "mint", "--user", "alice", "--lifetime", "600").strip()
    claims = claims_of(token)
    session = minting.json("sessions", "show", claims["sid"])
    assert (session["username"], session["client_id"], session["refresh"]) == ("alice", "login", "none")
    assert session["agent"].startswith("farseal-auth token mint by ")
    assert claims["status"]["status_list"]["idx"] == session["status_index"]
    found = minting.json("token", "inspect", input=token)["session"]
    entry = f"entry {session['status_index']} of the status list {session['status_list']}"
    assert re.fullmatch(
        f"ours, of alice, through login: living, ends in 9 min 5\\d s; {entry}|.*in 10 min; {entry}", found
    )
    minting.run("sessions", "end", claims["sid"])
    found = minting.json("token", "inspect", input=token)["session"]
    assert re.fullmatch(f"ours, of alice, through login: ended (now|\\d s ago) \\(operator\\); {entry}", found), found
    first, second = (claims_of(minting.out("token", "mint", "--client", "nightly")) for _ in range(2))
    assert first["sid"] == second["sid"]
    assert first["status"] == second["status"]


@pytest.mark.parametrize(
    ("claims", "words"),
    [
        pytest.param({}, "the token names none", id="none"),
        pytest.param({"sid": "x"}, "none of ours has this sid, or it has been forgotten", id="no-uuid"),
        pytest.param({"sid": 7}, "none of ours has this sid, or it has been forgotten", id="no-text"),
        pytest.param({"sid": "0" * 32}, "none of ours has this sid, or it has been forgotten", id="another-spelling"),
    ],
)
def test_a_session_that_is_not_ours_is_told(minting, claims, words) -> None:
    """Whatever the claims say, there is an answer."""
    token = f"e30.{b64url_encode(json.dumps(claims).encode())}.e30"
    assert minting.json("token", "inspect", input=token)["session"] == words


def test_a_token_that_names_another_entry_than_its_session_is_told(minting) -> None:
    """Nobody but a forger writes one."""
    claims = claims_of(minting.out("token", "mint", "--user", "alice"))
    for status in ({"status_list": {"idx": -1, "uri": claims["status"]["status_list"]["uri"]}}, {}, [], None):
        forged = f"e30.{b64url_encode(json.dumps(claims | {'status': status}).encode())}.e30"
        assert minting.json("token", "inspect", input=forged)["session"].endswith(", and the token names another entry")


@pytest.mark.parametrize(
    ("header", "words"),
    [
        pytest.param(b'{"alg":"RS256","kid":"x"}', "none of ours has this kid", id="unknown"),
        pytest.param(b'{"alg":"none"}', "the header names none", id="missing"),
        pytest.param(b'{"kid":["x"]}', "none of ours has this kid", id="no-text"),
    ],
)
def test_a_key_that_is_not_ours_is_told(minting, header, words) -> None:
    """Whatever the header says, there is an answer."""
    assert minting.json("token", "inspect", input=f"{b64url_encode(header)}.e30.e30")["key"] == words


def test_without_a_database_a_token_can_still_be_looked_into(minting) -> None:
    """The key is then said to be unknown."""
    token = minting.out("token", "mint", "--user", "alice").strip()
    minting.env["AUTH_SERVER_DATABASE_URL"] = ""
    found = minting.json("token", "inspect", input=token)
    assert found["key"] == found["session"] == "unknown: the database cannot be asked"
    assert found["claims"]["org_id"] == "acme"


def test_what_a_stranger_wrote_into_a_token_does_not_reach_the_terminal(minting) -> None:
    """Control characters in names and values come out escaped, at every depth; odd claims are shown as they are."""
    claims = {"\x1b[2J": "\x1b[31m", "aud": ["a", "\x9b1m"], "x": {"y": "\x1b"}, "exp": -1, "n": 10**300, "l": [1]}
    token = f"e30.{b64url_encode(json.dumps(claims).encode())}.e30"
    shown = minting.out("token", "inspect", input=token)
    assert all(line.isprintable() for line in shown.splitlines())
    assert re.search(r"claims aud +a \"\\u009b1m\"\n", shown)
    assert re.search(r"claims n +10{300}\n", shown)
    assert "its exp is no time" in shown


def test_on_a_terminal_a_token_is_asked_for_and_not_shown(minting, monkeypatch, tmp_path) -> None:
    """Without a file the token is typed unseen; with a file nobody is asked."""
    monkeypatch.setattr(prompts, "is_interactive", lambda: True)
    result = minting.run("token", "inspect", input="e30.e30.c2VjcmV0\n")
    assert "it has no exp" in result.stdout
    assert "c2VjcmV0" not in result.output
    assert "cannot be read" in minting.refused("token", "inspect", str(tmp_path / "missing"))


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"secret", id="no-dots"),
        pytest.param(b"secret.secret.secret.secret.secret", id="encrypted"),
        pytest.param(b"e30.secret!.x", id="not-base64url"),
        pytest.param(b"e30.c2VjcmV0.x", id="not-json"),
        pytest.param(b"e30.e30=.e30", id="padded"),
        pytest.param(b"\xff.secret", id="not-utf-8"),
        pytest.param("sécret.é.é".encode(), id="not-ascii"),
        pytest.param(b"x" * 70_000, id="far-too-long"),
    ],
)
def test_what_is_no_token_is_refused_without_being_quoted(minting, text) -> None:
    """One line, and nothing of what was given."""
    refusal = minting.refused("token", "inspect", input=text)
    assert "not a token" in refusal
    assert "secret" not in refusal
    assert len(refusal) < 200


NO_TIME = "its exp is no time in whole seconds, so no resource server takes it"


@pytest.mark.parametrize(
    ("claims", "words"),
    [
        pytest.param({"exp": NOW + 1}, "expires in 1 s", id="one-second-left"),
        pytest.param({"exp": NOW}, "expired 0 s ago", id="boundary"),
        pytest.param({"exp": NOW - 90_061, "iat": NOW - 90_361}, "expired 1 d 1 h ago, 5 min in all", id="long-ago"),
        pytest.param({}, "it has no exp, so no resource server takes it", id="no-exp"),
        pytest.param({"exp": True}, NO_TIME, id="bool-is-no-time"),
        pytest.param({"exp": "1"}, NO_TIME, id="text-is-no-time"),
        pytest.param({"exp": NOW + 1.5}, NO_TIME, id="fraction"),
        pytest.param({"exp": 1e308, "iat": 10**300}, NO_TIME, id="huge-float"),
        pytest.param({"exp": 10**300}, NO_TIME, id="huge"),
        pytest.param({"exp": -1}, NO_TIME, id="negative"),
        pytest.param({"exp": 253_402_300_800}, NO_TIME, id="year-10000"),
        pytest.param({"exp": NOW + 1, "iat": 1e308}, "expires in 1 s", id="issued-at-no-time"),
        pytest.param({"exp": NOW + 5, "iat": NOW + 10}, "expires in 5 s, -5 s in all", id="backwards"),
    ],
)
def test_a_life_is_told_in_words(claims, words) -> None:
    """A token dies at exp; the leeway of resource servers is theirs."""
    assert lifetime_words(claims, now=NOW) == words


@pytest.mark.parametrize(
    ("seconds", "words"), [(0, "0 s"), (59, "59 s"), (60, "1 min"), (3661, "1 h 1 min"), (90_000, "1 d 1 h")]
)
def test_durations_have_two_units_at_most(seconds, words) -> None:
    """The two largest."""
    assert duration_words(seconds) == words


@pytest.mark.parametrize(
    ("text", "words"), [("secret", "it has 1 part instead"), ("e30.e30", "it has 2 parts instead")]
)
def test_the_parts_of_what_is_no_token_are_counted(text, words) -> None:
    """In grammatical English."""
    with pytest.raises(MalformedTokenError, match=words):
        inspect_token(text)


def test_a_signature_is_not_kept() -> None:
    """What was taken apart does not hold it."""
    assert "c2VjcmV0" not in repr(inspect_token("e30.e30.c2VjcmV0"))


def test_a_token_lives_no_longer_than_the_policy_allows(minting) -> None:
    """Keys are dropped when tokens of that length are dead: a longer one is refused, and nothing is signed."""
    minting.env |= {"AUTH_SERVER_MAX_TOKEN_SECONDS": "600", "AUTH_SERVER_STATUS_LIST_SECONDS": "600"}
    told = minting.refused("token", "mint", "--user", "alice", "--lifetime", "601", code=1)
    assert "--lifetime may be 600 s at most: AUTH_SERVER_MAX_TOKEN_SECONDS" in told
    assert minting.json("token", "mint", "--user", "alice", "--lifetime", "600")["expires_in"] == 600
