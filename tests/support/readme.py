"""The README's console blocks, pasted into a shell beside a running demo."""

import contextlib
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

SHOWN_PORTS = {"9000": 0, "9001": 1, "9002": 2, "9003": 3}
SHOWN_STATE = ".run/9000"
END = "-- end of step --"
OUR_PREFIXES = ("FARSEAL_", "AUTH_SERVER_", "RESOURCE_", "DEMO_", "TESTS_", "COV_")


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


def programs(text: str) -> dict[str, str]:
    """The Python blocks whose first line is a comment with the name that a visitor saves them under."""
    return dict(re.findall(r"^```python\n# (\w+\.py)\n(.*?)^```", text, re.MULTILINE | re.DOTALL))


def matches(shown: str, said: str) -> bool:
    """Equal but for ``…``, which stands for anything."""
    pattern = ".*?".join(re.escape(part) for part in shown.split("…"))
    return re.fullmatch(pattern, said, re.DOTALL) is not None


def moved(text: str, base_port: int, state: Path) -> str:
    """What a visitor of a demo on other ports, with its state elsewhere, types instead."""
    for port, offset in SHOWN_PORTS.items():
        text = re.sub(rf"(:|port=){port}\b", rf"\g<1>{base_port + offset}", text)
    return text.replace(SHOWN_STATE, str(state)).replace(".venv/bin/", f"{Path(sys.executable).parent}/")


def differences(pasted: list[Step], base_port: int, *, state: Path, directory: Path) -> list[str]:
    """What a demo on other ports answers otherwise than shown. One shell takes all lines, as a visitor's does.

    Args:
        pasted: the lines.
        base_port: the demo's first.
        state: the demo's folder.
        directory: where the shell starts, with the programs that the lines name.
    """
    script = "".join(f"{step.command}\necho; echo '{END}'\n" for step in pasted)
    out, err = _shell(moved(script, base_port, state), directory)
    said = [part.strip() for part in out.split(END)[:-1]]
    if len(said) != len(pasted) or err:
        return [out + err]
    return [
        f"$ {step.command}\n{answer}"
        for step, answer in zip(pasted, said, strict=True)
        if not matches(moved(step.output, base_port, state), answer)
    ]


def _shell(script: str, directory: Path) -> tuple[str, str]:
    """Run a script to its end, as in a visitor's terminal: without settings of ours. What it left behind is ended."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(OUR_PREFIXES)}
    with subprocess.Popen(
        ["sh"],
        cwd=directory,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as shell:
        try:
            return shell.communicate(script, timeout=60)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(shell.pid, signal.SIGKILL)
