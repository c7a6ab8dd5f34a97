"""What is done to containers from beside them, by a helper container that has the tools and the rights for it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from farseal_testing.commands import run
from farseal_testing.compose import Project
from tests.system.conftest import HERE

IMAGE: Final = "farseal/faults:dev"
RATE: Final = "48kbit"


async def build_image() -> None:
    """Build the helper's image, from the builder's cache where it was built before."""
    await run("docker", "build", "--quiet", "--tag", IMAGE, str(HERE / "faults_image"), seconds=300)


async def beside(*options: str, script: str, check: bool = True) -> str:
    """Run a script in a helper container; give what it printed.

    Args:
        options: of ``docker run``: what it may do, and whose volume or network it shares.
        script: for ``sh -eu``.
        check: whether an exit status other than 0 is an error.
    """
    words = ("docker", "run", "--rm", "--cap-drop", "ALL", *options, IMAGE, "sh", "-euc", script)
    return (await run(*words, check=check)).out


async def in_network_of(project: Project, service: str, script: str, *, check: bool = True) -> str:
    """Run a script that may set up the network of a service, inside it."""
    container = await project.container(service)
    return await beside(
        "--cap-add", "NET_ADMIN", "--cap-add", "NET_RAW", "--network", f"container:{container}",
        script=script, check=check,
    )  # fmt: skip


@asynccontextmanager
async def without_names(project: Project, service: str) -> AsyncIterator[None]:
    """A service that gets no answer from the name server, as long as the context lasts."""
    rule = "OUTPUT -d 127.0.0.11 -j DROP"
    await in_network_of(project, service, f"iptables -w 5 -I {rule}")
    try:
        yield
    finally:
        await in_network_of(project, service, f"iptables -w 5 -D {rule}")


@asynccontextmanager
async def bad_line(project: Project, service: str) -> AsyncIterator[str]:
    """A service that is slow to reach and loses packets on their way out; says what the line is like.

    Netem is what this is for; a kernel without it gets a line of few bits a second, and a rule that drops packets.
    """
    netem = "tc qdisc add dev eth0 root netem delay 300ms 100ms loss 15%"
    slow = (
        f"tc qdisc add dev eth0 root tbf rate {RATE} burst 2kb latency 2s\n"
        "iptables -w 5 -I OUTPUT -m statistic --mode random --probability 0.15 -j DROP"
    )
    try:
        told = await in_network_of(
            project, service, f"if {netem} 2>/dev/null; then echo netem; else {slow}\necho tbf; fi"
        )
        yield (
            "300 ms +- 100 ms and 15 % loss" if "netem" in told else f"{RATE} and 15 % loss (this kernel has no netem)"
        )
    finally:
        await in_network_of(
            project, service, "tc qdisc del dev eth0 root || true; iptables -w 5 -F OUTPUT || true", check=False
        )


@asynccontextmanager
async def full(project: Project, volume: str) -> AsyncIterator[None]:
    """A volume without a byte left, as long as the context lasts."""
    shared = ("--volume", f"{project.name}_{volume}:/volume")
    script = "dd if=/dev/zero bs=4k >>/volume/filler 2>/dev/null || true; df --output=avail /volume | tail -n 1"
    left = await beside(*shared, script=script)
    assert left.split() == ["0"], f"{left.strip()} KiB are left"
    try:
        yield
    finally:
        await beside(*shared, script="rm -f /volume/filler")


@asynccontextmanager
async def read_only(project: Project, volume: str) -> AsyncIterator[None]:
    """A volume that nobody can write, those included who have it open, as long as the context lasts."""
    shared = ("--volume", f"{project.name}_{volume}:/volume")
    rights = ("--cap-add", "SYS_ADMIN", "--security-opt", "seccomp=unconfined", "--security-opt", "apparmor=unconfined")
    await beside(*shared, *rights, script="mount -o remount,ro /volume")
    try:
        yield
    finally:
        await beside(*shared, *rights, script="mount -o remount,rw /volume")


async def take_out(path: str, to: Path) -> None:
    """Copy a file out of the helper's image."""
    container = (await run("docker", "create", IMAGE)).out.strip()
    try:
        await run("docker", "cp", f"{container}:{path}", str(to))
    finally:
        await run("docker", "rm", "--force", container)
    await asyncio.to_thread(to.chmod, 0o755)
