"""scripts/compose.sh: which compose it takes, and what it says where there is none. Programs here only play docker."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from scripts.walls import ROOT

TOOLS = ("sh", "dirname", "id", "tail")
"""All that the script needs beside docker."""
ENGINE = 'case $1 in info) exit 0 ;; esac; echo "docker $*"'
NO_ENGINE = (
    'case $1 in info) echo "Client: 28" ; echo "warning" >&2; echo "Cannot connect to the daemon" >&2; exit 1 ;; esac'
)
NO_PLUGIN = "case $1 in compose) exit 1 ;; esac\n"

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run(tmp_path) -> Run:
    """Run the script where there are these programs and no others."""

    def run(*words: str, environment: dict[str, str] | None = None, **programs: str):
        place = tmp_path / "bin"
        place.mkdir()
        for tool in TOOLS:
            (place / tool).symlink_to(str(shutil.which(tool)))
        for name, text in programs.items():
            program = place / name.replace("_", "-")
            program.write_text(f"#!/bin/sh\n{text}\n")
            program.chmod(0o755)
        command = [str(place / "sh"), str(ROOT / "scripts" / "compose.sh"), *words]
        told = {"PATH": str(place)} | (environment or {})
        return subprocess.run(command, env=told, cwd=tmp_path, capture_output=True, text=True, check=False)

    return run


def test_the_plugin_goes_before_the_older_program(run) -> None:
    done = run("up", "-d", "a b", docker=ENGINE, docker_compose='echo "older $*"')
    assert (done.returncode, done.stdout, done.stderr) == (0, "docker compose up -d a b\n", "")


def test_the_older_program_does_too(run) -> None:
    done = run("up", docker=NO_PLUGIN + ENGINE, docker_compose='echo "older $*"')
    assert (done.returncode, done.stdout) == (0, "older up\n")


def test_another_one_is_taken_where_it_is_named(run) -> None:
    done = run("up", docker=ENGINE, other='echo "other $*"', environment={"FARSEAL_COMPOSE": "other --quiet"})
    assert (done.returncode, done.stdout) == (0, "other --quiet up\n")


def test_words_stay_whole_and_the_status_is_composes_own(run) -> None:
    text = 'case $1 in info) exit 0 ;; esac; [ "$2" != version ] || exit 0; for word; do echo "<$word>"; done; exit 7'
    done = run("exec", "a b", "*", docker=text)
    assert (done.returncode, done.stdout.split("\n")) == (7, ["<compose>", "<exec>", "<a b>", "<*>", ""])


def test_it_works_in_the_checkout_whoever_calls_from_where(run) -> None:
    done = run("up", docker='case $1 in info) exit 0 ;; esac; [ "$2" = version ] || pwd')
    assert Path(done.stdout.strip()) == ROOT.absolute()


@pytest.mark.parametrize(
    ("programs", "told"),
    [
        pytest.param({}, "Docker is not here: see https://docs.docker.com/engine/install/", id="no-docker"),
        pytest.param({"docker_compose": "exit 1"}, "Docker is not here", id="the-older-compose-without-docker"),
        pytest.param({"docker": NO_PLUGIN + ENGINE}, "docker is here and compose is not: install", id="no-compose"),
        pytest.param({"docker": NO_ENGINE}, "no Docker engine answers: Cannot connect to the daemon", id="no-engine"),
        pytest.param(
            {"docker": NO_PLUGIN + NO_ENGINE, "docker_compose": "exit 1"}, "no Docker engine", id="no-engine-v1"
        ),
    ],
)
def test_what_is_missing_is_named_in_a_line_or_two(run, programs, told) -> None:
    """Nothing is run, and no traceback of somebody else's is shown."""
    done = run("up", **programs)
    assert (done.returncode, done.stdout) == (1, "")
    lines = done.stderr.splitlines()
    assert lines[0].startswith(f"farseal: {told}")
    assert len(lines) <= 2
    assert all(line.startswith("farseal: ") for line in lines)
