"""Keys rotate while replicas of the auth server are killed, under load: nobody is refused at a resource server."""

import asyncio
import itertools
import random
import time
from collections import Counter

import pytest_asyncio

from demo.traffic import Desk, keep_fetching
from farseal_testing.commands import CommandError
from farseal_testing.compose import DOCUMENTS, Project
from farseal_testing.container_issuer import ContainerIssuer
from tests.system.conftest import ROOT
from tests.system.traffic import Load

REPLICAS = 3
ROTATIONS = 2
KILL_SECONDS = 4.0


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def project():
    """Three replicas of the auth server."""
    async with Project(ROOT) as made:
        await made.up(scale={"auth_server": REPLICAS})
        yield made


async def keep_killing(project: Project, kills: Counter[str]) -> None:
    """Kill a replica every few seconds, another one each time, and start it again a moment later."""
    replicas = await project.containers("auth_server")
    for number in itertools.cycle(random.sample(range(len(replicas)), len(replicas))):
        await asyncio.sleep(KILL_SECONDS)
        await project.signal("KILL", replicas[number])
        kills[replicas[number]] += 1
        await asyncio.sleep(KILL_SECONDS / 2)
        await project.signal("start", replicas[number])


async def rotate(issuer: ContainerIssuer) -> None:
    """Rotate, however often the replica is killed in which the command runs."""
    async with asyncio.timeout(120):
        while True:
            try:
                await issuer.rotate()
            except CommandError:
                await asyncio.sleep(0.2)
            else:
                return


async def test_a_rotation_fails_nobody_while_replicas_are_killed(project: Project, held) -> None:
    issuer = ContainerIssuer(project)
    desk = Desk([project.url("auth_server")], "nightly", await issuer.secret_of("nightly"))
    kills: Counter[str] = Counter()
    async with Load(project) as load:
        fetching = asyncio.create_task(keep_fetching(desk, load.shelf, every=0.1, use_seconds=120))
        await load.flows()
        killing = asyncio.create_task(keep_killing(project, kills))
        began = time.monotonic()
        try:
            for _ in range(ROTATIONS):
                before = len(load.shelf.signed)
                await rotate(issuer)
                async with asyncio.timeout(30):
                    while len(load.shelf.signed) == before:  # noqa: ASYNC110 - a condition of the outside
                        await asyncio.sleep(0.05)
                await load.flows(least=200)
            while sum(kills.values()) < 4:
                await load.flows()
        finally:
            killing.cancel()
            fetching.cancel()
            await asyncio.gather(killing, fetching, return_exceptions=True)
    lasted = time.monotonic() - began
    desk.close()
    assert load.failures == {}
    # A command that is killed may have done its work: it is given again, and rotates once more.
    assert len(load.shelf.signed) > ROTATIONS
    await project.start("auth_server")
    await project.healthy("auth_server")
    sets = {
        (await project.exec("auth_server", "cat", f"{DOCUMENTS}/jwks.json", index=index)).out
        for index in range(1, REPLICAS + 1)
    }
    assert len(sets) == 1
    assert set(load.shelf.signed) <= set(await issuer.kids())
    tokens = sum(load.shelf.signed.values())
    held(
        f"{REPLICAS} replicas, one killed every {KILL_SECONDS:.0f} s, {ROTATIONS} rotations: no request is refused",
        f"{load.sent:,} requests, failures 0, {sum(kills.values())} kills in {lasted:.0f} s, "
        f"{tokens} tokens of {len(load.shelf.signed)} keys; asked again for a token: {dict(desk.retries) or 'never'}",
    )
