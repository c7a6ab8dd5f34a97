"""docs/protect-your-service.md, typed as it stands, in a checkout of its own on other ports."""

import os
import re
import shutil
import subprocess

import pytest

from farseal_testing import leftovers
from farseal_testing.compose import Ports, find_compose
from tests.support.readme import END, matches, steps
from tests.system.conftest import ROOT

TEXT = (ROOT / "docs" / "protect-your-service.md").read_text()
FILES = re.compile(r"^```\w+\n# ([\w./]+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
COPIED = ("Makefile", "Dockerfile", ".dockerignore", "compose.yaml", "scripts", "deploy", "requirements", "shared")
MEMBERS = ("auth_server", "resource_a", "resource_b", "testing")


@pytest.fixture
async def checkout(tmp_path):
    """A copy of what the reader's checkout has, whose containers are removed whatever happens."""
    await find_compose(os.environ)
    name = leftovers.new_name()
    ignored = shutil.ignore_patterns(".venv", "__pycache__", ".*_cache")
    for entry in (*COPIED, *MEMBERS):
        source = ROOT / entry
        if source.is_dir():
            shutil.copytree(source, tmp_path / entry, ignore=ignored)
        elif source.exists():
            shutil.copy(source, tmp_path / entry)
    try:
        yield name, tmp_path
    finally:
        await leftovers.remove(name)


async def test_the_page_is_true(checkout, held) -> None:
    name, folder = checkout
    auth, notes, reports, orders = (*Ports.free().all, Ports.free().auth)

    def moved(text: str) -> str:
        for shown, port in (("9000", auth), ("9001", notes), ("9002", reports)):
            text = re.sub(rf"(127\.0\.0\.1:){shown}\b", rf"\g<1>{port}", text)
        return re.sub(r"127\.0\.0\.1:9003:9003", f"127.0.0.1:{orders}:9003", text).replace(
            "//127.0.0.1:9003", f"//127.0.0.1:{orders}"
        )

    for file, content in FILES.findall(TEXT):
        (folder / file).parent.mkdir(exist_ok=True)
        (folder / file).write_text(content if file.endswith("Dockerfile") else moved(content))
    pasted = steps(TEXT)
    script = "".join(f"{step.command}\necho; echo '{END}'\n" for step in pasted)
    environment = {
        **{key: value for key, value in os.environ.items() if key in {"PATH", "HOME", "LANG"} or "DOCKER" in key},
        "COMPOSE_PROJECT_NAME": name,
        "FARSEAL_AUTH_PORT": str(auth),
        "FARSEAL_NOTES_PORT": str(notes),
        "FARSEAL_REPORTS_PORT": str(reports),
        # The copy has no history; its images are those of the other tests, and stay so.
        "FARSEAL_REVISION": os.environ.get("FARSEAL_REVISION", "unknown"),
    }
    done = subprocess.run(  # noqa: ASYNC221 - nothing else happens meanwhile
        ["sh"],
        input=moved(script),
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    said = [part.strip() for part in done.stdout.split(END)[:-1]]
    assert len(said) == len(pasted), done.stdout + done.stderr
    wrong = [
        f"$ {step.command}\n{answer}"
        for step, answer in zip(pasted, said, strict=True)
        if not matches(moved(step.output), answer)
    ]
    assert not wrong, "\n".join([*wrong, done.stderr])
    held("docs/protect-your-service.md is true as it stands", f"{len(pasted)} commands answered as shown")
