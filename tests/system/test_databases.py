"""A database that freezes or crashes in the middle of everything: told as that in time, nothing lost, no pool stuck."""

import asyncio
import time
from collections import Counter

import pytest

from demo.sessions import Pair, log_out, refresh
from demo.wire import Wire
from farseal_testing.compose import Project
from farseal_testing.container_issuer import ContainerIssuer
from tests.system.clients import Askers, Visitors, Writers
from tests.system.traffic import Load, ask, gone, log_in, log_in_again, until_answered

PATIENCE_SECONDS = 18.0
"""Within which every request is answered while a database is frozen: five seconds for a statement, five for its
cancellation and five for a connection, and a little."""
RECOVERY_SECONDS = 15.0
"""Within which all is well again once the database is."""
POOL = 10
HOWS = ["stop", "pause", "kill"]


@pytest.mark.parametrize("how", HOWS)
async def test_the_auth_servers_database_fails_in_the_middle_of_issuing(project: Project, how: str, held) -> None:
    secret = await ContainerIssuer(project).secret_of("nightly")
    living, ended = await log_in(project, "alice"), await log_in(project, "bob")
    await until_answered(project, "resource_a", living.access)
    async with (
        Load(project, living.access) as load,
        Askers(project, secret) as askers,
        Visitors(project) as visitors,
    ):
        await load.flows()
        await askers.saw("200", least=10)
        await visitors.came(6)
        with Wire(project.url("auth_server")) as wire:
            assert await log_out(wire, ended.access) == "204"
        async with gone(project, how, "auth_db"):
            began = time.monotonic()
            # The signing lease ends, and the pool's own deadlines: after that nothing is issued.
            await askers.saw("503", least=3)
            lasted = time.monotonic() - began
        back = await askers.until("200")
        await load.flows()
        await askers.saw("200", least=askers.of("200") + 20)
        await visitors.came(6)
    kinds, slowest = Counter(askers.answers), max(askers.took + visitors.took)
    assert {kind.split()[0] for kind in [*kinds, *visitors.failures]} <= {"200", "503"}, (kinds, visitors.failures)
    assert askers.unfit == set()
    assert slowest <= PATIENCE_SECONDS
    assert back <= RECOVERY_SECONDS
    assert load.failures == {}
    assert await visitors.lost() == []
    # What was acknowledged is still so: the session lives on, the one that ended stays ended.
    with Wire(project.url("auth_server")) as wire:
        assert isinstance(await refresh(wire, living.refresh), Pair)
        assert not isinstance(await refresh(wire, ended.refresh), Pair)
    await until_answered(project, "resource_a", ended.access, 401)
    await everyone_at_once(project, secret)
    held(
        f"auth_db {how}: 503 while it lasts, in time; resource servers do not notice; all is well afterwards",
        f"{dict(kinds)} in {lasted:.0f} s, the slowest {slowest:.1f} s; a token again after {back:.1f} s; of "
        f"{len(visitors.living)} logins and {len(visitors.ended)} logouts acknowledged none is lost; "
        f"{load.sent:,} requests at resource servers, failures 0",
    )


async def everyone_at_once(project: Project, secret: str) -> None:
    """No connection of the pool is stuck: more callers than it has are all served."""
    async with Askers(project, secret, count=2 * POOL) as askers:
        await askers.saw("200", least=4 * POOL)
        assert set(askers.answers) == {"200"}


@pytest.mark.parametrize("how", HOWS)
async def test_the_notes_database_fails_between_numbered_writes(project: Project, how: str, held) -> None:
    token = (await log_in_again(project))[0].access
    await until_answered(project, "resource_a", token)
    async with Writers(project, token) as writers:
        await writers.wrote(20)
        async with gone(project, how, "notes_db"):
            began = time.monotonic()
            statuses: Counter[str] = Counter()
            slowest = 0.0
            while statuses["503"] < 3:
                asked = time.monotonic()
                status, _ = await ask(project, "resource_a", token)
                slowest = max(slowest, time.monotonic() - asked)
                statuses[str(status)] += 1
                assert time.monotonic() - began < 60, statuses
            # Who has no database of its own goes on, and says of notes that they cannot be had.
            status, body = await ask(project, "resource_b", token)
            assert (status, str(body["code"]).startswith("upstream_")) in {(502, True), (504, True)}, (status, body)
            assert (await ask(project, "resource_b", "no.such.token"))[0] == 401
        back = await until_answered(project, "resource_a", token)
        await writers.wrote(20)
    assert set(statuses) <= {"503", "200"}, statuses
    assert {failure.split()[0] for failure in writers.failures} <= {"503"}, writers.failures
    assert writers.unfit == set()
    assert slowest <= PATIENCE_SECONDS
    assert back <= RECOVERY_SECONDS
    assert await writers.lost_or_doubled() == {}
    answers = await asyncio.gather(*(ask(project, "resource_a", token) for _ in range(2 * POOL)))
    assert {status for status, _ in answers} == {200}
    held(
        f"notes_db {how}: 503 while it lasts, in time; no acknowledged note is lost or doubled",
        f"{len(writers.acknowledged)} notes acknowledged and kept, refused {dict(writers.failures)}, "
        f"the slowest answer {slowest:.1f} s; good again after {back:.1f} s",
    )
