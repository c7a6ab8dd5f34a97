"""Announces a further key and signs with it in the same moment: what rotation is where nobody thought of verifiers.

Run as a program, by path, with the auth server's settings: ``python -P naive_program.py naive``. Prints the kid as
JSON.

Exit status: 0 when it is done, 1 when a command was refused.
"""

import contextlib
import io
import json
import sys
import time
from typing import Any, Final

import click

from auth_server.cli import main

TRIES: Final = 100
TRY_SECONDS: Final = 0.1
"""Together 10 s: a key of 4096 bits for the pool is made in that time."""


def command(*words: str) -> Any:
    """Run one command of ``farseal-auth`` in this process; give the JSON it prints.

    Raises:
        click.ClickException: refused.
    """
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        main(words, standalone_mode=False)
    return json.loads(printed.getvalue())


def announce() -> Any:
    """Announce a key of the pool, waiting for one to be made."""
    for turn in range(TRIES):
        try:
            return command("keys", "announce", "--force", "--yes", "--json")
        except click.ClickException:
            if turn == TRIES - 1:
                raise
            time.sleep(TRY_SECONDS)
    raise AssertionError("unreachable")


if __name__ == "__main__":
    try:
        kid = announce()["changed"][0]["kid"]
        command("keys", "activate", kid, "--force", "--yes", "--json")
    except click.ClickException as error:
        error.show()
        sys.exit(1)
    sys.stdout.write(json.dumps({"kid": kid}) + "\n")
