"""``python -m resource_b``: serve reports. Everything is set by the environment; see docs/configuration.md."""

import argparse
import os
import sys

from farseal.environment import SettingsError
from resource_b.app import SERVICE, run_server
from resource_b.settings import load_all

EXIT_SETTINGS = 2


def main(arguments: list[str] | None = None) -> int:
    """Read the settings and serve; 2 when they have faults, all of which are told."""
    argparse.ArgumentParser(prog="python -m resource_b", description=__doc__).parse_args(arguments)
    try:
        settings, trust = load_all(os.environ)
        settings.configure_logging(SERVICE)
        return run_server(settings, trust)
    except SettingsError as error:
        sys.stderr.write(f"{SERVICE}: {error}\n")
        return EXIT_SETTINGS


if __name__ == "__main__":
    sys.exit(main())
