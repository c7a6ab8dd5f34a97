"""farseal-auth migrate and serve; and what stands in the way of any command."""

import subprocess
import sys
from urllib.parse import urlsplit

import pytest

from auth_server.cli import session
from auth_server.database_settings import DatabaseSettings, load_database_settings
from farseal.environment import SettingsError
from tests.support.commands import Commands

MIGRATIONS = [
    "0001_accounts.sql",
    "0002_signing_keys.sql",
    "0003_throttle.sql",
    "0004_key_rotation.sql",
    "0005_sessions.sql",
]


def program(*words: str, env: dict[str, str], stdin: str = "") -> subprocess.CompletedProcess[str]:
    """The command as operators start it, in a process of its own, with these variables only."""
    return subprocess.run(
        [sys.executable, "-m", "auth_server", *words], env=env, input=stdin, capture_output=True, text=True, check=False
    )


def test_migrating_makes_the_tables_once(empty_cli) -> None:
    """The plan names what is pending, the first run applies it, the second finds nothing."""
    assert "farseal-auth migrate" in empty_cli.refused("user", "list", code=3)
    assert empty_cli.json("migrate", "--plan") == {"pending": MIGRATIONS}
    assert empty_cli.out("migrate", "--plan").splitlines() == [f"Pending: {name}" for name in MIGRATIONS]
    assert empty_cli.out("migrate").splitlines()[-1] == f"Applied: {MIGRATIONS[-1]}"
    assert empty_cli.json("migrate") == {"applied": []}
    assert "up to date" in empty_cli.out("migrate")
    assert empty_cli.json("user", "list") == []


def test_a_database_of_another_version_is_refused_by_name(cli) -> None:
    """A file that has changed since it was applied is named; nothing is applied."""
    cli.rows("UPDATE auth_server_migration SET checksum = 'x' WHERE number = 1")
    assert "0001_accounts.sql has changed" in cli.refused("migrate", code=3)


@pytest.mark.parametrize(
    ("env", "words"),
    [
        pytest.param({}, "AUTH_SERVER_DATABASE_URL", id="not-set"),
        pytest.param({"AUTH_SERVER_DATABASE_URL": "mysql://x"}, "AUTH_SERVER_DATABASE_URL", id="not-postgresql"),
        pytest.param({"AUTH_SERVER_DATABASE_URL_FILE": "/nonexistent"}, "cannot be read", id="file-missing"),
        pytest.param(
            {"AUTH_SERVER_DATABASE_URL": "postgresql://u:hunter2@127.0.0.1:1/x"}, "no database answered", id="refused"
        ),
    ],
)
def test_without_a_database_the_exit_code_is_three(env, words) -> None:
    """One clear message, no traceback, no password."""
    commands = Commands("")
    commands.env |= env
    refusal = commands.refused("user", "list", code=3)
    assert words in refusal
    assert "hunter2" not in refusal


def test_other_settings_of_the_server_are_not_looked_at() -> None:
    """An operator's shell may have the server's whole environment, faults included; a misspelled name is a fault."""
    env = {
        "AUTH_SERVER_DATABASE_URL": "postgresql://u:hunter2@h/d",
        "AUTH_SERVER_PORT": "not a port",
        "AUTH_SERVER_ISSUER": "?",
    }
    settings = load_database_settings(env)
    assert isinstance(settings, DatabaseSettings)
    assert "hunter2" not in repr(settings)
    with pytest.raises(SettingsError, match="AUTH_SERVER_DATABSE_URL: no such setting"):
        load_database_settings({**env, "AUTH_SERVER_DATABSE_URL": "x"})


def test_tables_of_another_version_are_told(cli) -> None:
    """A missing column is a question of migrations, not a traceback."""
    cli.rows("ALTER TABLE users RENAME COLUMN username TO other_name")
    assert "lacks tables of this version" in cli.refused("user", "list", code=3)


def test_a_standby_is_no_place_to_write(cli) -> None:
    """A database that takes no writes counts as one that cannot be used; reading goes on."""
    name = urlsplit(cli.dsn).path[1:]
    cli.rows(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    cli.refused("user", "create", "alice", "--no-password", code=3)
    assert cli.json("user", "list") == []


def test_a_role_that_may_not_read_is_told_so(cli) -> None:
    """A missing privilege is PostgreSQL's own sentence and exit code 3."""
    cli.rows("CREATE FUNCTION deny() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RAISE insufficient_privilege; END$$")
    cli.rows("CREATE TRIGGER deny BEFORE INSERT ON users EXECUTE FUNCTION deny()")
    assert "the database refused" in cli.refused("user", "create", "alice", "--no-password", code=3)


def test_what_the_tables_refuse_is_a_refusal(cli) -> None:
    """A rule that only SQL knows ends in a line and exit code 1; nothing is changed."""
    cli.rows("ALTER TABLE users ADD CONSTRAINT no_bob CHECK (username <> 'bob')")
    refusal = cli.refused("user", "create", "bob", "--no-password")
    assert "no_bob" in refusal
    assert "nothing was changed" in refusal
    assert cli.json("user", "list") == []


def test_a_command_is_found_by_its_program(cli) -> None:
    """`python -m auth_server` is the same command: streams apart, exit codes as documented, logs on standard error."""
    env = {"AUTH_SERVER_DATABASE_URL": cli.dsn}
    made = program("user", "create", "alice", "--stdin", env=env, stdin="correct horse\n")
    assert (made.returncode, made.stderr) == (0, "")
    assert made.stdout.startswith("Made alice, id ")
    refused = program("user", "show", "bob", env=env)
    assert (refused.returncode, refused.stdout, refused.stderr) == (1, "", "farseal-auth: there is no user bob\n")
    assert program("user", "shew", "bob", env=env).returncode == 2


def test_serve_gives_the_servers_exit_code() -> None:
    """Without settings all of them are named and the exit code is 2, as `run_server` documents."""
    done = program("serve", env={})
    assert done.returncode == 2
    for name in ("AUTH_SERVER_ISSUER", "AUTH_SERVER_DATABASE_URL", "AUTH_SERVER_KEK_FILE"):
        assert name in done.stderr
    assert "Traceback" not in done.stderr


def test_the_clock_is_read_once_per_question() -> None:
    """The commands are composition roots: they read the process clock."""
    assert abs(session.moment().timestamp() - session.now()) <= 1
