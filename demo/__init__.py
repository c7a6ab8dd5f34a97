"""Everything on one machine, in one command, and the tour. Not part of any image."""

import sys

if sys.platform == "win32":
    raise SystemExit("the demo needs Linux or macOS; on Windows start it in WSL")
