"""``python -m resource_a``: serve notes, or migrate their database.

Everything is set by the environment; see docs/configuration.md.
"""

import argparse
import os
import sys

from farseal.environment import SettingsError
from farseal.errors import FarsealError
from resource_a.app import SERVICE, migrate_database, run_server
from resource_a.settings import Settings, load_all

EXIT_DONE = 0
EXIT_FAILED = 1
EXIT_SETTINGS = 2


def main(arguments: list[str] | None = None) -> int:
    """Do the command; 1 when it cannot be done, 2 when settings have faults, all of which are told."""
    parser = argparse.ArgumentParser(prog="python -m resource_a", description=__doc__)
    parser.add_argument("command", nargs="?", choices=("serve", "migrate"), default="serve", help="default: serve")
    command = parser.parse_args(arguments).command
    try:
        return _migrate() if command == "migrate" else _serve()
    except SettingsError as error:
        sys.stderr.write(f"{SERVICE}: {error}\n")
        return EXIT_SETTINGS


def _serve() -> int:
    settings, trust = load_all(os.environ)
    settings.configure_logging(SERVICE)
    return run_server(settings, trust)


def _migrate() -> int:
    settings = Settings.from_environ(os.environ)
    settings.configure_logging(SERVICE)
    try:
        applied = migrate_database(settings)
    except FarsealError as error:
        sys.stderr.write(f"{SERVICE}: cannot migrate: {error}\n")
        return EXIT_FAILED
    for migration in applied:
        sys.stdout.write(f"applied {migration.name}\n")
    if not applied:
        sys.stdout.write("nothing to apply\n")
    return EXIT_DONE


if __name__ == "__main__":
    sys.exit(main())
