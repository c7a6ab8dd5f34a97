"""What an operator does to the signing keys, by the auth server's own commands."""

import json
import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from demo.tour.scenery import Scenery
from demo.tour.stage import StageError

NAIVE: Final = Path(__file__).with_name("naive_program.py")


@dataclass(frozen=True, slots=True)
class TooEarly:
    """An activation was refused, and the refusal told when it will be allowed."""

    allowed_at: int | None
    """Seconds since the epoch; None while the publication of the key is not confirmed yet, which is a moment."""


async def activate(scenery: Scenery) -> TooEarly | None:
    """Sign with the announced key; None when it is done.

    Raises:
        StageError: refused for another reason than the time.
    """
    status, printed = await scenery.operate("keys", "activate", "--json")
    if status == 0:
        return None
    told = refusal_in(printed)
    if status != 1 or told is None or not told["forceable"]:
        raise StageError(f"keys activate failed with status {status}: {in_a_line(printed)}")
    moment = told["allowed_at"]
    return TooEarly(None if moment is None else int(datetime.fromisoformat(moment).timestamp()))


async def announce_and_activate(scenery: Scenery) -> str:
    """Publish a key and sign with it in the same moment, against all advice; give its kid.

    Both commands run in one process: even the second that a process takes to start would be a kind of announcement.

    Raises:
        StageError: a command was refused.
    """
    status, printed = await scenery.operate_program(NAIVE.read_text())
    if status != 0:
        raise StageError(f"the naive rotation failed with status {status}: {in_a_line(printed)}")
    return str(json_in(printed)["kid"])


def refusal_in(printed: str) -> dict[str, Any] | None:
    """Find what a command with ``--json`` printed of its refusal; None where it printed nothing of the kind."""
    try:
        told = json_in(printed)
    except ValueError:
        return None
    return told if isinstance(told, dict) and {"refused", "allowed_at", "forceable"} <= told.keys() else None


def in_a_line(printed: str) -> str:
    """Give the end of what a command printed, for the one line that a fault has."""
    return " ".join(printed.split())[-300:]


def json_in(printed: str) -> Any:
    """Find the JSON document among the lines that a command printed; log lines may stand around it.

    Raises:
        ValueError: there is none.
    """
    for found in re.finditer(r"^[\[{]", printed, re.MULTILINE):
        try:
            value, end = json.JSONDecoder().raw_decode(printed, found.start())
        except ValueError:
            continue
        if not (isinstance(value, dict) and {"event", "level"} <= value.keys()) and printed[end : end + 1] in {
            "",
            "\n",
        }:
            return value
    raise ValueError(f"no JSON in {printed[-200:]!r}")
