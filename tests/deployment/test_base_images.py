"""deploy/base-images/build.sh, as far as it needs no engine: its options, and the Debian mirror that it finds."""

import os
import subprocess
from pathlib import Path

import pytest

from scripts.walls import ROOT

SCRIPT = ROOT / "deploy" / "base-images" / "build.sh"
DEB822 = """\
# Debian
Types: deb deb-src
URIs: http://mirror.example.org/debian/
Suites: trixie trixie-updates
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: http://security.example.org/debian-security
Suites: trixie-security
Components: main
"""
ONE_LINE = """\
# deb http://old.example.org/debian bullseye main
deb-src http://source.example.org/debian trixie main
deb http://security.example.org/debian-security trixie-security main
deb [arch=amd64 signed-by=/usr/share/keyrings/debian.gpg] https://mirror.example.org/debian/ trixie main contrib
"""
FOREIGN = """\
Types: deb
URIs: https://download.example.com/linux/debian
Suites: trixie
Components: stable
"""
FOREIGN_LINE = "deb https://apt.example.com/pub/repos/apt trixie-pgdg main\n"
OFF = f"Enabled: no\n{DEB822.replace('mirror', 'off').partition('trixie-updates')[0]}\nComponents: main"
MIRROR = "mirror.example.org/debian"


def build(*words: str, sources: Path | None = None, path: str = os.environ["PATH"]) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": path, "LANG": "C.UTF-8"} | ({"APT_SOURCES": str(sources)} if sources else {})
    return subprocess.run(
        ["bash", str(SCRIPT), *words], env=environment, capture_output=True, text=True, check=False
    )  # fmt: skip


def apt(folder: Path, **files: str) -> Path:
    """Lay apt's sources: ``list`` is sources.list, others are files of sources.list.d, their dot written as ``_``."""
    (folder / "sources.list.d").mkdir()
    for name, text in files.items():
        place = folder / "sources.list" if name == "list" else folder / "sources.list.d" / name.replace("_", ".")
        place.write_text(text)
    return folder


def test_help_tells_every_option() -> None:
    done = build("--help")
    assert (done.returncode, done.stderr) == (0, "")
    for option in ("--check", "--rebuild", "--remove", "--mirror", "MIRROR=URL", "BASE_PREFIX=x/"):
        assert option in done.stdout
    assert "set -e" not in done.stdout
    assert build("-h").stdout == done.stdout


@pytest.mark.parametrize("words", [("--nonsense",), ("check",), ("--check", "extra")], ids=" ".join)
def test_an_option_that_is_not_known_is_refused(words) -> None:
    """Before anything is asked of an engine."""
    done = build(*words)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"farseal: no such option: {words[-1]}; see --help\n"


@pytest.mark.parametrize(
    ("files", "mirror"),
    [
        pytest.param({"debian_sources": DEB822}, f"http://{MIRROR}", id="deb822"),
        pytest.param({"debian_sources": DEB822.replace("\n\n", "\n \n")}, f"http://{MIRROR}", id="blank"),
        pytest.param({"list": ONE_LINE}, f"https://{MIRROR}", id="one-line"),
        pytest.param({"debian_list": ONE_LINE}, f"https://{MIRROR}", id="one-line-in-a-file-of-its-own"),
        pytest.param({"list": ONE_LINE.replace(" [", "\t[ ")}, f"https://{MIRROR}", id="one-line-with-tabs"),
        pytest.param({"a_sources": FOREIGN, "b_sources": DEB822}, f"http://{MIRROR}", id="not-another-house's"),
        pytest.param({"a_sources": FOREIGN, "list": ONE_LINE}, f"https://{MIRROR}", id="nor-its-file"),
        pytest.param({"a_list": FOREIGN_LINE, "b_list": ONE_LINE}, f"https://{MIRROR}", id="not-another-suite"),
        pytest.param(
            {"a_sources": OFF, "b_sources": DEB822},
            f"http://{MIRROR}",
            id="not-one-that-is-off",
        ),
        pytest.param(
            {"a_sources": "Types: deb\nURIs:\n http://mirror.example.org/debian\nSuites: stable\nComponents: main\n"},
            f"http://{MIRROR}",
            id="on-a-line-of-its-own",
        ),
    ],
)  # fmt: skip
def test_the_debian_mirror_of_the_host_is_found(tmp_path, files, mirror) -> None:
    """Of Debian itself: of security updates alone, or of another house's packages, no system can be made."""
    done = build("--mirror", sources=apt(tmp_path, **files))
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{mirror}\n", "")


@pytest.mark.parametrize(
    "files",
    [
        pytest.param({}, id="no-sources"),
        pytest.param({"a_sources": FOREIGN}, id="another-house's"),
        pytest.param({"list": "deb http://archive.ubuntu.com/ubuntu noble main\n"}, id="ubuntu"),
        pytest.param({"a_sources": DEB822.partition("\n\n")[2]}, id="security-alone"),
    ],
)
def test_a_host_without_a_debian_mirror_is_told_what_to_do(tmp_path, files) -> None:
    done = build("--mirror", sources=apt(tmp_path, **files))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "farseal: the host's apt sources name no Debian mirror: MIRROR=URL make base-images\n"


def test_without_an_engine_it_says_so(tmp_path) -> None:
    docker = tmp_path / "docker"
    docker.write_text("#!/bin/sh\nexit 1\n")
    docker.chmod(0o755)
    for words in ((), ("--check",), ("--remove",), ("--rebuild",)):
        done = build(*words, path=f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
        assert (done.returncode, done.stderr) == (1, "farseal: no Docker engine answers\n")
