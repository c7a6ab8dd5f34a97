"""What an image says it is made of: scripts/revision.sh, in checkouts of its own."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from scripts.walls import ROOT

GIT = ("git", "-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false")


def git(folder: Path, *words: str) -> str:
    return subprocess.run([*GIT, *words], cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


def revision(folder: Path, **told: str) -> str:
    environment = {"PATH": os.environ["PATH"]} | told
    words = ["sh", "scripts/revision.sh"]
    done = subprocess.run(words, cwd=folder, check=True, capture_output=True, text=True, env=environment)
    assert done.stderr == ""
    return done.stdout.strip()


@pytest.fixture
def folder(tmp_path) -> Path:
    """A folder with the script and a Dockerfile, and no history."""
    (tmp_path / "scripts").mkdir()
    shutil.copy(ROOT / "scripts" / "revision.sh", tmp_path / "scripts")
    (tmp_path / "Dockerfile").write_text("FROM scratch\n")
    return tmp_path


def test_without_a_history_it_is_unknown(folder) -> None:
    assert revision(folder) == "unknown"


def test_what_is_said_to_it_counts(folder) -> None:
    assert revision(folder, FARSEAL_REVISION="abc") == "abc"
    assert revision(folder, FARSEAL_REVISION="") == "unknown"


def test_a_copy_inside_another_history_does_not_take_that_one_for_its_own(folder) -> None:
    (folder / "other").write_text("")
    git(folder, "init", "--quiet")
    git(folder, "add", "other")
    git(folder, "commit", "--quiet", "--message", "Other")
    assert revision(folder) == "unknown"


def test_it_is_the_last_commit_that_changed_an_image(folder) -> None:
    """A commit of anything else does not start what runs anew; a change that no commit has is told."""
    git(folder, "init", "--quiet")
    git(folder, "add", "Dockerfile")
    git(folder, "commit", "--quiet", "--message", "Image")
    commit = git(folder, "rev-parse", "HEAD")
    assert revision(folder) == commit
    (folder / "README.md").write_text("")
    git(folder, "add", "README.md")
    git(folder, "commit", "--quiet", "--message", "Page")
    assert revision(folder) == commit
    (folder / "Dockerfile").write_text("FROM debian\n")
    assert revision(folder) == f"{commit}-dirty"
