"""``python -m farseal.service.probe URL``: ask a service whether it is ready, for the health check of a container.

Nothing but the standard library is imported: a container's health is asked for every few seconds.

Exit status: 0 when the answer is 200, 1 when it is another, or none comes within two seconds, 2 without an address.
What is not ready is told on standard output, which container engines keep beside the state.
"""

import http.client
import sys
from collections.abc import Sequence
from typing import Final
from urllib.parse import urlsplit

SECONDS: Final = 2.0
MOST_BYTES: Final = 2048
"""Of an answer that are told."""


def main(arguments: Sequence[str]) -> int:
    """Ask once; give the exit status."""
    parts = urlsplit(arguments[0] if len(arguments) == 1 else "")
    if parts.scheme != "http" or parts.hostname is None:
        sys.stderr.write("probe: give one address, http://HOST:PORT/readyz\n")
        return 2
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=SECONDS)
    try:
        connection.request("GET", parts.path or "/")
        response = connection.getresponse()
        body = response.read(MOST_BYTES).decode(errors="replace").strip()
    except (OSError, http.client.HTTPException) as error:
        sys.stdout.write(f"no answer: {error}\n")
        return 1
    finally:
        connection.close()
    if response.status != 200:
        sys.stdout.write(f"{response.status} {body}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
