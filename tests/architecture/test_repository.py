"""What the repository says of itself is true."""

import dataclasses
import re

import pytest

from farseal.environment import setting
from scripts import configuration
from scripts.configuration import PAGE, page, undocumented
from scripts.walls import ROOT


def test_the_configuration_page_is_what_the_settings_classes_say() -> None:
    """Every setting, its unit and its default; `python -m scripts.configuration` writes it."""
    assert PAGE.read_text(encoding="utf-8") == page()
    assert undocumented() == []


@pytest.mark.parametrize("lock", sorted((ROOT / "requirements").glob("*.txt")), ids=lambda path: path.stem)
def test_a_lock_is_hashed_and_names_no_index(lock) -> None:
    """Whatever index pip or uv is set up with serves; a line without a hash would be refused by --require-hashes."""
    text = lock.read_text()
    assert "://" not in text
    assert "--index" not in text
    requirements = re.findall(r"^[a-z0-9._-]+==\S+.*?(?=^[a-z#]|\Z)", text, re.MULTILINE | re.DOTALL)
    assert requirements
    assert all("--hash=sha256:" in requirement for requirement in requirements)


def test_every_link_inside_the_documentation_leads_somewhere() -> None:
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *ROOT.glob("*/README.md")]
    broken = [
        f"{page.relative_to(ROOT)}: {target}"
        for page in pages
        for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
        if "://" not in target and not (page.parent / target).exists()
    ]
    assert broken == []


def test_every_test_that_security_names_exists() -> None:
    """A defence whose test was renamed or deleted would be a promise that nobody holds."""
    named = re.findall(r"`([a-z]+/test_\w+\.py)(?:::(\w+))?`", (ROOT / "SECURITY.md").read_text())
    assert len(named) > 40
    missing = [
        f"{file}::{test}"
        for file, test in named
        if not (path := ROOT / "tests" / file).exists() or (test and f"def {test}(" not in path.read_text())
    ]
    assert missing == []


def test_every_make_target_of_the_documentation_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    named = {name for page in pages for name in re.findall(r"`(?:[A-Z_]+=\S+ )*make ([a-z-]+)", page.read_text())}
    assert named
    assert named <= targets


def test_a_setting_without_a_line_on_the_page_is_seen(monkeypatch, capsys) -> None:
    """`--check` fails for a page that lacks one, and for a field that nobody can set."""
    assert configuration.main(["--check"]) == 0

    @dataclasses.dataclass
    class Planted:
        documented: int = setting("A planted setting", unit="none", default=1)
        hidden: int = 2

    monkeypatch.setattr(configuration, "SECTIONS", (*configuration.SECTIONS, ("Planted", "", "PLANTED_", Planted)))
    assert undocumented() == ["Planted.hidden"]
    assert configuration.main(["--check"]) == 1
    assert "is not" in capsys.readouterr().out
