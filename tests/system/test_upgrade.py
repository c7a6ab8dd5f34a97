"""The previous release's database is migrated while its server runs; both run side by side; the old one goes."""

import asyncio
import json
import shutil
import tarfile
from collections import Counter
from pathlib import Path

import pytest
import pytest_asyncio

from farseal_testing.commands import run
from farseal_testing.compose import DOCUMENTS, Project
from farseal_testing.container_issuer import ContainerIssuer
from tests.system.clients import Askers
from tests.system.conftest import ROOT
from tests.system.traffic import SERVERS, Load, access_token, ask, log_in, until_answered

PREVIOUS = (ROOT / "deploy" / "previous").read_text().split()[0]
TAG = f"previous-{PREVIOUS[:8]}"
ADDED = ("Dockerfile", ".dockerignore", "requirements/build.txt", "shared/src/farseal/service/probe.py")
"""What the tree of that time lacks of what images are built with."""

OVERLAY = f"""
services:
  auth_previous:
    image: farseal/auth-server:{TAG}
    init: true
    read_only: true
    user: "${{FARSEAL_UID}}:${{FARSEAL_GID}}"
    tmpfs: ["/tmp"]
    environment:
      AUTH_SERVER_ISSUER: http://127.0.0.1:${{FARSEAL_AUTH_PORT}}
      AUTH_SERVER_DATABASE_URL_FILE: /run/secrets/auth_database_url
      AUTH_SERVER_KEK_FILE: /run/secrets/kek
      AUTH_SERVER_PUBLISH_DIRECTORY: /var/lib/farseal/published/documents
      NOTES: http://127.0.0.1:${{FARSEAL_NOTES_PORT}}
      REPORTS: http://127.0.0.1:${{FARSEAL_REPORTS_PORT}}
    networks: {{ issuing: {{ aliases: [auth_server] }} }}
    volumes: ["published:/var/lib/farseal/published"]
    secrets: [auth_database_url, kek, alice_password, bob_password, carol_password]
  resource_a:
    environment: {{ FARSEAL_STATUS: if_present }}
  resource_b:
    environment:
      FARSEAL_STATUS: if_present
      FARSEAL_REFRESH_FLOOR_SECONDS: "1"
      FARSEAL_REFRESH_CEILING_SECONDS: "1"
"""
"""Tokens of the previous release name no status list: verifiers take them until the last one has expired."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def project(tmp_path_factory):
    """The previous release's server on its own database, everything else as it is now."""
    folder: Path = tmp_path_factory.mktemp("previous")
    archive = await run("git", "-C", str(ROOT), "cat-file", "-e", PREVIOUS, check=False)
    if archive.status != 0:
        pytest.skip(f"the history of this clone does not go back to {PREVIOUS}")
    await build(folder / "tree")
    overlay = folder / "upgrade.yaml"
    await asyncio.to_thread(overlay.write_text, OVERLAY)
    try:
        async with Project(ROOT, files=("compose.yaml", overlay)) as made:
            await made.up("auth_db", "notes_db")
            await made.run("run", "--rm", "--no-deps", "auth_previous", "migrate", seconds=60)
            await made.run("up", "-d", "--no-deps", "auth_previous", "keys", "auth_gateway", seconds=60)
            await made.up("notes_migrate", "resource_a", "resource_b")
            await made.run("up", "-d", "--no-deps", "resource_gateway", seconds=60)
            await made.healthy("auth_previous", "auth_gateway", "resource_gateway")
            yield made
    finally:
        await run("docker", "image", "rm", "--force", f"farseal/auth-server:{TAG}", check=False)


async def build(tree: Path) -> None:
    """Build the image of that release from its own tree, with the Dockerfile of today."""
    words = ("git", "-C", str(ROOT), "archive", "--format=tar", "--output", f"{tree}.tar", PREVIOUS)
    await run(*words)
    await asyncio.to_thread(unpack, tree)
    await run(
        "docker", "build", "--quiet", "--target", "auth-server", "--tag", f"farseal/auth-server:{TAG}", str(tree),
        seconds=600,
    )  # fmt: skip


def unpack(tree: Path) -> None:
    """Lay the tree out, with what it lacks."""
    with tarfile.open(f"{tree}.tar") as archive:
        archive.extractall(tree, filter="data")
    for name in ADDED:
        shutil.copy(ROOT / name, tree / name)
    shutil.copytree(ROOT / "deploy", tree / "deploy", dirs_exist_ok=True)


SEED = (ROOT / "deploy" / "seed" / "seed.sh").read_text().replace('"$here/manifest.yaml"', "/tmp/given.yaml")


async def test_both_releases_run_side_by_side(project: Project, held) -> None:
    manifest = (ROOT / "deploy" / "seed" / "manifest.yaml").read_bytes()
    await project.exec("auth_previous", "sh", "-c", "cat > /tmp/given.yaml", stdin=manifest)
    await project.exec("auth_previous", "sh", "-c", SEED, seconds=120)
    told = await project.exec("auth_previous", "farseal-auth", "client", "rotate-secret", "nightly", "--json")
    secret = secret_in(told.out)
    before = await access_token(project)  # logins of that release have no refresh token
    for server in SERVERS:
        await until_answered(project, server, before)
    published = json.loads((await project.exec("auth_previous", "cat", f"{DOCUMENTS}/jwks.json")).out)
    kids = {key["kid"] for key in published["keys"]}
    counts: dict[str, Counter[str]] = {}
    async with Load(project, before) as load, Askers(project, secret) as askers:
        await askers.saw("200", least=10)

        await project.run("run", "--rm", "--no-deps", "migrate", seconds=60)
        await askers.saw("200", least=askers.of("200") + 20)
        counts["migrated under the old server"] = Counter(askers.answers)

        await project.run("up", "-d", "--no-deps", "auth_server", seconds=60)
        await project.healthy("auth_server")
        await askers.saw("200", least=askers.of("200") + 40)
        during = [await access_token(project) for _ in range(4)]  # of either, as the gateway has it
        counts["side by side"] = Counter(askers.answers)

        await project.stop("auth_previous")
        await askers.saw("200", least=askers.of("200") + 20)
        await load.flows(least=100)
    after = (await log_in(project)).access
    issuer = ContainerIssuer(project)
    assert kids <= set(await issuer.kids()), "the keys of before are still published"
    minted = await issuer.mint("alice", project.url("resource_a"), project.url("resource_b"))
    for token in (before, *during, after, minted):
        for server in SERVERS:
            await until_answered(project, server, token)
    assert load.failures == {}
    assert set(askers.answers) == {"200"}, counts | {"in the end": askers.answers}
    assert (await ask(project, "resource_a", before))[0] == 200
    held(
        f"the database of {PREVIOUS[:8]} is migrated under its own server, and both serve side by side",
        f"{load.sent:,} requests at resource servers and {askers.of('200')} tokens, failures 0",
    )


def secret_in(printed: str) -> str:
    """The secret that a command printed as JSON."""
    return str(json.loads(printed)["secret"])
