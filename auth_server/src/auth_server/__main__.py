"""``python -m auth_server`` and ``farseal-auth``."""

from auth_server.cli import main as commands
from farseal.service.logs import configure_logging


def main() -> None:
    """Run one command; `serve` sets its own logging when it has read its settings."""
    configure_logging("farseal-auth", level="warning", format="console")
    commands(prog_name="farseal-auth")


if __name__ == "__main__":
    main()
