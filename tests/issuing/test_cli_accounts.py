"""The operator's commands for users, clients and resources."""

import contextlib
import io
import json
import re
import stat
import uuid

import pytest

from auth_server.accounts import client_secrets
from auth_server.cli import output, prompts

NOTES = "http://127.0.0.1:9001"
PASSWORD = "correct horse"


@pytest.fixture
def notes(cli):
    """Commands where the notes resource is."""
    cli.run("resource", "create", NOTES, "--name", "Notes", "--scope", "notes:read", "--scope", "notes:write")
    return cli


def test_a_user_is_made_shown_listed_and_deleted(cli) -> None:
    """The life of a user, in JSON: nothing of the password is in it but that there is one."""
    made = cli.json(
        "user", "create", "Alice", "--attribute", "org_id=acme", "--role", "analyst", "--stdin", input=PASSWORD + "\n"
    )
    assert made["username"] == "alice"
    assert made["attributes"] == {"org_id": "acme"}
    assert made["roles"] == ["analyst"]
    assert made["has_password"] is True
    assert made["disabled_at"] is None
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", made["created_at"])
    assert "argon2" not in json.dumps(made)
    assert cli.json("user", "show", "ALICE") == made
    assert cli.json("user", "show", made["id"]) == made
    assert cli.json("user", "list") == [made]
    assert cli.json("user", "delete", "alice", "--yes") == {"username": "alice", "id": made["id"], "ended": 0}
    assert cli.json("user", "list") == []


def test_people_read_tables_and_pipes_get_tabs(cli) -> None:
    """Off a terminal a list is tab-separated lines under a header, never cut and never coloured."""
    cli.run("user", "create", "alice", "--no-password", "--role", "b", "--role", "a")
    header, row = cli.out("user", "list").splitlines()
    assert header.split("\t") == ["username", "roles", "resources", "password", "disabled"]
    assert row.split("\t") == ["alice", "a b", "-", "no", "-"]
    assert "roles         a b\n" in cli.out("user", "show", "alice")


class Terminal(io.StringIO):
    """Standard output with somebody looking."""

    def isatty(self) -> bool:
        return True


def test_on_a_terminal_a_list_is_a_table() -> None:
    """With somebody looking columns are aligned, what was stored is no markup, and an empty list says what to do."""
    with contextlib.redirect_stdout(Terminal()) as shown:
        output.show_rows(("Name", "Id"), [("[red]alice", 7), ("bo", None)], empty="There is nothing.")
        output.show_rows(("Name",), [], empty="There is nothing.")
    lines = re.sub(r"\x1b\[[0-9;]*m", "", shown.getvalue()).splitlines()
    assert [line.rstrip() for line in lines] == [
        "Name        Id",
        "[red]alice  7",
        "bo          -",
        "There is nothing.",
    ]


def test_a_username_is_taken_once_and_has_a_form(cli) -> None:
    """Taken is exit code 1, malformed is exit code 2; neither repeats more than a good name."""
    cli.run("user", "create", "alice", "--no-password")
    assert "taken" in cli.refused("user", "create", "ALICE", "--no-password")
    assert "no space" in cli.refused("user", "create", "my secret password", "--no-password", code=2)
    assert "secret" not in cli.refused("user", "create", "my secret password", "--no-password", code=2)


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        pytest.param(b"short\n", "at least 8", id="short"),
        pytest.param(b"", "at least 8", id="nothing"),
        pytest.param(b"x" * 1025 + b"\n", "at most 1024", id="long"),
        pytest.param(b"x" * 100_000, "at most 1024", id="endless"),
        pytest.param(b"pass\0word!\n", "NUL", id="nul"),
        pytest.param(b"\xff\xfe password\n", "not UTF-8", id="not-utf-8"),
    ],
)
def test_a_password_that_cannot_be_one_is_refused(cli, typed, words) -> None:
    """Nothing is made, and the password is not repeated."""
    refusal = cli.refused("user", "create", "alice", "--stdin", input=typed)
    assert words in refusal
    assert cli.rows("SELECT 1 FROM users") == []


def test_a_password_comes_from_stdin_or_a_terminal_only(cli) -> None:
    """Without a terminal and without --stdin the command says so; --stdin excludes --no-password."""
    assert "--stdin" in cli.refused("user", "create", "alice", code=2)
    assert "not both" in cli.refused("user", "create", "alice", "--stdin", "--no-password", code=2)


def test_on_a_terminal_a_password_is_asked_for_twice(cli, monkeypatch) -> None:
    """Two answers that differ are asked for again; nothing of them is shown."""
    monkeypatch.setattr(prompts, "is_interactive", lambda: True)
    typed = f"{PASSWORD}\nother horse\n{PASSWORD}\n{PASSWORD}\n"
    result = cli.run("user", "create", "alice", input=typed)
    assert "do not match" in result.output
    assert PASSWORD not in result.output
    assert cli.json("user", "show", "alice")["has_password"] is True


def test_a_new_password_replaces_the_old_one(cli) -> None:
    """set-password stores another hash; the line end is not part of the password, whichever it is."""
    cli.run("user", "create", "alice", "--no-password")
    cli.run("user", "set-password", "alice", "--stdin", input=PASSWORD + "\r\n")
    ((first,),) = cli.rows("SELECT password_hash FROM users")
    cli.json("user", "set-password", "alice", "--stdin", input="another horse")
    ((second,),) = cli.rows("SELECT password_hash FROM users")
    assert first.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert first != second
    assert "no user" in cli.refused("user", "set-password", "bob", "--stdin", input=PASSWORD)


def test_deleting_asks_first(cli, monkeypatch) -> None:
    """Without --yes nobody is deleted unless a person says so."""
    cli.run("user", "create", "alice", "--no-password")
    assert "--yes" in cli.refused("user", "delete", "alice", code=2)
    monkeypatch.setattr(prompts, "is_interactive", lambda: True)
    cli.refused("user", "delete", "alice", input="n\n")
    assert len(cli.json("user", "list")) == 1
    cli.run("user", "delete", "alice", input="y\n")
    assert cli.json("user", "list") == []


def test_disabling_and_enabling_say_what_was(cli) -> None:
    """The second time it says `already` and is no failure."""
    cli.run("user", "create", "alice", "--no-password")
    assert cli.json("user", "disable", "alice")["changed"] is True
    assert "already" in cli.out("user", "disable", "alice")
    assert cli.json("user", "show", "alice")["disabled_at"] is not None
    assert cli.json("user", "enable", "alice") == {
        "username": "alice", "id": cli.json("user", "show", "alice")["id"], "disabled": False, "changed": True,
    }  # fmt: skip
    assert "already" in cli.out("user", "enable", "alice")


def test_permissions_of_a_user_are_granted_and_revoked(notes) -> None:
    """Scopes one by one, the whole resource with --all; what is not there is refused."""
    notes.run("user", "create", "alice", "--no-password")
    notes.run("user", "grant", "alice", NOTES, "notes:read", "notes:write")
    assert "already" in notes.out("user", "grant", "alice", NOTES, "notes:read")
    notes.json("user", "revoke", "alice", NOTES, "notes:write")
    assert notes.json("user", "show", "alice")["permissions"] == {NOTES: ["notes:read"]}
    assert "notes:read" in notes.out("user", "show", "alice")
    assert "nothing of that" in notes.refused("user", "revoke", "alice", NOTES, "notes:write")
    assert "has no scope x; it has: notes:read notes:write" in notes.refused("user", "grant", "alice", NOTES, "x")
    assert "no resource" in notes.refused("user", "grant", "alice", "http://elsewhere", "x")
    assert "name the scopes" in notes.refused("user", "revoke", "alice", NOTES, code=2)
    assert "name the scopes" in notes.refused("user", "revoke", "alice", NOTES, "notes:read", "--all", code=2)
    notes.run("user", "revoke", "alice", NOTES, "--all")
    assert notes.json("user", "show", "alice")["permissions"] == {}
    notes.run("user", "grant", "alice", NOTES)
    assert notes.json("user", "show", "alice")["permissions"] == {NOTES: []}


def test_roles_are_given_and_taken(cli) -> None:
    """Giving twice is fine; taking what is not there takes nothing."""
    cli.run("user", "create", "alice", "--no-password")
    assert cli.json("user", "role", "add", "alice", "b", "a", "b")["roles"] == ["a", "b"]
    assert "does not have the role c" in cli.refused("user", "role", "remove", "alice", "a", "c")
    assert "(none)" in cli.out("user", "role", "remove", "alice", "a", "b")


@pytest.mark.parametrize(
    "words",
    [
        ("user", "show", "nobody"),
        ("user", "show", str(uuid.UUID(int=1))),
        ("user", "disable", "nobody"),
        ("user", "delete", "nobody", "--yes"),
        ("user", "role", "add", "nobody", "x"),
        ("client", "show", "nobody"),
        ("client", "disable", "nobody"),
        ("client", "delete", "nobody", "--yes"),
        ("client", "rotate-secret", "nobody"),
        ("client", "permit", "nobody", NOTES),
        ("client", "forbid", "nobody", NOTES, "--all"),
        ("resource", "show", "http://nobody"),
        ("resource", "delete", "http://nobody", "--yes"),
        ("resource", "scope", "add", "http://nobody", "x"),
        ("resource", "claim", "add", "http://nobody", "a=b"),
    ],
    ids=" ".join,
)
def test_what_is_not_there_is_exit_code_one(cli, words) -> None:
    """A name that nobody has is a refusal of one line."""
    refusal = cli.refused(*words)
    assert "there is no" in refusal
    assert refusal.count("\n") == 1


def test_a_clients_secret_is_shown_once(cli) -> None:
    """The secret is on standard output, its hash in the database, and neither in any later answer."""
    result = cli.run("client", "create", "nightly", "--name", "Nightly report", "--access-token-seconds", "60")
    secret = result.stdout.strip()
    assert re.fullmatch(r"fsc_[A-Za-z0-9_-]{43}", secret)
    assert cli.rows("SELECT secret_hash FROM clients WHERE id = 'nightly'") == [(client_secrets.hash_secret(secret),)]
    shown = cli.json("client", "show", "nightly")
    assert shown["has_secret"] is True
    assert shown["access_token_seconds"] == 60
    assert "secret_hash" not in shown
    assert "fsc_" not in cli.out("client", "list")
    assert "taken" in cli.refused("client", "create", "nightly")
    assert cli.rows("SELECT secret_hash FROM clients WHERE id = 'nightly'") == [(client_secrets.hash_secret(secret),)]


def test_how_sessions_behave_is_each_clients_own(cli) -> None:
    """Only what is named changes; `default` takes it back; the built-in client has no more than that of others."""
    cli.run("client", "create", "nightly", "--refresh", "none", "--idle", "30min", "--absolute", "7200")
    shown = cli.json("client", "show", "nightly")
    times = ("session_idle_seconds", "session_absolute_seconds", "refresh_grace_seconds")
    assert [shown[name] for name in ("refresh", *times)] == ["none", 1800, 7200, None]
    made = cli.json("client", "update", "nightly", "--refresh", "extend", "--grace", "0", "--idle", "default")
    assert made["changed"] is True
    assert [made[name] for name in ("refresh", *times)] == ["extend", None, 7200, 0]
    assert cli.json("client", "update", "nightly", "--grace", "0")["changed"] is False
    assert "already" in cli.out("client", "update", "nightly", "--grace", "0s")
    assert cli.json("client", "update", "login", "--idle", "12h", "--absolute", "7d", "--name", "People")["changed"]
    login = cli.json("client", "show", "login")
    assert [login[name] for name in ("name", *times)] == ["People", 43200, 604800, None]
    assert (login["has_secret"], login["grant_types"]) == (False, [])
    assert "more than" in cli.refused("client", "update", "login", "--idle", "8d")
    assert cli.json("client", "show", "login") == login
    assert "there is no client" in cli.refused("client", "update", "x", "--grace", "1")


def test_an_idle_time_that_is_never_reached_is_warned_of(cli) -> None:
    """Where the server's own end comes first; on standard error, so that --json stays JSON. What the client's own end
    forbids is refused, and what reaches the end exactly is good."""
    for words in (("update", "login"), ("create", "nightly")):
        result = cli.run("client", *words, "--idle", "60d", "--json")
        assert json.loads(result.stdout)["session_idle_seconds"] == 60 * 86_400
        assert result.stderr == (
            f"Warning: sessions of {words[1]} end after 30 d in any case, the server's own --absolute; "
            "--idle 60 d is never reached.\n"
        )
    assert cli.run("client", "update", "login", "--idle", "30d").stderr == ""
    assert cli.run("client", "update", "login", "--idle", "60d", "--absolute", "61d").stderr == ""
    assert "never reached" in cli.run("client", "update", "login", "--absolute", "default").stderr
    cli.env["AUTH_SERVER_SESSION_ABSOLUTE_SECONDS"] = str(90 * 86_400)
    assert cli.run("client", "update", "login", "--grace", "0").stderr == ""


def test_people_are_told_whose_a_time_is_that_is_not_the_clients(cli) -> None:
    """For scripts it is null, as ever."""
    cli.run("client", "create", "nightly", "--idle", "1h")
    told = dict(line.split(None, 1) for line in cli.out("client", "show", "nightly").splitlines())
    assert told["session_idle_seconds"] == "3600"
    for name in ("access_token_seconds", "session_absolute_seconds", "refresh_grace_seconds"):
        assert told[name] == "- (the server's own)"
        assert cli.json("client", "show", "nightly")[name] is None
    assert told["disabled_at"] == "-"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        pytest.param((), "name what to change", id="nothing"),
        pytest.param(("--idle", "59"), "60 to 31536000", id="too-short"),
        pytest.param(("--absolute", "366d"), "60 to 31536000", id="too-long"),
        pytest.param(("--grace", "301"), "0 to 300", id="long-grace"),
        pytest.param(("--grace", "-1"), "expected seconds", id="negative"),
        pytest.param(("--idle", "1 h"), "expected seconds", id="space"),
        pytest.param(("--access-token-seconds", "9"), "10 to 86400", id="life"),
        pytest.param(("--refresh", "always"), "rotate", id="policy"),
    ],
)
def test_a_time_of_a_session_has_bounds(cli, words, said) -> None:
    """They are those of the table; what is wrong is a usage error, and nothing is changed."""
    assert said in cli.refused("client", "update", "login", *words, code=2)


def test_a_resource_is_introspected_by_one_client(notes) -> None:
    """One that has a secret, or nobody; it goes with the client."""
    notes.run("client", "create", "asker")
    assert notes.json("resource", "show", NOTES)["introspection_client"] is None
    assert "has no secret" in notes.refused("resource", "update", NOTES, "--introspection-client", "login")
    assert "no client" in notes.refused("resource", "update", NOTES, "--introspection-client", "x")
    made = notes.json("resource", "update", NOTES, "--introspection-client", "asker", "--name", "Notes of people")
    assert (made["changed"], made["introspection_client"], made["name"]) == (True, "asker", "Notes of people")
    assert notes.json("resource", "update", NOTES, "--introspection-client", "asker")["changed"] is False
    assert notes.json("resource", "update", NOTES, "--introspection-client", "none")["introspection_client"] is None
    assert "name what to change" in notes.refused("resource", "update", NOTES, code=2)
    words = ("--name", "Reports", "--introspection-client", "asker")
    assert notes.json("resource", "create", "http://reports", *words)["introspection_client"] == "asker"
    assert "no client" in notes.refused("resource", "create", "http://x", "--name", "X", "--introspection-client", "y")
    assert [one["audience"] for one in notes.json("resource", "list")] == [NOTES, "http://reports"]
    notes.run("client", "delete", "asker", "--yes")
    assert notes.json("resource", "show", "http://reports")["introspection_client"] is None


def test_a_client_goes_with_its_permissions(notes, monkeypatch) -> None:
    """After a yes; its id is free again and holds nothing. `login` is the server's own and stays."""
    notes.run("client", "create", "nightly")
    notes.run("client", "permit", "nightly", NOTES, "notes:read", "--default")
    assert "--yes" in notes.refused("client", "delete", "nightly", code=2)
    monkeypatch.setattr(prompts, "is_interactive", lambda: True)
    notes.refused("client", "delete", "nightly", input="n\n")
    assert notes.rows("SELECT scope FROM client_scopes") == [("notes:read",)]
    assert notes.json("client", "delete", "nightly", "--yes") == {"id": "nightly", "ended": 0}
    assert notes.rows("SELECT client_id FROM client_resources UNION SELECT client_id FROM client_scopes") == []
    assert notes.json("client", "create", "nightly")["permissions"] == {}
    assert "belongs to the server" in notes.refused("client", "delete", "login", "--yes")
    assert notes.rows("SELECT id FROM clients ORDER BY id") == [("login",), ("nightly",)]


def test_rotating_replaces_the_secret(cli) -> None:
    """The new secret's hash takes the place of the old one's; `login` never has one."""
    old = cli.json("client", "create", "nightly")["secret"]
    new = cli.json("client", "rotate-secret", "nightly")["secret"]
    assert old != new
    assert cli.rows("SELECT secret_hash FROM clients WHERE id = 'nightly'") == [(client_secrets.hash_secret(new),)]
    assert "cannot have a secret" in cli.refused("client", "rotate-secret", "login")


def test_a_secret_can_go_to_a_file_that_only_we_read(cli, tmp_path) -> None:
    """The file is new and 0600; one that is there is not written over and then no client is made."""
    file = tmp_path / "nightly.secret"
    made = cli.json("client", "create", "nightly", "--secret-file", str(file))
    assert made["secret_file"] == str(file)
    assert "secret" not in made
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    first = file.read_text().strip()
    assert cli.rows("SELECT secret_hash FROM clients WHERE id = 'nightly'") == [(client_secrets.hash_secret(first),)]
    assert "not written over" in cli.refused("client", "rotate-secret", "nightly", "--secret-file", str(file))
    assert "not written over" in cli.refused("client", "create", "daily", "--secret-file", str(file))
    assert "cannot be written" in cli.refused("client", "create", "daily", "--secret-file", str(tmp_path / "a" / "b"))
    assert "no client" in cli.refused("client", "show", "daily")
    assert file.read_text().strip() == first
    assert cli.rows("SELECT secret_hash FROM clients WHERE id = 'nightly'") == [(client_secrets.hash_secret(first),)]
    second = tmp_path / "second"
    assert str(second) in cli.out("client", "rotate-secret", "nightly", "--secret-file", str(second))


def test_permissions_of_a_client_are_permitted_and_forbidden(notes) -> None:
    """Scopes, the default resource, and their end."""
    notes.run("client", "create", "nightly")
    assert notes.json("client", "permit", "nightly", NOTES, "notes:read")["changed"] is True
    assert notes.json("client", "permit", "nightly", NOTES, "notes:read", "--default")["changed"] is True
    assert "already" in notes.out("client", "permit", "nightly", NOTES, "notes:read", "--default")
    shown = notes.json("client", "show", "nightly")
    assert shown["permissions"] == {NOTES: ["notes:read"]}
    assert shown["default_resources"] == [NOTES]
    assert NOTES in notes.out("client", "show", "nightly")
    assert "has no scope x" in notes.refused("client", "permit", "nightly", NOTES, "x")
    notes.run("client", "forbid", "nightly", NOTES, "notes:read")
    assert "nothing of that" in notes.refused("client", "forbid", "nightly", NOTES, "notes:read")
    assert "name the scopes" in notes.refused("client", "forbid", "nightly", NOTES, code=2)
    notes.json("client", "forbid", "nightly", NOTES, "--all")
    assert notes.json("client", "show", "nightly")["permissions"] == {}


def test_clients_are_disabled_enabled_and_listed(cli) -> None:
    """The built-in client is among them."""
    cli.run("client", "create", "nightly")
    assert cli.json("client", "disable", "nightly")["changed"] is True
    assert "already" in cli.out("client", "disable", "nightly")
    assert [client["id"] for client in cli.json("client", "list")] == ["login", "nightly"]
    assert "is enabled." in cli.out("client", "enable", "nightly")


def test_whoever_disables_the_login_client_is_told_what_that_does(cli) -> None:
    """On standard error, so that --json stays JSON; another client is no such matter, nor is enabling."""
    cli.run("client", "create", "nightly")
    assert cli.run("client", "disable", "nightly").stderr == ""
    result = cli.run("client", "disable", "login", "--json")
    assert "nobody can log in" in result.stderr
    assert json.loads(result.stdout)["disabled"] is True
    assert cli.run("client", "enable", "login").stderr == ""


def test_a_resource_is_made_changed_and_deleted(notes) -> None:
    """Scopes and claims come and go; deleting takes the permissions along."""
    assert "there already" in notes.refused("resource", "create", NOTES, "--name", "x")
    assert notes.json("resource", "scope", "add", NOTES, "notes:delete")["scopes"] == [
        "notes:delete", "notes:read", "notes:write",
    ]  # fmt: skip
    assert notes.json("resource", "claim", "add", NOTES, "org_id=org")["claims"] == {"org_id": "org"}
    assert "meaning of its own" in notes.refused("resource", "claim", "add", NOTES, "sub=org", code=2)
    assert "expected" in notes.refused("resource", "claim", "add", NOTES, "org_id", code=2)
    notes.run("user", "create", "alice", "--no-password")
    notes.run("user", "grant", "alice", NOTES, "notes:delete")
    assert "--yes" in notes.refused("resource", "scope", "remove", NOTES, "notes:delete", code=2)
    notes.run("resource", "scope", "remove", NOTES, "notes:delete", "--yes")
    assert "has no scope" in notes.refused("resource", "scope", "remove", NOTES, "notes:delete", "--yes")
    assert notes.json("user", "show", "alice")["permissions"] == {NOTES: []}
    assert "no more" in notes.out("resource", "claim", "remove", NOTES, "org_id")
    assert "has no claim" in notes.refused("resource", "claim", "remove", NOTES, "org_id")
    assert [one["audience"] for one in notes.json("resource", "list")] == [NOTES]
    assert NOTES in notes.out("resource", "list")
    assert "notes:read notes:write" in notes.out("resource", "show", NOTES)
    notes.run("resource", "delete", NOTES, "--yes")
    assert notes.json("resource", "list") == []
    assert notes.json("user", "show", "alice")["permissions"] == {}


def test_every_help_shows_how(cli) -> None:
    """Groups teach with examples; the exit codes are in the first help."""
    assert "Exit codes:" in cli.out("--help")
    for group in ("user", "client", "resource", "token"):
        assert "Examples:" in cli.out(group, "--help")
    assert "Example:" in cli.out("apply", "--help")
