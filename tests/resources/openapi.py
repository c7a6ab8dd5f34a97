"""Schemathesis against a running service: its own process, driven by the description that the service itself serves."""

import asyncio
import sys
from pathlib import Path

from tests.resources.stack import Service

SECONDS = 60.0
"""Far beyond what a run takes; a hung one ends here."""

MAX_LINE = 500
"""Of a report: generated bodies are long."""

CONFIGURATION = """
[auth.openapi.accessToken]
bearer = "${{API_TOKEN}}"

[generation]
max-examples = {examples}
deterministic = true
database = "none"
no-shrink = true

{more}
"""


async def nonconformities(
    service: Service, token: str, directory: Path, *, examples: int, more: str = "", described_by: str | None = None
) -> tuple[int, str]:
    """Every check and every phase that schemathesis has, with good and bad data: its exit code and its report.

    Args:
        service: whose /openapi.yaml is read and held against what it answers.
        token: a good one with every scope.
        directory: for the configuration.
        examples: of generated requests for each operation and phase.
        more: of the configuration.
        described_by: another description, in a file.
    """
    configuration = directory / "schemathesis.toml"
    configuration.write_text(CONFIGURATION.format(examples=examples, more=more))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(configuration), "--no-color"),
        *("run", described_by or f"{service.url}/openapi.yaml", "--url", service.url),
        *("--checks", "all", "--mode", "all", "--continue-on-failure", "--suppress-health-check", "all"),
        cwd=directory,
        env={"API_TOKEN": token, "PYTHONUTF8": "1"},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        out, _ = await asyncio.wait_for(process.communicate(), SECONDS)
    except BaseException:
        process.kill()
        await process.wait()
        raise
    report = "\n".join(line[:MAX_LINE] for line in out.decode(errors="replace").splitlines())
    assert process.returncode is not None
    return process.returncode, report
