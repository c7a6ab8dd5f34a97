"""The issuer, its database and the static host are gone in every way there is; the resource servers go on."""

import time

import pytest

from farseal_testing.compose import Project
from tests.system.traffic import SERVERS, Load, gone, log_in, log_in_again, until_answered

ISSUING = ("auth_server", "auth_db", "keys")
HOWS = ("stop", "kill", "pause")


CASES = [
    pytest.param(how, services, id=f"{how}-{'-'.join(services)}")
    for services in (ISSUING, *((service,) for service in ISSUING))
    for how in HOWS
]


@pytest.mark.parametrize(("how", "services"), CASES)
async def test_resource_servers_go_on_without_what_issues(project: Project, how: str, services, held) -> None:
    token = (await log_in(project)).access
    for server in SERVERS:
        await until_answered(project, server, token)
    async with Load(project, token) as load, gone(project, how, *services):
        await load.flows()
        began = time.monotonic()
        await load.flows(least=100)
        lasted = time.monotonic() - began
    assert load.failures == {}
    _, seconds = await log_in_again(project)
    held(
        f"{how}: both servers go on without {', '.join(services)}",
        f"{load.sent:,} requests, failures 0, in {lasted:.1f} s and more; a login again {seconds:.1f} s afterwards",
    )


@pytest.mark.parametrize("how", HOWS)
async def test_a_resource_server_that_restarts_meanwhile_comes_up(project: Project, how: str, held) -> None:
    """resource_a from the volume; resource_b, whose static host is gone too, from the copy on its disk."""
    token = (await log_in(project)).access
    for server in SERVERS:
        await until_answered(project, server, token)
    async with gone(project, how, *ISSUING):
        took = {}
        for server in SERVERS:
            await project.kill(server)
            await project.start(server)
            took[server] = await until_answered(project, server, token)
    await log_in_again(project)
    figures = ", ".join(f"{server} verifies {seconds:.1f} s after its start" for server, seconds in took.items())
    held(f"{how}: a resource server that crashes meanwhile comes back by itself", figures)
