"""Everything is lost but the backup and the secrets, and comes back by the lines of docs/deployment.md."""

import re
import time

from demo.sessions import Pair, log_out, refresh
from demo.wire import Wire
from farseal_testing.commands import run
from farseal_testing.compose import Project
from farseal_testing.container_issuer import ContainerIssuer
from tests.system.conftest import ROOT
from tests.system.traffic import SERVERS, ask, log_in, until_answered

PAGE = (ROOT / "docs" / "deployment.md").read_text()
BLOCKS = dict(re.findall(r"^```sh\n# (backup|restore)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL))


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
    await issuer.rotate()
    after = await issuer.document("jwks.json")
    assert after["farseal"]["sequence"] > before["farseal"]["sequence"]
    token = await issuer.mint("alice", project.url("resource_a"), project.url("resource_b"))
    for server in SERVERS:
        await until_answered(project, server, token)
        await until_answered(project, server, renewed.access)
    held(
        "all volumes lost: tokens and sessions from before are good again, the ended one is not, and keys rotate on",
        f"{back:.0f} s from the loss; sequence {before['farseal']['sequence']} to {after['farseal']['sequence']}",
    )
