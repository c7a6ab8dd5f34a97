"""Every service restarts in turn under load: what has two replicas fails nobody, what has one fails as is stated."""

import asyncio
import time
from collections import Counter
from typing import Self
from urllib.parse import urlencode
from uuid import uuid4

import aiohttp
import pytest
import pytest_asyncio

from demo.traffic import FORM, kind_of
from demo.wire import Wire, WireError
from farseal_testing.compose import Project
from farseal_testing.container_issuer import ContainerIssuer
from tests.system.conftest import ROOT
from tests.system.traffic import SERVERS, Load, ask, log_in, log_in_again, until_answered

SCALE = {"auth_server": 2, "resource_a": 2, "resource_b": 2, "keys": 2}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def project():
    """Two replicas of everything that can have two."""
    async with Project(ROOT) as made:
        await made.up(scale=SCALE)
        yield made


class Writers:
    """Clients that write numbered notes, one after the other, and know which were acknowledged."""

    def __init__(self, project: Project, token: str, *, count: int = 2) -> None:
        self._project = project
        self._token = token
        self._count = count
        self._run = uuid4().hex
        self._tasks: list[asyncio.Task[None]] = []
        self.acknowledged: list[str] = []
        self.failures: Counter[str] = Counter()

    async def __aenter__(self) -> Self:
        self._tasks = [asyncio.create_task(self._write(number)) for number in range(self._count)]
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _write(self, writer: int) -> None:
        number = 0
        while True:
            title = f"{self._run} {writer} {number}"
            number += 1
            try:
                status, body = await ask(
                    self._project, "resource_a", self._token, "/notes", method="POST", json={"title": title}
                )
            except (aiohttp.ClientError, TimeoutError) as error:
                self.failures[type(error).__name__] += 1
            else:
                if status == 201:
                    self.acknowledged.append(title)
                else:
                    self.failures[f"{status} {(body or {}).get('code')}"] += 1
            await asyncio.sleep(0.03)

    async def lost_or_doubled(self) -> dict[str, int]:
        """Acknowledged notes that are there another number of times than once."""
        found: Counter[str] = Counter()
        path = "/notes?limit=100"
        while path:
            status, page = await ask(self._project, "resource_a", self._token, path)
            assert status == 200, page
            found.update(note["title"] for note in page["notes"])
            cursor = page["next_cursor"]
            path = f"/notes?limit=100&cursor={cursor}" if cursor else ""
        return {title: found[title] for title in self.acknowledged if found[title] != 1}


class Askers:
    """Clients that ask for a token again and again, each time on a connection of its own; nothing is tried again."""

    def __init__(self, project: Project, secret: str, *, count: int = 2) -> None:
        self._url = project.url("auth_server")
        self._form = urlencode(
            {"grant_type": "client_credentials", "client_id": "nightly", "client_secret": secret}
        ).encode()
        self._count = count
        self._tasks: list[asyncio.Task[None]] = []
        self.answers: Counter[str] = Counter()

    async def __aenter__(self) -> Self:
        self._tasks = [asyncio.create_task(self._ask()) for _ in range(self._count)]
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _ask(self) -> None:
        while True:
            with Wire(self._url) as wire:
                try:
                    kind = kind_of(await wire.post("/oauth2/token", self._form, headers=FORM))
                except WireError as error:
                    kind = str(error)
            self.answers[kind] += 1
            await asyncio.sleep(0.05)


async def roll(project: Project, service: str) -> None:
    """Restart the replicas of a service one after the other, each as an operator does, and wait for each."""
    for replica in await project.containers(service):
        await project.signal("stop", replica)
        await project.signal("start", replica)
        await project.healthy(service)


async def test_restarting_what_has_two_replicas_fails_nobody(project: Project, held) -> None:
    token = (await log_in(project))["access_token"]
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
    token = (await log_in(project))["access_token"]
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
    token = (await log_in(project))["access_token"]
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
