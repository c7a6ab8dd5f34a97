"""Names that are not found, cables that are pulled, lines that are bad: told as that, survived, and made up for."""

import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass

import pytest
import pytest_asyncio

from demo.sessions import log_out
from demo.wire import Wire
from farseal_testing.compose import Project
from farseal_testing.container_issuer import ContainerIssuer
from tests.system import faults
from tests.system.conftest import ROOT
from tests.system.traffic import (
    SERVERS,
    Load,
    ask,
    failed_looks,
    log_in,
    log_in_again,
    login_refused,
    until_answered,
    until_true,
)

FORGED = "no.such.token"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def project():
    """The helper's image, and everything of compose.yaml."""
    await faults.build_image()
    async with Project(ROOT) as made:
        await made.up()
        yield made


async def issuing_is_refused(project: Project) -> None:
    """Wait until nobody can log in, and is told so."""

    async def refused() -> bool:
        told = await login_refused(project)
        assert told is None or told.startswith("503 "), told
        return told is not None

    await until_true(refused)


async def notes_are_refused(project: Project) -> None:
    """Wait until notes say that they are unavailable; who shows no good token is told so as before."""
    token = (await log_in(project)).access
    await until_answered(project, "resource_a", token, 503)
    assert (await ask(project, "resource_a", FORGED))[0] == 401


async def reports_go_on(project: Project) -> None:
    """Wait until resource_b missed the documents, and see that it verifies nevertheless."""
    before = await failed_looks(project)
    token = (await log_in(project)).access

    async def missed() -> bool:
        status, body = await ask(project, "resource_b", token)
        # The notes may be out of reach as well: that is said of the notes, not of the token.
        assert status == 200 or (status in {502, 504} and body["code"].startswith("upstream_")), (status, body)
        assert (await ask(project, "resource_b", FORGED))[0] == 401
        return await failed_looks(project) > before

    await until_true(missed)


async def all_is_well(project: Project) -> float:
    """Wait until somebody logs in and both servers take the token; give the seconds."""
    began = time.monotonic()
    token = (await log_in_again(project))[0].access
    for server in SERVERS:
        await until_answered(project, server, token)
    return time.monotonic() - began


@asynccontextmanager
async def nameless(project: Project, service: str, neighbour: str):
    """A service that finds no names, and has lost the connections that were open to a neighbour."""
    async with faults.without_names(project, service):
        await project.restart(neighbour)
        await project.healthy(neighbour)
        yield


@asynccontextmanager
async def unplugged(project: Project, service: str, network: str):
    """A service without its cable to a network."""
    await project.disconnect(network, service)
    try:
        yield
    finally:
        await project.connect(network, service)


@dataclass(frozen=True)
class Case:
    """A fault of a service's own, how it tells, and whom it does not touch."""

    service: str
    fault: Callable[[Project, str, str], AbstractAsyncContextManager[None]]
    of: str
    told: Callable[[Project], Awaitable[None]]
    untouched: Sequence[str]

    @property
    def name(self) -> str:
        """The promise, in short."""
        return f"{self.service} {self.fault.__name__} {self.of}"


CASES = [
    Case("auth_server", nameless, "auth_db", issuing_is_refused, SERVERS),
    Case("resource_a", nameless, "notes_db", notes_are_refused, ()),
    Case("resource_b", nameless, "keys", reports_go_on, ("resource_a",)),
    Case("auth_server", unplugged, "issuing", issuing_is_refused, SERVERS),
    Case("resource_a", unplugged, "notes", notes_are_refused, ()),
    Case("resource_b", unplugged, "static", reports_go_on, SERVERS),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_a_service_is_cut_off(project: Project, case: Case, held) -> None:
    token = (await log_in(project)).access
    for server in SERVERS:
        await until_answered(project, server, token)
    async with Load(project, token, servers=case.untouched) as load:
        began = time.monotonic()
        async with case.fault(project, case.service, case.of):
            await case.told(project)
            noticed = time.monotonic() - began
        back = await all_is_well(project)
    assert load.failures == {}
    held(
        f"{case.name}: says so, judges tokens as before, and comes back by itself",
        f"noticed after {noticed:.1f} s, all well {back:.1f} s after its end; {load.sent:,} requests at others, "
        "failures 0",
    )


FETCHES = """
import time, urllib.request
began = time.monotonic()
for _ in range(5):
    urllib.request.urlopen("http://keys:8080/jwks.json", timeout=30).read()
print((time.monotonic() - began) / 5)
"""


async def fetch_seconds(project: Project) -> float:
    """How long it takes resource_b to fetch the key set."""
    return float((await project.python("resource_b", FETCHES, seconds=200)).out)


async def test_a_bad_line_to_the_static_host(project: Project, held) -> None:
    """Documents come late over it; nobody waits for them, and nothing is read half."""
    issuer = ContainerIssuer(project)
    living, ended = await log_in(project, "alice"), await log_in(project, "bob")
    for server in SERVERS:
        await until_answered(project, server, living.access)
        await until_answered(project, server, ended.access)
    async with Load(project, living.access) as load:
        await load.flows()
        rest = time.monotonic()
        await load.flows(least=200)
        good_line = await fetch_seconds(project)
        bad = time.monotonic()
        async with faults.bad_line(project, "keys") as line:
            bad_line = await fetch_seconds(project)
            assert bad_line > 10 * good_line, (bad_line, good_line)
            with Wire(project.url("auth_server")) as wire:
                assert await log_out(wire, ended.access) == "204"
            refused = await until_answered(project, "resource_b", ended.access, 401, seconds=60)
            await issuer.rotate()
            token = await issuer.mint("alice", project.url("resource_a"), project.url("resource_b"))
            known = await until_answered(project, "resource_b", token, seconds=60)
            await load.flows(least=200)
            over = time.monotonic()
    assert load.failures == {}
    held(
        f"keys behind a line of {line}: nobody is refused, a rotation and a logout arrive",
        f"a fetch takes {bad_line * 1000:.0f} ms in place of {good_line * 1000:.0f}; {load.sent:,} requests, "
        f"failures 0, p99 {load.percentile(99, rest, bad):.0f} ms at rest, {load.percentile(99, bad, over):.0f} ms "
        f"meanwhile; the logout in force at resource_b after {refused:.1f} s, a token of the new key good "
        f"{known:.1f} s after it was signed",
    )
