"""The README's console blocks, pasted into a shell beside a running demo."""

import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent.parent
SHOWN_PORTS = {"9000": 0, "9001": 1, "9002": 2}
END = "-- end of step --"


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


def differences(pasted: list[Step], base_port: int) -> list[str]:
    """What a demo on other ports answers otherwise than shown. One shell takes all lines, as a visitor's does."""
    script = "".join(f"{step.command}\necho; echo '{END}'\n" for step in pasted)
    for port, offset in SHOWN_PORTS.items():
        script = script.replace(f":{port}", f":{base_port + offset}")
    script = script.replace(".venv/bin/", f"{Path(sys.executable).parent}/")
    done = subprocess.run(["sh"], input=script, capture_output=True, text=True, check=False, cwd=ROOT, timeout=60)
    said = [part.strip() for part in done.stdout.split(END)[:-1]]
    if len(said) != len(pasted) or done.stderr:
        return [done.stdout + done.stderr]
    return [
        f"$ {step.command}\n{answer}"
        for step, answer in zip(pasted, said, strict=True)
        if not matches(step.output, answer)
    ]
