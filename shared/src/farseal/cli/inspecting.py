"""``farseal inspect TOKEN``: what a token says, and which check of the verifier would refuse it."""

import argparse
import json
import sys
from collections import Counter
from datetime import datetime
from typing import Any, Final

from farseal.cli.examination import Examination, Verdict, examine
from farseal.cli.keys import KeysUnavailableError, keys_from
from farseal.cli.usage import Answer, UsageError
from farseal.cli.words import relative, shown, shown_json, utc
from farseal.clock import now
from farseal.settings import MAX_LEEWAY_SECONDS
from farseal.status_list import MAX_LIST_TOKEN_BYTES, VALID, StatusList

MAX_INPUT_CHARACTERS: Final = MAX_LIST_TOKEN_BYTES + 2
"""More than the largest status list that a verifier looks at: what is longer is refused as too large, not read on."""

_EXIT: Final = {Verdict.PASSED: 0, Verdict.REFUSED: 1, Verdict.SKIPPED: 3}
_TIMES: Final = (("iat", "issued"), ("nbf", "valid from"), ("auth_time", "logged in"), ("exp", "expires"))

_HELP: Final = """\
exit codes:
  0  the token would be honoured
  1  it would be refused
  2  wrong usage
  3  cannot tell: no check refused it, but some could not be made

The signature is checked only with --jwks, and is never printed. A token on the command line can be
seen by other users of this machine; give - to read it from standard input.
"""


def add_to(commands: Any) -> None:
    """Declare the command."""
    command = commands.add_parser(
        "inspect",
        help="say what a token holds, and which check would refuse it",
        description="Say what a token or a status list holds, how long it lives, and which check would refuse it.",
        epilog=_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("token", metavar="TOKEN", help="the token, or - for standard input")
    command.add_argument("--jwks", metavar="FILE|URL", help="the issuer's keys; a URL is https, or http on loopback")
    command.add_argument("--issuer", metavar="URL", help="the issuer that a service would trust")
    command.add_argument("--audience", metavar="URI", help="the identifier of the service")
    command.add_argument("--leeway", metavar="SECONDS", type=_leeway, default=30, help="clock skew to forgive [30]")
    command.add_argument("--at", metavar="TIME", type=_moment, help="judge at this time: seconds or ISO 8601 [now]")
    command.add_argument("--json", action="store_true", help="for scripts")
    command.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> Answer:
    """Read the token, and the keys where some are named, and judge it.

    Raises:
        UsageError: there is no token.
    """
    token = _token(arguments.token)
    keys, missing = None, "no --jwks given"
    if arguments.jwks is not None:
        try:
            keys = keys_from(arguments.jwks)
        except KeysUnavailableError as error:
            missing = str(error)
    if keys is not None and arguments.issuer is not None and keys.issuer not in {None, arguments.issuer}:
        # No service would take it.
        keys, missing = None, "the key set is of another issuer"
    at = now() if arguments.at is None else int(arguments.at)
    examination = examine(
        token,
        keys=keys,
        without_keys=missing,
        issuer=arguments.issuer,
        audience=arguments.audience,
        leeway=arguments.leeway,
        at=at,
    )
    text = json.dumps(as_json(examination), indent=2) if arguments.json else "\n".join(as_text(examination))
    return Answer(_EXIT[examination.verdict], text)


def as_text(examination: Examination) -> list[str]:
    """For people. Nothing from the token reaches the terminal unescaped, and the signature not at all."""
    lines: list[str] = []
    if examination.header is not None:
        lines += ["header", shown_json(examination.header)]
    if examination.payload is not None:
        lines += ["claims", shown_json(examination.payload), "lifetime"]
        lines += [f"  {line}" for line in _lifetime(examination)] or ["  no times that could be read"]
    lines += [f"  {shown(line)}" for line in _status(examination)]
    lines.append("checks")
    width = max(len(check.name) for check in examination.checks)
    for check in examination.checks:
        code = f"{check.code}: " if check.code else ""
        lines.append(f"  {check.name:<{width}}  {check.verdict.value:<11}  {code}{shown(check.detail)}".rstrip())
    for skipped in examination.skipped_keys:
        lines.append(
            f"key {skipped.position} ({shown(skipped.kid or 'no kid')}) of the set is not used: {skipped.reason}"
        )
    lines.append(_conclusion(examination))
    return lines


def as_json(examination: Examination) -> dict[str, Any]:
    """For scripts. There is no member for the signature."""
    decisive = examination.decisive
    return {
        "verdict": {"passed": "honoured", "refused": "refused", "not checked": "unknown"}[examination.verdict.value],
        "code": decisive.code if decisive is not None else None,
        "detail": decisive.detail if decisive is not None else None,
        "at": examination.at,
        "header": examination.header,
        "claims": examination.payload,
        "lifetime": _lifetime(examination),
        "status": _status(examination),
        "checks": [
            {"name": check.name, "verdict": check.verdict.value, "code": check.code, "detail": check.detail}
            for check in examination.checks
        ],
        "skipped_keys": [
            {"position": key.position, "kid": key.kid, "reason": key.reason} for key in examination.skipped_keys
        ],
    }


def _conclusion(examination: Examination) -> str:
    decisive = examination.decisive
    if decisive is None and examination.status_list is not None:
        return "verdict: it would be taken, unless a later one was seen"
    if decisive is None and examination.claims is not None and examination.claims.status is not None:
        return "verdict: it would be honoured, unless its status list says otherwise"
    if decisive is None:
        return "verdict: it would be honoured"
    if examination.verdict is Verdict.REFUSED:
        return f"verdict: it would be refused by the check of the {decisive.name}: {shown(decisive.detail)}"
    unchecked = [check.name for check in examination.checks if check.verdict is Verdict.SKIPPED]
    return f"verdict: cannot tell, not checked: {', '.join(unchecked)}"


def _lifetime(examination: Examination) -> list[str]:
    lines = []
    for claim, word in _TIMES:
        moment = (examination.payload or {}).get(claim)
        if type(moment) is int:
            verb = "expired" if claim == "exp" and moment <= examination.at else word
            lines.append(f"{verb} {relative(moment, examination.at)} ({utc(moment)})")
    return lines


def _status(examination: Examination) -> list[str]:
    """Which session a token is of, and where its end is published; or what a list is."""
    claims, found = examination.claims, examination.status_list
    lines = []
    if claims is not None and claims.session_id is not None:
        lines.append(f"session {claims.session_id}")
    if claims is not None and claims.status is not None:
        lines.append(f"status: entry {claims.status.index} of {claims.status.uri}, not looked up")
    if found is not None:
        version = "" if found.version is None else f", version {found.version}"
        lines.append(f"list of {found.size} entries of {found.bits} bits, {_ended(found)} not valid{version}")
    return lines


def _ended(found: StatusList) -> int:
    """How many entries are not valid; byte by byte, because there may be millions."""
    mask = (1 << found.bits) - 1
    return sum(
        count * sum((byte >> place) & mask != VALID for place in range(0, 8, found.bits))
        for byte, count in Counter(found.data).items()
    )


def _token(given: str) -> str:
    text = sys.stdin.read(MAX_INPUT_CHARACTERS) if given == "-" else given
    token = text.strip()
    if token[:7].lower() == "bearer ":
        token = token[7:].lstrip()
    if not token:
        raise UsageError("there is no token")
    return token


def _leeway(text: str) -> int:
    if not text.isdecimal() or not text.isascii() or len(text) > 6 or int(text) > MAX_LEEWAY_SECONDS:
        raise argparse.ArgumentTypeError(f"must be seconds, 0 to {MAX_LEEWAY_SECONDS}")
    return int(text)


def _moment(text: str) -> int:
    wanted = "must be seconds since 1970, or a date and time with its zone such as 2026-01-31T12:00:00Z"
    if text.isdecimal() and text.isascii() and len(text) <= 12:
        return int(text)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(wanted) from None
    if moment.tzinfo is None:
        raise argparse.ArgumentTypeError(wanted)
    return int(moment.timestamp())
