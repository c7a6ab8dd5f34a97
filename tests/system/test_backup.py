"""Everything is lost but the backup and the secrets, and comes back by the lines of docs/deployment.md."""

import re
import time

from demo.sessions import Pair, log_out, refresh
from demo.traffic import kid_of
from demo.wire import Wire
from farseal_testing.commands import run
from farseal_testing.compose import Project
from farseal_testing.container_issuer import ContainerIssuer
from tests.system.conftest import ROOT
from tests.system.traffic import SERVERS, Load, ask, log_in, log_in_again, until_answered

PAGE = (ROOT / "docs" / "deployment.md").read_text()
BLOCKS = dict(re.findall(r"^```sh\n# (backup|restore[^\n]*)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL))


async def typed(project: Project, block: str, backup) -> None:
    """Run a block of the page as it stands."""
    environment = project.environment | {"BACKUP": str(backup)}
    await run("sh", "-eu", "-c", BLOCKS[block], environment=environment, directory=ROOT, seconds=240)


async def test_an_installation_comes_back_from_its_backup(project: Project, tmp_path, held) -> None:
    issuer = ContainerIssuer(project)
    living, ended = await log_in(project, "alice"), await log_in(project, "bob")
    with Wire(project.url("auth_server")) as wire:
        assert await log_out(wire, ended.access) == "204"
    status, note = await ask(project, "resource_a", living.access, "/notes", method="POST", json={"title": "kept"})
    assert status == 201
    before = await issuer.document("jwks.json")
    kids = await issuer.kids()
    await typed(project, "backup", tmp_path)

    lost = time.monotonic()
    await project.run("down", "--volumes", "--timeout", "1", seconds=120)
    assert await project.containers(stopped=True) == []
    await typed(project, "restore", tmp_path)
    await project.healthy(seconds=120)
    for server in SERVERS:
        await until_answered(project, server, living.access)
        await until_answered(project, server, ended.access, 401)
    back = time.monotonic() - lost

    assert (await ask(project, "resource_a", living.access, f"/notes/{note['id']}"))[1]["title"] == "kept"
    assert set(kids) <= set(await issuer.kids())
    with Wire(project.url("auth_server")) as wire:
        renewed = await refresh(wire, living.refresh)
        assert isinstance(renewed, Pair), renewed
        assert not isinstance(await refresh(wire, ended.refresh), Pair)
    restored = await issuer.document("jwks.json")
    assert restored["farseal"]["sequence"] >= before["farseal"]["sequence"]
    await issuer.rotate()
    after = await issuer.document("jwks.json")
    assert after["farseal"]["sequence"] > restored["farseal"]["sequence"]
    token = await issuer.mint("alice", project.url("resource_a"), project.url("resource_b"))
    for server in SERVERS:
        await until_answered(project, server, token)
        await until_answered(project, server, renewed.access)
    held(
        "all volumes lost: tokens and sessions from before are good again, the ended one is not, and keys rotate on",
        f"{back:.0f} s from the loss; sequence {before['farseal']['sequence']} to {after['farseal']['sequence']}",
    )


async def test_the_auth_servers_database_alone_comes_back_older_than_what_is_published(
    project: Project, tmp_path, held
) -> None:
    """Verifiers live on and know more than the backup: it has to catch up with them, not they with it."""
    issuer = ContainerIssuer(project)
    ended = await log_in(project, "bob")
    for server in SERVERS:
        await until_answered(project, server, ended.access)
    await typed(project, "backup", tmp_path)
    with Wire(project.url("auth_server")) as wire:
        assert await log_out(wire, ended.access) == "204"
    stolen = await issuer.mint("carol", project.url("resource_a"), project.url("resource_b"))
    await issuer.withdraw(kid_of(stolen))
    safe = await issuer.mint("alice", project.url("resource_a"), project.url("resource_b"))
    for server in SERVERS:
        await until_answered(project, server, ended.access, 401)
        await until_answered(project, server, stolen, 401)
        await until_answered(project, server, safe)
    before = await issuer.document("jwks.json")

    began = time.monotonic()
    async with Load(project, safe) as load:
        await load.flows()
        await typed(project, "restore the auth server's database alone", tmp_path)
        await project.healthy("auth_server", seconds=120)
        renewed, _ = await log_in_again(project, seconds=60)
        back = time.monotonic() - began
        await load.flows()
        for server in SERVERS:
            await until_answered(project, server, renewed.access)
            for token in (ended.access, stolen):
                assert (await ask(project, server, token))[0] == 401
    assert load.failures == {}
    after = await issuer.document("jwks.json")
    assert after["farseal"]["sequence"] > before["farseal"]["sequence"]
    assert kid_of(stolen) in after["farseal"]["revoked"]
    told = "".join([await project.metrics(server) for server in SERVERS])
    assert set(re.findall(r"^farseal_trust_rollbacks_total\{[^}]*\} (\S+)", told, re.MULTILINE)) <= {"0.0"}
    held(
        "the auth server's database alone is restored from a backup: what was revoked and ended since stays so",
        f"{load.sent:,} requests meanwhile, failures 0; logins again {back:.0f} s after the replicas were stopped; "
        f"sequence {before['farseal']['sequence']} to {after['farseal']['sequence']}, no rollback at a verifier",
    )
