"""Every service restarts in turn under load: what has two replicas fails nobody, what has one fails as is stated."""

import time

import pytest
import pytest_asyncio

from farseal_testing.compose import Project
from farseal_testing.container_issuer import ContainerIssuer
from tests.system.clients import Askers, Writers
from tests.system.conftest import ROOT
from tests.system.traffic import SERVERS, Load, log_in, log_in_again, until_answered

SCALE = {"auth_server": 2, "resource_a": 2, "resource_b": 2, "keys": 2}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def project():
    """Two replicas of everything that can have two."""
    async with Project(ROOT) as made:
        await made.up(scale=SCALE)
        yield made


async def roll(project: Project, service: str) -> None:
    """Restart the replicas of a service one after the other, each as an operator does, and wait for each."""
    for replica in await project.containers(service):
        await project.signal("stop", replica)
        await project.signal("start", replica)
        await project.healthy(service)


async def test_restarting_what_has_two_replicas_fails_nobody(project: Project, held) -> None:
    token = (await log_in(project)).access
    for server in SERVERS:
        await until_answered(project, server, token)
    secret = await ContainerIssuer(project).secret_of("nightly")
    async with Load(project, token) as load, Writers(project, token) as writers, Askers(project, secret) as askers:
        await load.flows()
        rest = time.monotonic()
        await load.flows(least=200)
        rolling = time.monotonic()
        for service in SCALE:
            await roll(project, service)
        ended = time.monotonic()
        await load.flows()
    assert load.failures == {}
    assert dict(writers.failures) == {}
    assert set(askers.answers) == {"200"}
    assert await writers.lost_or_doubled() == {}
    held(
        "a rolling restart of auth_server, resource_a, resource_b and keys, two replicas each, fails nobody",
        f"{load.sent:,} requests, {len(writers.acknowledged)} notes, {askers.answers['200']} tokens, failures 0 in "
        f"{ended - rolling:.0f} s; p99 {load.percentile(99, rest, rolling):.0f} ms at rest, "
        f"{load.percentile(99, rolling, ended):.0f} ms meanwhile",
    )


@pytest.mark.parametrize("gateway", ["auth_gateway", "resource_gateway"])
async def test_a_gateway_that_reads_its_configuration_anew_drops_nothing(project: Project, gateway: str, held) -> None:
    token = (await log_in(project)).access
    async with Load(project, token) as load:
        await load.flows()
        for replica in await project.containers(gateway):
            await project.signal("HUP", replica)
        await load.flows(least=200)
        await log_in(project)
    assert load.failures == {}
    held(f"{gateway} reloads without a failed request", f"{load.sent:,} requests, failures 0")


@pytest.mark.parametrize(("database", "users"), [("auth_db", "auth_server"), ("notes_db", "resource_a")])
async def test_a_database_that_restarts_is_told_as_that_and_nothing_is_lost(
    project: Project, database: str, users: str, held
) -> None:
    token = (await log_in(project)).access
    async with Load(project, token) as load, Writers(project, token) as writers:
        await load.flows()
        began = time.monotonic()
        await project.restart(database)
        await project.healthy(database)
        await log_in_again(project)
        for server in SERVERS:
            await until_answered(project, server, token)
        lasted = time.monotonic() - began
        await load.flows()
    unavailable = {"503"} if database == "notes_db" else set()
    for failure in [*load.failures, *writers.failures]:
        words = failure.removeprefix("resource_a: ").removeprefix("resource_b: ").split()
        assert words[0] in unavailable | ({"502", "504"} if database == "notes_db" else set()), load.failures
    if database == "auth_db":
        assert load.failures == {}
    assert await writers.lost_or_doubled() == {}
    held(
        f"{database} restarts: {users} says so, nothing acknowledged is lost, and all is well without a restart",
        f"{load.sent:,} requests, {len(writers.acknowledged)} notes kept, "
        f"refused meanwhile {sum(load.failures.values())} {load.failures or ''}; {lasted:.1f} s in all",
    )
