"""scripts/secrets.sh: what it makes is whole, private, and never changed, whoever else is making it."""

import os
import re
import shlex
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from scripts.walls import ROOT

SCRIPT = ROOT / "scripts" / "secrets.sh"
NAMES = {
    "kek", "auth_db_admin_password", "auth_db_password", "notes_db_admin_password", "notes_db_password",
    "auth_database_url", "notes_database_url", "alice_password", "bob_password", "carol_password",
}  # fmt: skip
NOBODY = 65534
AS_NOBODY = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.getuid() == 0 else {}
"""A user without rights: whoever runs the tests, unless that is root."""


def make(*words: str, folder: Path, path: str = os.environ["PATH"], **more) -> subprocess.CompletedProcess[str]:
    """Run the script in a folder."""
    environment = {"PATH": path, "LANG": "C.UTF-8"}
    return subprocess.run(
        ["sh", str(SCRIPT), *words], cwd=folder, env=environment, capture_output=True, text=True, check=False, **more
    )


def contents(folder: Path) -> dict[str, str]:
    """Give the secrets by their names. Hidden files are no secrets: nobody mounts them."""
    return {file.name: file.read_text() for file in folder.iterdir() if not file.name.startswith(".")}


def are_whole(secrets: dict[str, str]) -> bool:
    """Tell whether all are there, of full length, and agree with each other."""
    lengths = {"kek": 64, "alice_password": 24, "bob_password": 24, "carol_password": 24}
    urls = {
        f"{name}_database_url": f"postgresql://farseal_{name}:{secrets[f'{name}_db_password']}@{name}_db:5432/farseal_{name}"
        for name in ("auth", "notes")
    }
    return (
        set(secrets) == NAMES
        and all(secrets[name] == url for name, url in urls.items())
        and all(re.fullmatch(rf"[0-9a-f]{{{lengths.get(name, 64)}}}", secrets[name]) for name in NAMES - set(urls))
    )


@pytest.fixture
def folder(reachable_directory) -> Path:
    """A folder that any user may work in."""
    reachable_directory.chmod(0o777)
    return reachable_directory


def test_secrets_are_whole_private_and_all_different(folder) -> None:
    done = make("made", folder=folder)
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == "farseal: 10 secrets in made, 10 of them new\n"
    secrets = contents(folder / "made")
    assert are_whole(secrets)
    assert len(set(secrets.values())) == len(secrets)
    assert stat.S_IMODE((folder / "made").stat().st_mode) == 0o700
    assert {stat.S_IMODE(file.stat().st_mode) for file in (folder / "made").iterdir()} == {0o600}
    assert not any(value in done.stderr for value in secrets.values())
    assert {file.name for file in (folder / "made").iterdir()} == NAMES  # and nothing beside


def test_a_folder_that_was_open_is_closed(folder) -> None:
    (folder / "made").mkdir(mode=0o777)
    (folder / "made").chmod(0o777)
    assert make("made", folder=folder).returncode == 0
    assert stat.S_IMODE((folder / "made").stat().st_mode) == 0o700


def test_what_is_there_is_never_written_over(folder) -> None:
    make("made", folder=folder)
    before = contents(folder / "made")
    done = make("made", folder=folder)
    assert done.stderr == "farseal: 10 secrets in made, 0 of them new\n"
    assert contents(folder / "made") == before
    (folder / "made" / "bob_password").unlink()
    assert make("made", folder=folder).stderr == "farseal: 10 secrets in made, 1 of them new\n"
    after = contents(folder / "made")
    assert {name for name in NAMES if after[name] != before[name]} == {"bob_password"}


def test_a_secret_of_ones_own_is_kept_and_used(folder) -> None:
    (folder / "made").mkdir()
    (folder / "made" / "auth_db_password").write_text("own")
    make("made", folder=folder)
    assert contents(folder / "made")["auth_database_url"].startswith("postgresql://farseal_auth:own@auth_db:")


@pytest.mark.parametrize("attempt", range(5))
def test_two_at_once_make_one_set(folder, attempt) -> None:
    """Both end well, and no secret changes once it is there: the other one's URL is made of it."""
    running = [
        subprocess.Popen(["sh", str(SCRIPT), "made"], cwd=folder, stderr=subprocess.PIPE, text=True) for _ in range(4)
    ]
    told = [(process.communicate()[1], process.returncode) for process in running]
    assert [status for _, status in told] == [0] * 4, told
    assert are_whole(contents(folder / "made"))
    assert {file.name for file in (folder / "made").iterdir()} == NAMES


def stepwise(folder: Path, name: str, program: str) -> str:
    """Give a PATH upon which one program is another one's script; ``real`` is the true one."""
    (folder / "bin").mkdir()
    script = folder / "bin" / name
    script.write_text(f"#!/bin/sh\nreal={shutil.which(name)}\n{program}\n")
    script.chmod(0o755)
    return f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}"


def test_a_secret_that_another_run_makes_meanwhile_is_not_changed(folder) -> None:
    """Two runs see no kek, and both make one. The second to come finds the first one's in place, and leaves it."""
    path = stepwise(
        folder, "ln", f'PATH={os.environ["PATH"]} sh {shlex.quote(str(SCRIPT))} made 2>>second; exec "$real" "$@"'
    )
    done = make("made", folder=folder, path=path)
    assert done.returncode == 0, done.stderr
    assert (folder / "second").read_text().splitlines()[0] == "farseal: 10 secrets in made, 10 of them new"
    assert are_whole(contents(folder / "made"))


def test_what_a_killed_run_left_half_written_is_not_taken(folder) -> None:
    """Killed before a secret has its name, a run leaves nothing by that name; the next one makes it whole."""
    path = stepwise(folder, "ln", 'kill -KILL "$PPID"')
    assert make("made", folder=folder, path=path).returncode != 0
    assert contents(folder / "made") == {}
    assert make("made", folder=folder).returncode == 0
    assert are_whole(contents(folder / "made"))


@pytest.mark.parametrize("half", [b"", b"0a"], ids=["nothing", "half"])
def test_chance_that_comes_short_is_no_secret(folder, half) -> None:
    """Better no secret than one that can be guessed."""
    path = stepwise(folder, "od", f"printf {half.decode()!r}; exit 1")
    done = make("made", folder=folder, path=path)
    assert done.returncode != 0
    assert contents(folder / "made") == {}
    assert done.stderr.splitlines()[-1] == "farseal: kek cannot be made"


def test_a_folder_that_cannot_be_made_is_named(folder) -> None:
    (folder / "file").write_text("")
    done = make("file/made", folder=folder)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == "farseal: file/made cannot be written by the user who runs this"


@pytest.mark.skipif(os.getuid() != 0, reason="there is no other user to be")
def test_a_folder_of_somebody_else_is_named(folder) -> None:
    (folder / "made").mkdir()
    done = make("made", folder=folder, **AS_NOBODY)
    assert (done.returncode, contents(folder / "made")) == (1, {})
    assert done.stderr.splitlines()[-1] == "farseal: made cannot be written by the user who runs this"


def test_the_containers_are_told_who_owns_the_secrets(folder) -> None:
    """Once, on lines of its own, after whatever is there already."""
    (folder / ".env").write_text("FARSEAL_AUTH_PORT=9200")
    (folder / ".env").chmod(0o666)
    for _ in range(2):
        assert make(folder=folder, **AS_NOBODY).returncode == 0
    owner = (folder / ".secrets" / "kek").stat()
    assert (folder / ".env").read_text().splitlines() == [
        "FARSEAL_AUTH_PORT=9200", f"FARSEAL_UID={owner.st_uid}", f"FARSEAL_GID={owner.st_gid}",
    ]  # fmt: skip


@pytest.mark.skipif(os.getuid() != 0, reason="root alone gives files away")
def test_made_by_root_they_are_the_images_users(folder) -> None:
    make(folder=folder)
    assert {(file.stat().st_uid, file.stat().st_gid) for file in (folder / ".secrets").iterdir()} == {(10001, 10001)}
    assert not (folder / ".env").exists()
