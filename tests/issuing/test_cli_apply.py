"""farseal-auth apply."""

import json
import re
import stat
from pathlib import Path
from textwrap import dedent

import pytest

from auth_server.accounts import client_secrets
from auth_server.cli import prompts

README = Path(__file__).parents[2] / "auth_server" / "README.md"
NOTES, REPORTS = "https://notes.example.org", "https://reports.example.org"


def example() -> str:
    """The manifest that the README shows."""
    (found,) = re.finditer(r"```yaml\n(.*?)```", README.read_text(), re.DOTALL)
    return found[1]


@pytest.fixture
def manifest(tmp_path):
    """Writes a manifest and gives its path."""

    def write(text: str) -> str:
        file = tmp_path / "manifest.yaml"
        file.write_text(dedent(text))
        return str(file)

    return write


def test_an_idle_time_that_is_never_reached_is_warned_of(cli, manifest) -> None:
    """With the plan, as `client update` does, and once: a second run changes nothing."""
    file = manifest("""
        clients:
          - id: nightly
            session_idle_seconds: 5184000
    """)
    said = cli.run("apply", file, "--dry-run").stderr
    assert said.startswith("Warning: sessions of nightly end after 30 d in any case")
    assert cli.run("apply", file, "--yes").stderr == said
    assert cli.run("apply", file, "--yes").stderr == ""


def test_the_example_of_the_readme_does_what_it_says(cli, manifest, tmp_path) -> None:
    """Applied once everything is there, applied twice there is nothing to do."""
    file = manifest(example())
    cli.run("apply", file, "--yes")
    alice = cli.json("user", "show", "alice")
    assert alice["roles"] == ["analyst", "org_admin"]
    assert alice["attributes"] == {"org_id": "acme"}
    assert alice["permissions"] == {NOTES: ["notes:read", "notes:write"], REPORTS: ["reports:read"]}
    assert cli.json("user", "show", "bob")["permissions"] == {NOTES: []}
    client = cli.json("client", "show", "nightly-report")
    assert client["permissions"] == {NOTES: ["notes:read"], REPORTS: ["reports:read"]}
    assert client["default_resources"] == [REPORTS]
    assert client["access_token_seconds"] == 60
    login = cli.json("client", "show", "login")
    assert (login["access_token_seconds"], login["refresh"], login["session_idle_seconds"]) == (300, "rotate", 43200)
    assert cli.json("resource", "show", NOTES)["introspection_client"] == "nightly-report"
    assert cli.json("resource", "show", NOTES)["claims"] == {"org_id": "org_id"}
    secret = tmp_path / "nightly-report.secret"
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600
    stored = cli.rows("SELECT secret_hash FROM clients WHERE id = 'nightly-report'")
    assert stored == [(client_secrets.hash_secret(secret.read_text().strip()),)]
    again = cli.out("apply", file)
    assert again.startswith("Nothing to do.")
    assert {change["action"] for change in cli.json("apply", file)["plan"]} == {"unchanged"}


def test_the_readme_lists_every_field(cli, manifest) -> None:
    """A field that is unknown is answered with the list of those that are; the README's table has them all."""
    text = (
        "resources:\n  - {audience: 'http://a', x: 1}\nclients:\n  - {id: a, x: 1}\nusers:\n  - {username: a, x: 1}\n"
    )
    refusal = cli.refused("apply", manifest(text))
    fields = {field for known in re.findall(r" has (.*)", refusal) for field in known.split(", ")}
    table = set(re.findall(r"^\|[^|]*\| `(\w+)` \|", README.read_text(), re.MULTILINE))
    assert fields == table


def test_the_plan_is_shown_field_by_field(cli, manifest) -> None:
    """What comes, what goes, what becomes what."""
    cli.run("apply", manifest(example()), "--yes")
    changed = """\
        resources:
          - audience: https://notes.example.org
            name: Notes of people
            scopes: [notes:read, notes:share]
            claims: {organisation: org_id}
            introspection_client: null
        clients:
          - id: nightly-report
            access_token_seconds: null
            refresh: extend
            session_idle_seconds: 60
            disabled: true
        users:
          - username: alice
            roles: [analyst, auditor]
            attributes: {org_id: globex, level: 3}
            permissions: {"https://notes.example.org": [notes:read]}
    """
    assert cli.out("apply", manifest(changed), "--dry-run") == dedent("""\
        ~ resource https://notes.example.org
            name: Notes becomes Notes of people
            scopes: +notes:share -notes:write
            claims: -org_id
            claims: +organisation=org_id
            introspection_client: nightly-report becomes (unset)
        ~ client nightly-report
            access_token_seconds: 60 becomes (unset)
            refresh: rotate becomes extend
            session_idle_seconds: 60
            disabled: false becomes true
            and its sessions end
        ~ user alice
            roles: +auditor -org_admin
            attributes: +level=3
            attributes: org_id=acme becomes globex
            permissions: https://notes.example.org -notes:write
            permissions: https://reports.example.org withdrawn
        0 to create, 3 to update, 0 to delete, 0 unchanged.
        Not in the file and left alone (--prune deletes): resource https://reports.example.org, user bob.
    """)
    assert cli.json("user", "show", "alice")["attributes"] == {"org_id": "acme"}
    cli.run("apply", manifest(changed), "--yes")
    assert cli.json("user", "show", "alice")["attributes"] == {"org_id": "globex", "level": 3}
    assert cli.json("client", "show", "nightly-report")["disabled_at"] is not None
    assert cli.out("apply", manifest(changed)).startswith("Nothing to do.")


def test_pruning_deletes_what_the_file_does_not_mention(cli, manifest) -> None:
    """In the sections that are there, and never the built-in client."""
    cli.run("apply", manifest(example()), "--yes")
    shown = cli.out("apply", manifest("resources: []\nclients: []\n"), "--prune", "--yes")
    assert f"- resource {NOTES}\n    and every permission on it\n" in shown
    assert "- client nightly-report\n    and its sessions end\n" in shown
    assert cli.json("resource", "list") == []
    assert [client["id"] for client in cli.json("client", "list")] == ["login"]
    assert [(user["username"], user["permissions"]) for user in cli.json("user", "list")] == [
        ("alice", {}),
        ("bob", {}),
    ]
    cli.run("apply", manifest("users: []\n"), "--prune", "--yes")
    assert cli.json("user", "list") == []


def test_faults_are_told_with_file_and_line_and_nothing_is_changed(cli, manifest) -> None:
    """All of them, on standard error, exit code 1."""
    file = manifest("""\
        users:
          - username: alice
            rolls: [x]
          - username: bob
            permissions: {notes: [x]}
          - username: carol
            permissions: {"http://nowhere": [x]}
    """)
    refusal = cli.refused("apply", file, "--yes")
    assert refusal.startswith("farseal-auth: 3 faults, nothing was changed\n")
    assert f"{file}:3: unknown field 'rolls'" in refusal
    assert f"{file}:5: a resource must be an absolute URI" in refusal
    assert f"{file}:7: there is no resource http://nowhere" in refusal
    missing = manifest(f"users:\n  - username: alice\n    permissions:\n      {NOTES}: []\n")
    assert f"{missing}:4: there is no resource {NOTES}" in cli.refused("apply", missing, "--yes")
    assert cli.json("user", "list") == []


def test_faults_of_the_file_are_told_without_a_database(cli, manifest) -> None:
    """Those that need none; a good file needs one, and then exit code 3 says that it is not there."""
    cli.env["AUTH_SERVER_DATABASE_URL"] = ""
    assert ":1: unknown field 'people'" in cli.refused("apply", manifest("people: []\n"), "--yes")
    cli.refused("apply", manifest("users: []\n"), "--yes", code=3)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        pytest.param(None, "cannot be read: No such file", id="missing"),
        pytest.param(b"users: []\n# \xff\n", ":2: not UTF-8", id="not-utf-8"),
        pytest.param(b"\xef\xbb\xbfusers: []\n\x00", ":2:", id="nul"),
        pytest.param(b"", ":1: the file is empty", id="empty"),
    ],
)
def test_a_file_that_is_none_is_refused(cli, tmp_path, content, words) -> None:
    """Missing, binary or empty: a line that says so."""
    file = tmp_path / "manifest.yaml"
    if content is not None:
        file.write_bytes(content)
    assert words in cli.refused("apply", str(file), "--yes")


def test_a_directory_is_no_file(cli, tmp_path) -> None:
    """A directory in place of the file is a refusal."""
    assert "cannot be read" in cli.refused("apply", str(tmp_path))


def test_a_file_without_end_is_not_read_to_it(cli) -> None:
    """A wrong path such as a device costs a few megabytes, not the machine's memory."""
    assert "is longer than 4194304 bytes" in cli.refused("apply", "/dev/zero", "--yes")


def test_somebody_is_asked_before_anything_happens(cli, manifest, monkeypatch) -> None:
    """Off a terminal --yes is needed; on one the answer counts; with nothing to do nobody is asked."""
    file = manifest("users:\n  - username: alice\n")
    assert "--yes" in cli.run("apply", file, code=2).stderr
    monkeypatch.setattr(prompts, "is_interactive", lambda: True)
    cli.run("apply", file, input="n\n", code=1)
    assert cli.json("user", "list") == []
    assert cli.out("apply", file, input="y\n").endswith("\nApplied.\n")
    assert len(cli.json("user", "list")) == 1
    monkeypatch.undo()
    assert "Applied" not in cli.out("apply", file)


CLIENT = "clients:\n  - id: nightly\n    grant_types: [client_credentials]\n"


def test_a_new_secret_is_shown_once(cli, manifest) -> None:
    """Without a file for it the secret is on standard output, once; --json has it under the client's id."""
    shown = cli.out("apply", manifest(CLIENT), "--yes")
    (secret,) = re.findall(r"fsc_[A-Za-z0-9_-]{43}", shown)
    assert cli.rows("SELECT secret_hash FROM clients WHERE id = 'nightly'") == [(client_secrets.hash_secret(secret),)]
    more = manifest(CLIENT + "  - id: hourly\n    grant_types: [client_credentials]\n")
    body = cli.json("apply", more, "--yes")
    assert list(body["secrets"]) == ["hourly"]
    assert [change["new_secret"] for change in body["plan"]] == [False, True]
    assert cli.json("apply", more, "--yes")["secrets"] == {}


def test_a_dry_run_makes_no_secret(cli, manifest, tmp_path) -> None:
    """Nothing is written, nothing is shown."""
    body = cli.json("apply", manifest(CLIENT + "    secret_file: s\n"), "--dry-run")
    assert (body["dry_run"], body["secrets"], body["secret_files"]) == (True, {}, {})
    assert not (tmp_path / "s").exists()
    assert len(cli.json("client", "list")) == 1


def test_a_client_that_becomes_one_for_itself_gets_a_secret(cli, manifest) -> None:
    """client_credentials added to a client without a secret makes one; taken away it stays."""
    cli.run("apply", manifest("clients:\n  - id: nightly\n"), "--yes")
    assert cli.json("client", "show", "nightly")["has_secret"] is False
    assert "secret: a new one is made" in cli.out("apply", manifest(CLIENT), "--yes")
    assert cli.json("client", "show", "nightly")["has_secret"] is True
    cli.run("apply", manifest("clients:\n  - id: nightly\n    grant_types: []\n"), "--yes")
    assert "a new one" not in cli.out("apply", manifest(CLIENT), "--yes")


def test_secrets_go_to_a_directory_of_their_own(cli, manifest, tmp_path) -> None:
    """--secrets-dir takes every new secret: under its secret_file, or under the client's id."""
    directory = tmp_path / "secrets"
    directory.mkdir()
    text = CLIENT + "  - id: hourly\n    grant_types: [client_credentials]\n    secret_file: other.name\n"
    body = cli.json("apply", manifest(text), "--yes", "--secrets-dir", str(directory))
    assert body["secrets"] == {}
    assert sorted(file.name for file in directory.iterdir()) == ["nightly", "other.name"]
    assert all(stat.S_IMODE(file.stat().st_mode) == 0o600 for file in directory.iterdir())


@pytest.mark.parametrize("there", ["file", "dangling-link", "twice"])
def test_a_secret_file_is_never_written_over(cli, manifest, tmp_path, there) -> None:
    """What is there stays as it is, and nothing is applied."""
    text = CLIENT + "    secret_file: s\n"
    match there:
        case "file":
            (tmp_path / "s").write_text("precious")
        case "dangling-link":
            (tmp_path / "s").symlink_to(tmp_path / "nowhere")
        case _:
            text += "  - id: hourly\n    grant_types: [client_credentials]\n    secret_file: s\n"
    file = manifest(text)
    assert f"{file}:4: " in cli.refused("apply", file, "--yes")
    assert len(cli.json("client", "list")) == 1
    assert not (tmp_path / "nowhere").exists()


def test_a_secret_that_cannot_be_written_leaves_nothing(cli, manifest, tmp_path) -> None:
    """The client is not made, and secrets written before are taken away again."""
    text = CLIENT + "    secret_file: first\n  - id: hourly\n    grant_types: [client_credentials]\n"
    result = cli.run("apply", manifest(text + "    secret_file: missing/second\n"), "--yes", code=1)
    assert "cannot be written" in result.stderr
    assert len(cli.json("client", "list")) == 1
    assert [file.name for file in tmp_path.iterdir()] == ["manifest.yaml"]


def test_a_database_that_changed_since_the_plan_is_not_touched(cli, manifest, tmp_path, monkeypatch) -> None:
    """What was agreed to is what happens: otherwise nothing happens, and the secret file goes too."""
    file = manifest(CLIENT + "    secret_file: s\nusers:\n  - username: alice\n")

    made = "INSERT INTO users SELECT gen_random_uuid(), 'alice', NULL, NULL, '{}', 'epoch', 'epoch'"
    monkeypatch.setattr(prompts, "confirm", lambda *_, **__: cli.rows(made))
    result = cli.run("apply", file, code=1)
    assert "changed since the plan was shown" in result.stderr
    assert len(cli.json("client", "list")) == 1
    assert not (tmp_path / "s").exists()


def test_what_is_left_alone_is_named_shortly(cli, manifest) -> None:
    """Of many, five are named and the rest counted."""
    for name in "abcdefg":
        cli.run("user", "create", name, "--no-password")
    assert "user e and 2 more." in cli.out("apply", manifest("users: []\n"))
    assert len(json.loads(cli.out("apply", manifest("users: []\n"), "--json"))["left_alone"]) == 7
