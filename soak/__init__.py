"""`make soak`: replicas are killed, keys rotate and sessions end, under load, for as long as one likes.

The stack is the demo's, with several replicas of the auth server and rotation left to them. It is no test of the suite:
it takes a minute at least, and what it finds is rare.
"""

import sys

if sys.platform == "win32":
    raise SystemExit("the soak needs Linux or macOS; on Windows start it in WSL")
