"""The coverage report finds the data of a run wherever it is, and a member below its floor fails it."""

from pathlib import Path

import pytest
from coverage import CoverageData

from scripts import coverage_floor
from scripts.walls import ROOT


def measured(data_file: Path, member: str, module: str, arcs: list[tuple[int, int]]) -> None:
    data = CoverageData(str(data_file))
    data.add_arcs({str(next((ROOT / member / "src").iterdir()) / module): arcs})
    data.write()


@pytest.mark.parametrize("name", [".coverage", ".coverage.host.1.x"], ids=["combined", "left-by-a-process"])
def test_data_is_found(tmp_path, name, capsys) -> None:
    measured(tmp_path / name, "shared", "clock.py", [(-1, 3)])
    assert coverage_floor.main(["--no-floor", str(tmp_path / ".coverage")]) == 0
    assert "clock.py" in capsys.readouterr().out


def test_no_data_is_told(tmp_path, capsys) -> None:
    assert coverage_floor.main([str(tmp_path / ".coverage")]) == 1
    assert "no data" in capsys.readouterr().out


def test_below_the_floor_is_told(tmp_path, capsys, monkeypatch) -> None:
    """A member with too little, and one of which nothing was measured at all."""
    monkeypatch.setattr(coverage_floor, "FLOORS", {"shared": 95, "resource_b": 0})
    measured(tmp_path / ".coverage", "shared", "clock.py", [(-1, 3)])
    assert coverage_floor.main([str(tmp_path / ".coverage")]) == 1
    said = capsys.readouterr().out
    assert "BELOW" in said.split("shared ")[1].splitlines()[0]
    assert "none" in said.split("resource_b ")[1].splitlines()[0]


def test_at_the_floor_is_well(tmp_path, capsys, monkeypatch) -> None:
    monkeypatch.setattr(coverage_floor, "FLOORS", {"shared": 1})
    measured(tmp_path / ".coverage", "shared", "clock.py", [(-1, 1), (1, 3), (3, 4), (4, 5)])
    assert coverage_floor.main([str(tmp_path / ".coverage")]) == 0
    assert capsys.readouterr().out.strip().endswith("ok")
