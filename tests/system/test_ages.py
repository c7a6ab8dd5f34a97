"""How long a resource server goes on without news, exactly: it warns, and then refuses, at the ages that are set."""

import asyncio
import json

import pytest_asyncio

from farseal_testing.compose import DOCUMENTS, Project
from farseal_testing.issuer import claims_of
from tests.system.conftest import ROOT
from tests.system.traffic import answer, log_in_again, now, until_answered

STALE, REFUSE = 75, 90
STATUS_STALE, STATUS_REFUSE = 120, 121
"""Unchanged documents are written again each minute: more than that. Of lists it is the least that is allowed."""

OVERLAY = f"""
services:
  resource_a:
    environment:
      FARSEAL_STALE_AFTER_SECONDS: "{STALE}"
      FARSEAL_REFUSE_AFTER_SECONDS: "{REFUSE}"
  resource_b:
    environment:
      FARSEAL_STATUS_STALE_AFTER_SECONDS: "{STATUS_STALE}"
      FARSEAL_STATUS_REFUSE_AFTER_SECONDS: "{STATUS_REFUSE}"
  auth_server:
    environment:
      AUTH_SERVER_ACCESS_TOKEN_SECONDS: "600"
"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def project(tmp_path_factory):
    """Short limits for the documents at resource_a, and for the status lists at resource_b."""
    overlay = tmp_path_factory.mktemp("overlay") / "ages.yaml"
    overlay.write_text(OVERLAY)
    async with Project(ROOT, files=("compose.yaml", "compose.quick.yaml", overlay)) as made:
        await made.up()
        yield made


async def moments(project: Project) -> tuple[float, float]:
    """When the keys were published last, and when the status list was issued (seconds since the epoch)."""
    written = (await project.exec("keys", "stat", "-c", "%Y", f"{DOCUMENTS}/jwks.json")).out
    document = (await project.exec("keys", "sh", "-c", f"cat {DOCUMENTS}/status/*.jwt")).out
    return float(written), float(claims_of(document)["iat"])


async def warned(project: Project) -> bool:
    """Whether resource_a says that its documents are stale: where it shows them, and in its readiness."""
    page = json.loads(await project.operations_page("resource_a", "/trust"))
    if page["issuers"][0]["judgement"] == "fresh":
        return False
    readiness = json.loads(await project.operations_page("resource_a", "/readyz"))
    assert readiness["status"] == "ready"
    assert "documents" in readiness["warnings"]
    return True


async def test_limits_act_at_their_ages_and_end_without_a_restart(project: Project, held) -> None:
    token = (await log_in_again(project))[0].access
    for server in ("resource_a", "resource_b"):
        await until_answered(project, server, token)
    await project.kill("auth_server")
    published, issued = await moments(project)
    due = {"warned": published + STALE, "refused": published + REFUSE, "lists": issued + STATUS_REFUSE}
    seen: dict[str, float] = {}
    while len(seen) < len(due):
        for name, server in (("refused", "resource_a"), ("lists", "resource_b")):
            if name not in seen:
                got = await answer(project, server, token)
                # resource_b says 502 of the notes that resource_a refuses: its own token it has honoured.
                allowed = {200, 503} | ({502} if server == "resource_b" and now() > due["refused"] - 2 else set())
                assert got.status in allowed, (server, got)
                if got.status == 503:
                    seen[name] = now()
                    assert not got.unfit, got
        if "warned" not in seen and await warned(project):
            seen["warned"] = now()
        late = {name for name in due.keys() - seen.keys() if now() > due[name] + 5}
        assert not late, (late, seen, due)
        await asyncio.sleep(0.2)
    off = {name: seen[name] - due[name] for name in due}
    assert all(-1.5 <= seconds <= 3 for seconds in off.values()), off
    await project.start("auth_server")
    back = [await until_answered(project, server, token) for server in ("resource_a", "resource_b")]
    held(
        f"documents are stale at {STALE} s and refused with 503 at {REFUSE} s, a status list at {STATUS_REFUSE} s",
        ", ".join(f"{name} {seconds:+.1f} s off its moment" for name, seconds in off.items()),
    )
    held("and good again without a restart", f"{back[0]:.1f} s and {back[1]:.1f} s after the issuer's start")
