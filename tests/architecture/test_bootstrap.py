"""The script that brings uv into the checkout, in a checkout that has nothing yet."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.walls import ROOT


@pytest.fixture
def checkout(tmp_path) -> Path:
    (tmp_path / "scripts").mkdir()
    shutil.copy(ROOT / "scripts" / "bootstrap.sh", tmp_path / "scripts")
    shutil.copytree(ROOT / "requirements", tmp_path / "requirements")
    return tmp_path


def bootstrap(checkout: Path, *arguments: str, path: str = "/usr/bin:/bin") -> subprocess.CompletedProcess[str]:
    command = ["/bin/sh", "scripts/bootstrap.sh", *arguments]
    return subprocess.run(command, cwd=checkout, env={"PATH": path}, capture_output=True, text=True, check=False)


def fake_python(directory: Path, version: str) -> Path:
    """Says that it is another Python, and is otherwise of no use."""
    script = directory / "python-fake"
    script.write_text(f'#!/bin/sh\ncase "$*" in *version.split*) echo {version} ;; *) exit 0 ;; esac\n')
    script.chmod(0o755)
    return script


def test_a_python_that_is_not_there_is_named(checkout) -> None:
    done = bootstrap(checkout, "no-such-python")
    assert done.returncode == 1
    assert "no no-such-python here" in done.stderr


def test_another_python_than_the_environments_is_refused(checkout) -> None:
    """The named interpreter is not silently ignored because an older environment stands there."""
    (checkout / ".venv" / "bin").mkdir(parents=True)
    (checkout / ".venv" / "bin" / "python").symlink_to(sys.executable)
    assert bootstrap(checkout, "--same", sys.executable).returncode == 0
    done = bootstrap(checkout, "--same", str(fake_python(checkout, "3.99.0")))
    assert done.returncode == 1
    assert "is 3.99.0: run make clean first" in done.stderr


def test_without_an_environment_any_python_is_fine(checkout) -> None:
    assert bootstrap(checkout, "--same", sys.executable).returncode == 0
