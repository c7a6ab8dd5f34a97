"""Who and what the demo begins with."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from demo.services import Addresses

SEED: Final = Path(__file__).with_name("seed.yaml")
PASSWORDS: Final[Mapping[str, str]] = {
    "alice": "wonderland-9",
    "bob": "builder-9",
    "carol": "christmas-9",
}
"""Known to everybody: the demo listens on loopback only. They need no quotes in a shell."""

CLIENT: Final = "nightly"
"""The program among them; its secret is chance, made here and kept in a file of that name."""


def manifest_text(addresses: Addresses) -> str:
    """Give the seed with the audiences of this demo; the file itself says those of the default ports."""
    text = SEED.read_text()
    default = Addresses(9000)
    return text.replace(default.notes, addresses.notes).replace(default.reports, addresses.reports)
