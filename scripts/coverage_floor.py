"""Combines what the test run's workers measured, prints it, and holds each member to its floor of branch coverage.

python -m scripts.coverage_floor
"""

import io
import sys

from coverage import Coverage
from coverage.exceptions import NoDataError

FLOORS = {"shared": 95, "auth_server": 90, "resource_a": 90, "resource_b": 90}
"""Percent of statements and branches."""


def main() -> int:
    """Exit 1 if a member is below its floor; print every line that no test reached."""
    coverage = Coverage()
    try:
        coverage.combine(strict=True)
    except NoDataError:
        print("coverage: no data; did the tests run with --cov?")
        return 1
    coverage.save()
    coverage.report(show_missing=True, skip_covered=True)
    print()
    bad = 0
    for member, floor in FLOORS.items():
        percent = coverage.report(include=[f"*/{member}/src/*"], file=io.StringIO())
        verdict = "ok" if percent >= floor else "BELOW"
        print(f"coverage: {member:12} {percent:5.1f} %  (floor {floor} %) {verdict}")
        bad += percent < floor
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
