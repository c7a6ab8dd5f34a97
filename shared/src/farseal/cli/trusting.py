"""``farseal trust [URL]``: what a running service trusts, how old it is, and what keeps it from being fresher."""

import argparse
import asyncio
import json
from collections.abc import Iterator, Sequence
from typing import Any, Final

import msgspec

from farseal.cli.fetching import FetchingError, address, fetch
from farseal.cli.usage import Answer, UsageError
from farseal.cli.words import relative, shown, span
from farseal.sources.report import FRESH, IssuerReport, TrustReport

DEFAULT: Final = "http://127.0.0.1:9101/trust"
"""The internal port of the notes service, as it is set unless told otherwise."""

BEHIND: Final = 1
UNREACHABLE: Final = 3

_WHAT: Final = "the report"
_HEAD: Final = ("VERDICT", "ISSUER", "AGE", "SEQUENCE", "KEYS", "REVOKED", "NEXT LOOK")

_HELP: Final = """\
exit codes:
  0  the keys of every issuer are fresh
  1  those of some issuer are stale or refused
  2  wrong usage
  3  the service cannot be reached, or does not answer with a report
"""


def add_to(commands: Any) -> None:
    """Declare the command."""
    command = commands.add_parser(
        "trust",
        help="say what a running service trusts",
        description="Say which keys a running service trusts, how old they are, and what keeps them so.",
        epilog=_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("url", metavar="URL", nargs="?", default=DEFAULT, help=f"of its page /trust [{DEFAULT}]")
    command.add_argument("--json", action="store_true", help="for scripts: the report as the service gives it")
    command.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> Answer:
    """Read the report of a service.

    Raises:
        UsageError: the address is none.
    """
    try:
        address(arguments.url, _WHAT)
    except FetchingError as error:
        raise UsageError(str(error)) from None
    try:
        content = asyncio.run(fetch(arguments.url, _WHAT, accept="application/json"))
        report = msgspec.json.decode(content, type=TrustReport)
    except FetchingError as error:
        return Answer(UNREACHABLE, "", f"{error}; the page /trust is on the internal port of a service")
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return Answer(UNREACHABLE, "", "what answers there is no report of what a service trusts")
    # Escapes make even the raw text safe for a terminal.
    text = json.dumps(report.as_json(), indent=2) if arguments.json else "\n".join(as_text(report))
    fresh = report.issuers and all(one.judgement == FRESH for one in report.issuers)
    return Answer(0 if fresh else BEHIND, text)


def as_text(report: TrustReport) -> list[str]:
    """For people: a table, and under it what a table has no room for. Nothing reaches the terminal unescaped."""
    rows = [_row(one, report.at) for one in report.issuers]
    lines = list(_table([_HEAD, *rows]))
    for one in report.issuers:
        lines += ["", shown(one.issuer), *(f"  {shown(line)}" for line in _details(one, report.at))]
    counts = f"generation {report.generation}, {report.loads} sets taken, {report.refused} refused"
    return [*lines, "", f"{counts}, {report.rollbacks} of them rollbacks"]


def _row(one: IssuerReport, at: int) -> tuple[str, ...]:
    return tuple(
        shown(cell)
        for cell in (
            one.judgement,
            one.issuer,
            "-" if one.age is None else span(one.age),
            "-" if one.sequence is None else str(one.sequence),
            str(len(one.kids)),
            str(len(one.revoked)),
            "-" if one.next_at is None else relative(one.next_at, at),
        )
    )


def _table(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def _details(one: IssuerReport, at: int) -> Iterator[str]:
    if one.origin is not None:
        yield f"from {one.origin}" + (", by now a copy on the disk" if one.from_disk else "")
    if one.age is None:
        yield "no keys have been read: every token gets 503"
    elif one.stale_after is not None and one.refuse_after is not None:
        yield f"stale from {span(one.stale_after)} on, refused from {span(one.refuse_after)} on"
    yield from (f"key {kid}" for kid in one.kids)
    yield from (f"revoked {kid}" for kid in one.revoked)
    yield from (f"not used: {skipped}" for skipped in one.skipped)
    if one.refusal is not None:
        yield f"what is published is not taken: {one.refusal}"
    if one.failure is not None:
        since = "never before" if one.last_success_at is None else f"last {relative(one.last_success_at, at)}"
        yield f"what is published cannot be had ({since}): {one.failure}"
    if one.refused or one.failures:
        refused = f"{one.refused} refused, {one.rollbacks} of them rollbacks"
        yield f"key sets: {refused}; {one.failures} of {one.attempts} looks failed"
    yield from _status(one, at)


def _status(one: IssuerReport, at: int) -> Iterator[str]:
    if one.lists_origin is not None:
        yield f"lists from {one.lists_origin}" + (", by now copies on the disk" if one.lists_from_disk else "")
    if one.lists_in_force and one.status_stale_after is not None and one.status_refuse_after is not None:
        stale, refused = span(one.status_stale_after), span(one.status_refuse_after)
        yield f"status {one.status}, {one.lists_in_force} lists, stale from {stale} on, refused from {refused} on"
    elif one.status:
        yield f"status {one.status}, no lists"
    for each in one.lists:
        version = "" if each.version is None else f", version {each.version}"
        yield f"list {each.uri}: {each.judgement}, {span(each.age)} old{version}, {each.size} entries"
    if (more := one.lists_in_force - len(one.lists)) > 0:
        yield f"and {more} younger lists"
    if one.lists_refusal is not None:
        yield f"status lists are not taken: {one.lists_refusal}"
    if one.lists_failure is not None:
        since = (
            "never before" if one.lists_last_success_at is None else f"last {relative(one.lists_last_success_at, at)}"
        )
        yield f"status lists cannot be had ({since}): {one.lists_failure}"
    if one.lists_refused:
        yield f"{one.lists_refused} status lists refused, {one.lists_rollbacks} of them rollbacks"
