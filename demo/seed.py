"""Who and what the demo begins with."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from demo.services import Addresses

SEED: Final = Path(__file__).parent.parent / "deploy" / "seed" / "manifest.yaml"
"""The one that a new installation in containers begins with as well."""
PASSWORDS: Final[Mapping[str, str]] = {
    "alice": "wonderland-9",
    "bob": "builder-9",
    "carol": "christmas-9",
}
"""Known to everybody: the demo listens on loopback only. They need no quotes in a shell."""

CLIENT: Final = "nightly"
"""The program among them; its secret is chance, made here and kept in a file of that name."""


def manifest_text(addresses: Addresses) -> str:
    """Give the seed with the audiences of this demo in the places of NOTES and REPORTS."""
    return SEED.read_text().replace("NOTES", addresses.notes).replace("REPORTS", addresses.reports)
