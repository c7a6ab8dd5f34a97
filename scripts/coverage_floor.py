"""Prints what the test run reached, and holds each member to its floor of branch coverage.

    python -m scripts.coverage_floor [--no-floor] [DATA-FILE]

`--no-floor` prints and judges nothing: for a run of selected tests.
"""

import io
import sys
from pathlib import Path
from typing import Final

from coverage import Coverage

FLOORS: Final = {"shared": 95, "auth_server": 90, "resource_a": 90, "resource_b": 90}
"""Percent of statements and branches."""


def collected(data_file: Path) -> Coverage | None:
    """The data of a run: what pytest-cov combined, and what processes that ended later left beside it."""
    coverage = Coverage(data_file=str(data_file))
    parts = [str(path) for path in data_file.parent.glob(f"{data_file.name}.*")]
    if data_file.exists():
        coverage.load()
    elif not parts:
        return None
    if parts:
        coverage.combine(parts)
        coverage.save()
    return coverage


def percent(coverage: Coverage, member: str) -> float | None:
    """Of one member; None where nothing of it was measured."""
    pattern = f"*/{member}/src/*"
    if not any(f"/{member}/src/" in name for name in coverage.get_data().measured_files()):
        return None
    return coverage.report(include=[pattern], file=io.StringIO())


def main(arguments: list[str]) -> int:
    """Exit 1 if a member is below its floor or was not measured; print every line that no test reached."""
    files = [argument for argument in arguments if not argument.startswith("-")]
    coverage = collected(Path(files[0] if files else ".coverage"))
    if coverage is None or not coverage.get_data().measured_files():
        print("coverage: no data; did the tests run with --cov?")
        return 1
    coverage.report(show_missing=True, skip_covered=True)
    if "--no-floor" in arguments:
        return 0
    print()
    bad = 0
    for member, floor in FLOORS.items():
        reached = percent(coverage, member)
        good = reached is not None and reached >= floor
        shown = "  none" if reached is None else f"{reached:5.1f} %"
        print(f"coverage: {member:12} {shown}  (floor {floor} %) {'ok' if good else 'BELOW'}")
        bad += not good
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
