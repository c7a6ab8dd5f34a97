"""The programs of the library's README, as somebody who copies them runs them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from aiohttp import web

from farseal import clock
from tests.support.readme import programs
from tests.support.tokens import Issuer

PROGRAMS = programs((Path(__file__).parents[2] / "shared" / "README.md").read_text(encoding="utf-8"))
ISSUER, AUDIENCE = "https://auth.example.com", "https://notes.example.com"


@pytest.fixture
def issuer(tmp_path) -> Issuer:
    issuer = Issuer(now=clock.now(), issuer=ISSUER, audience=AUDIENCE)
    issuer.publish_lists(issuer.publish(tmp_path))
    return issuer


def run(directory: Path, name: str, *arguments: str, before: tuple[str, ...] = (), text: str = "") -> str:
    (directory / name).write_text(PROGRAMS[name])
    done = subprocess.run(
        [sys.executable, *before, name, *arguments],
        cwd=directory,
        env={"PATH": os.environ["PATH"]},
        input=text,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


async def test_three_lines_protect_a_service(issuer, tmp_path, aiohttp_client, monkeypatch) -> None:
    """All of the program but its last line, which would serve until Ctrl-C."""
    served = []
    monkeypatch.setattr(web, "run_app", lambda app, **_where: served.append(app))
    # The run's own settings, such as where its PostgreSQL is, would be unknown ones to the program.
    for name in [name for name in os.environ if name.startswith("FARSEAL_")]:
        monkeypatch.delenv(name)
    for name, value in {"ISSUER": ISSUER, "AUDIENCE": AUDIENCE, "TRUST_DIRECTORY": str(tmp_path)}.items():
        monkeypatch.setenv(f"FARSEAL_{name}", value)
    exec(compile(PROGRAMS["notes.py"], "notes.py", "exec"), {"__name__": "__main__"})  # noqa: S102 - our own page
    client = await aiohttp_client(served[0])
    assert (await client.get("/notes")).status == 401
    headers = {"Authorization": f"Bearer {issuer.mint(scope='notes:read', status=issuer.status())}"}
    async with client.get("/notes", headers=headers) as answer:
        assert answer.status == 200
        assert set(await answer.json()) == {"owner", "org"}


def test_the_test_of_a_service_passes(tmp_path) -> None:
    """With pytest's own settings but for the one that the page names."""
    said = run(tmp_path, "test_notes.py", before=("-m", "pytest", "-q", "-o", "asyncio_mode=auto"))
    assert "1 passed" in said


def test_a_token_is_judged_without_aiohttp(issuer, tmp_path) -> None:
    """A good token, a text that is none, and a directory without keys."""
    empty = tmp_path / "empty"
    empty.mkdir()
    good = issuer.mint(sub="alice", scope="notes:read", status=issuer.status())
    assert run(tmp_path, "check.py", str(tmp_path), text=good) == "alice may notes:read\n"
    assert run(tmp_path, "check.py", str(tmp_path), text="none") == "must not be honoured: token_malformed\n"
    assert run(tmp_path, "check.py", str(empty), text=good) == "nobody can tell: trust_unavailable\n"
