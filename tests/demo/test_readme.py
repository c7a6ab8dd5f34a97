"""The README's lines, pasted in order into a shell beside a running demo, answer as the README shows."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parent.parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
SHOWN_PORTS = {"9000": 0, "9001": 1, "9002": 2}


class Step(NamedTuple):
    """A line after ``$`` and what the README shows below it."""

    command: str
    output: str


def steps(text: str) -> list[Step]:
    """Every command of the console blocks, in their order."""
    found = []
    for block in re.findall(r"^```console\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, output = part.partition("\n")
            found.append(Step(command, output.strip()))
    return found


def matches(shown: str, said: str) -> bool:
    """Equal but for ``…``, which stands for anything."""
    pattern = ".*?".join(re.escape(part) for part in shown.split("…"))
    return re.fullmatch(pattern, said, re.DOTALL) is not None


@pytest.fixture
def demo(reachable_directory: Path, free_base_port: int) -> Iterator[int]:
    """A demo that has played its tour and waits for visitors; gives its first port."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("DEMO_", "COV_"))}
    environment |= {
        "DEMO_PORT": str(free_base_port),
        "DEMO_STATE_DIR": str(reachable_directory),
        "PYTHONUNBUFFERED": "1",
    }
    environment.pop("ONCE", None)
    command = [sys.executable, "-m", "demo"]
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            said = []
            for line in process.stdout:
                said.append(line)
                if "Ctrl-C stops everything" in line:
                    break
            else:
                pytest.fail("".join(said))
            yield free_base_port
            process.send_signal(signal.SIGINT)
            assert process.wait(30) == 0
        finally:
            process.kill()


def test_the_lines_answer_as_shown(demo: int) -> None:
    """One shell takes them all, as a visitor's does; only the ports are other ones here."""
    pasted = steps(README)
    assert len(pasted) >= 8
    end = "-- end of step --"
    script = "".join(f"{step.command}\necho; echo '{end}'\n" for step in pasted)
    for port, offset in SHOWN_PORTS.items():
        script = script.replace(f":{port}", f":{demo + offset}")
    script = script.replace(".venv/bin/", f"{Path(sys.executable).parent}/")
    done = subprocess.run(["sh"], input=script, capture_output=True, text=True, check=False, cwd=ROOT, timeout=60)
    said = [part.strip() for part in done.stdout.split(end)[:-1]]
    assert len(said) == len(pasted), done.stdout + done.stderr
    wrong = [
        f"$ {step.command}\n{answer}"
        for step, answer in zip(pasted, said, strict=True)
        if not matches(step.output, answer)
    ]
    assert not wrong, "\n\n".join(wrong)
    assert done.stderr == ""


def test_an_answer_that_differs_is_seen() -> None:
    """The comparison can fail."""
    assert matches('{"id":"…","n":1}', '{"id":"x","n":1}')
    assert not matches('{"id":"…","n":1}', '{"id":"x","n":2}')
    assert not matches("", "something")
