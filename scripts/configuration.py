"""Writes docs/configuration.md from the settings classes, so that no setting is missing and no default is wrong.

python -m scripts.configuration          # writes the page
python -m scripts.configuration --check  # exits 1 if the page is not what would be written
"""

import dataclasses
import sys
from pathlib import Path
from typing import Final

from auth_server.settings import AuthServerSettings
from demo.settings import CHECKOUT
from demo.settings import Settings as DemoSettings
from farseal.environment import describe
from farseal.settings import TrustSettings
from resource_a.settings import Settings as NotesSettings
from resource_b.settings import Settings as ReportsSettings
from soak.settings import Settings as SoakSettings

PAGE: Final = CHECKOUT / "docs" / "configuration.md"

HEAD: Final = """\
# Configuration

Every service reads its settings from the environment when it starts, and names every fault at once: a variable missing,
misspelt, malformed or out of range. Nothing else is read later, and nothing is reloaded.

- An empty variable counts as not set.
- A **secret** may be given as `NAME_FILE`, the path of a file that holds it; giving both is a fault. Prefer the file.
- `<PREFIX>SETTINGS_FILE` names a file of `NAME=VALUE` lines (`#` begins a comment, nothing is quoted or expanded). What
  the environment says goes over it. A fault in it is told with its line.

This page is written by `python -m scripts.configuration` from the settings classes; a test holds the two together.
"""

SECTIONS: Final[tuple[tuple[str, str, str, type[object]], ...]] = (
    (
        "Every resource server",
        """\
Whose tokens it takes, and where the published documents are. The issuer is compared and never dialled, but with
`FARSEAL_TRUST_DISCOVERY`, and then in the background. What `FARSEAL_ISSUERS_FILE` holds is shown under
[several issuers](../shared/README.md#several-issuers).""",
        "FARSEAL_",
        TrustSettings,
    ),
    ("The auth server", "`python -m auth_server serve` and `farseal-auth`.", "AUTH_SERVER_", AuthServerSettings),
    ("resource_a, notes", "Beside the settings of every resource server.", "RESOURCE_A_", NotesSettings),
    ("resource_b, reports", "Beside the settings of every resource server.", "RESOURCE_B_", ReportsSettings),
    ("The demo", "`make demo` needs none of them. `ONCE=1` ends it after the tour.", "DEMO_", DemoSettings),
    (
        "The soak",
        "`make soak` gives the first five as `SECONDS`, `RATE`, `REPLICAS`, `SESSIONS` and `CONTROL`.",
        "SOAK_",
        SoakSettings,
    ),
)


def page() -> str:
    """The whole page."""
    parts = [HEAD]
    for title, text, prefix, cls in SECTIONS:
        parts.append(f"\n## {title}\n\n{text}\n\n| variable | unit | default | what |\n|---|---|---|---|\n")
        for doc in describe(cls, prefix):
            default = "**required**" if doc.default is None else shown(doc.default)
            secret = " Secret." if doc.secret else ""
            parts.append(f"| `{doc.name}` | {doc.unit} | {default} | {doc.help.rstrip('.')}.{secret} |\n")
    return "".join(parts)


def shown(default: str) -> str:
    """A default as the page has it: paths in the checkout from its root, none as a dash."""
    relative = default.removeprefix(f"{CHECKOUT}/")
    return f"`{relative}`" if relative else "-"


IN_CODE_ONLY: Final = frozenset({"TrustSettings.issuers"})
"""Fields that an operator sets otherwise: several issuers are in the file that FARSEAL_ISSUERS_FILE names."""


def undocumented() -> list[str]:
    """Fields of a settings class that no operator can set or read about: there should be none."""
    return [
        f"{cls.__name__}.{field.name}"
        for _, _, prefix, cls in SECTIONS
        for field in dataclasses.fields(cls)  # type: ignore[arg-type]  # each is a dataclass
        if field.init
        and f"{cls.__name__}.{field.name}" not in IN_CODE_ONLY
        and prefix + field.name.upper() not in {doc.name for doc in describe(cls, prefix)}
    ]


def main(arguments: list[str]) -> int:
    """Write the page, or compare it."""
    if "--check" in arguments:
        same = PAGE.exists() and PAGE.read_text(encoding="utf-8") == page() and not undocumented()
        print(
            "docs/configuration.md is up to date" if same else "docs/configuration.md is not; run this without --check"
        )
        return 0 if same else 1
    Path(PAGE).write_text(page(), encoding="utf-8")
    print(f"wrote {PAGE.relative_to(CHECKOUT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
