"""Removes what the projects of a run have left behind that was itself killed: ``python -m farseal_testing.leftovers``.

With ``--living`` it removes nothing, and prints the names of the projects whose process lives.

A project has a folder in the system's folder for temporary files, which says whose it is. Where that process lives no
more, the project's containers, networks, volumes and secrets are removed. What bears the name of such a project and has
no folder that can be read here may be another user's, and live: it is named, and removed by its name alone:
``python -m farseal_testing.leftovers farseal-0123abcd``.
"""

import asyncio
import json
import os
import re
import secrets
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Final

from farseal_testing.commands import CommandError, run
from farseal_testing.packets import remove_rules

FOLDER_PREFIX: Final = "farseal-project-"
OWNER_FILE: Final = "owner.json"
NAME: Final = re.compile(r"farseal-[0-9a-f]{8}")


def new_name() -> str:
    """Give a name for a project that nobody else has."""
    return f"farseal-{secrets.token_hex(4)}"


def own(folder: Path, name: str) -> None:
    """Say in its folder that a project is this process's."""
    owner = {"project": name, "pid": os.getpid(), "started": started_at(os.getpid())}
    (folder / OWNER_FILE).write_text(json.dumps(owner))


def started_at(pid: int) -> str:
    """Tell when a process was started, in whatever the system counts; empty when it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""


async def remove(name: str) -> int:
    """Remove a project's containers, networks, volumes and packet counters; tell how many there were.

    Raises:
        CommandError: something cannot be removed.
    """
    label = ("--filter", f"label=com.docker.compose.project={name}")
    removed = await remove_rules(name)
    for listed, removal in (
        (("ps", "--all", "--quiet", "--no-trunc"), ("rm", "--force", "--volumes")),
        (("network", "ls", "--quiet", "--no-trunc"), ("network", "rm")),
        (("volume", "ls", "--quiet"), ("volume", "rm", "--force")),
    ):
        found = (await run("docker", *listed, *label)).out.split()
        removed += len(found)
        if found:
            await run("docker", *removal, *found, seconds=120)
    return removed


def owners() -> dict[Path, tuple[str, bool]]:
    """Give the folders of projects, each with the project's name and whether its owner lives."""
    found: dict[Path, tuple[str, bool]] = {}
    for folder in Path(tempfile.gettempdir()).glob(f"{FOLDER_PREFIX}*"):
        try:
            owner = json.loads((folder / OWNER_FILE).read_text())
            lives = owner["started"] != "" and owner["started"] == started_at(owner["pid"])
            found[folder] = (owner["project"], lives)
        except (OSError, ValueError, KeyError, TypeError):
            continue  # of another user, or just being made
    return found


def living_of(folders: dict[Path, tuple[str, bool]]) -> set[str]:
    """Give the names of the projects whose owner lives."""
    return {name for name, lives in folders.values() if lives}


async def unclaimed() -> list[str]:
    """Give the names of projects in the engine of which nobody here can tell whether their owner lives."""
    shown = '{{.Label "com.docker.compose.project"}}'
    told = [
        (await run("docker", *listed, "--format", shown)).out
        for listed in (("ps", "--all"), ("network", "ls"), ("volume", "ls"))
    ]
    # Looked at afterwards: a project has its folder before anything else.
    return sorted(set(NAME.findall("".join(told))) - {name for name, _ in owners().values()})


async def clean() -> list[str]:
    """Remove every project whose owner is gone; give their names."""
    folders = owners()
    dead = {name for name, lives in folders.values() if not lives}
    for name in dead:
        await remove(name)
    for folder, (_, lives) in folders.items():
        if not lives:
            shutil.rmtree(folder, ignore_errors=True)
    return sorted(dead)


async def tidy(names: list[str]) -> None:
    """Remove the projects that are named, or those whose owner is gone; say which, and which are left."""
    for name in names:
        await remove(name)
    for name in names or await clean():
        sys.stdout.write(f"removed what {name} had left behind\n")
    for name in await unclaimed():
        sys.stderr.write(f"left alone: {name}, of which nobody here can tell whether it lives; to remove it, name it\n")


def main() -> int:
    """Do what the arguments say."""
    names = sys.argv[1:]
    if names == ["--living"]:
        sys.stdout.writelines(f"{name}\n" for name in sorted(living_of(owners())))
        return 0
    if not all(NAME.fullmatch(name) for name in names):
        sys.stderr.write("usage: python -m farseal_testing.leftovers [--living | PROJECT...]\n")
        return 2
    try:
        asyncio.run(tidy(names))
    except CommandError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
