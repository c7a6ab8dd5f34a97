"""``farseal`` and ``python -m farseal``."""

import sys

from farseal.cli import main

if __name__ == "__main__":
    sys.exit(main())
