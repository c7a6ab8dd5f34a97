"""Nothing more can be published: tokens go on, whole documents stay, rotations wait; and then all is made up for."""

import json
import time

import pytest
import pytest_asyncio

from demo.sessions import log_out
from demo.wire import Wire
from farseal_testing.compose import DOCUMENTS, Project
from farseal_testing.container_issuer import ContainerIssuer
from tests.system import faults
from tests.system.conftest import ROOT
from tests.system.traffic import SERVERS, Load, log_in, until_answered, until_true

OVERLAY = """
volumes:
  published:
    driver: local
    driver_opts: { type: tmpfs, device: tmpfs, o: "size=256k,mode=1777" }
"""
FAULTS = {"full": faults.full, "read-only": faults.read_only}
WHOLE = """
import json, pathlib, sys
folder = pathlib.Path(sys.argv[1])
# A writer that is killed leaves its temporary file; a reader knows documents by their names.
files = [file for file in folder.rglob("*") if file.is_file() and not file.name.startswith(".")]
for file in files:
    text = file.read_text()
    assert json.loads(text) if file.suffix == ".json" else text.count(".") == 2, file
print(json.dumps(sorted(str(file.relative_to(folder)) for file in files)))
"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def project(tmp_path_factory):
    """The published documents on a volume of 256 KiB."""
    await faults.build_image()
    overlay = tmp_path_factory.mktemp("overlay") / "volume.yaml"
    overlay.write_text(OVERLAY)
    async with Project(ROOT, files=("compose.yaml", "compose.quick.yaml", overlay)) as made:
        await made.up()
        yield made


async def whole(project: Project) -> list[str]:
    """The names of the published files, as a verifier sees them; each is whole."""
    names: list[str] = json.loads((await project.python("resource_a", WHOLE, DOCUMENTS)).out)
    return names


async def standing(project: Project) -> dict:
    """What the auth server's readiness says: 200, or this fails."""
    told: dict = json.loads(await project.operations_page("auth_server", "/readyz"))
    return told


async def publication_warned(project: Project, wanted: bool) -> bool:
    """Whether it warns that nothing can be published, or, where that is wanted, does not."""
    return ("publication" in (await standing(project)).get("warnings", {})) is wanted


@pytest.mark.parametrize("fault", list(FAULTS))
async def test_a_published_volume_that_cannot_be_written(project: Project, fault: str, held) -> None:
    issuer = ContainerIssuer(project)
    living, ended = await log_in(project, "alice"), await log_in(project, "bob")
    for server in SERVERS:
        await until_answered(project, server, living.access)
    before = await whole(project)
    async with Load(project, living.access) as load:
        await load.flows()
        async with FAULTS[fault](project, "published"):
            began = time.monotonic()
            with Wire(project.url("auth_server")) as wire:
                assert await log_out(wire, ended.access) == "204"
            # The key that is announced already may sign: verifiers hold it. The one after it may not.
            await issuer.activate(await issuer.announce(), force=False)
            kid = await issuer.announce()
            warned = await until_true(lambda: publication_warned(project, True))
            assert kid not in await issuer.kids()
            refused = await project.farseal_auth("keys", "activate", kid, "--yes", check=False)
            assert refused.status == 1, refused
            assert kid in refused.err
            # A token of meanwhile is of a key that verifiers hold.
            meanwhile = (await log_in(project, "carol")).access
            for server in SERVERS:
                await until_answered(project, server, meanwhile)
            # A replica that begins now begins all the same.
            await project.kill("auth_server")
            await project.start("auth_server")
            await project.healthy("auth_server")
            await until_true(lambda: publication_warned(project, True))
            assert await whole(project) == before
            await load.flows(least=100)
            lasted = time.monotonic() - began
        freed = time.monotonic()
        await until_true(lambda: publication_warned(project, False))
        for server in SERVERS:
            await until_answered(project, server, ended.access, 401)
        caught_up = time.monotonic() - freed
        await issuer.activate(kid, force=False)
        after = await issuer.mint("alice", project.url("resource_a"), project.url("resource_b"))
        for server in SERVERS:
            await until_answered(project, server, after)
        await load.flows()
    assert load.failures == {}
    assert set(before) <= set(await whole(project))
    held(
        f"the published volume is {fault}: tokens go on, documents stay whole, a rotation waits, readiness warns",
        f"warned after {warned:.1f} s; {load.sent:,} requests, failures 0, in {lasted:.0f} s; once it could be "
        f"written, a logout of meanwhile was in force everywhere after {caught_up:.1f} s",
    )
