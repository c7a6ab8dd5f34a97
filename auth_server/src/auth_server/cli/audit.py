"""farseal-auth audit: who changed which key and ended whose sessions, when and why."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

import click

from auth_server.cli.output import harmless, json_option, show_json, show_rows
from auth_server.cli.parameters import KID, Since
from auth_server.cli.session import in_database, moment
from auth_server.storage import audit as audit_log
from auth_server.storage.audit import AuditEntry
from auth_server.storage.connection import Connection
from farseal.clock import at

MOMENTS: Final = ("_at", "_until", "_after")
"""How the names of moments end in what an entry holds; they are in seconds since the epoch there."""


@click.command()
@click.option("--kid", type=KID, help="Only what befell this key.")
@click.option("--action", help="Only this, such as activate, revoke or end sessions.")
@click.option("--since", type=Since(moment), metavar="WHEN", help="Not older than: 6h, 7d, 2026-11-24T18:00Z.")
@click.option(
    "--limit", type=click.IntRange(1, 10_000), default=50, show_default=True, help="Not more entries than these."
)
@json_option
def audit(kid: str | None, action: str | None, since: datetime | None, limit: int, *, as_json: bool) -> None:
    """Show who changed which signing key and who ended sessions by hand, the newest entry first.

    The database takes entries and lets nobody change or delete one. A forced change has its warnings with it.

    \b
    Examples:
      farseal-auth audit --since 7d
      farseal-auth audit --action revoke --json
      farseal-auth audit --kid KID --limit 5
    """

    async def work(conn: Connection) -> tuple[tuple[AuditEntry, ...], tuple[str, ...]]:
        found = await audit_log.entries(conn, kid=kid, action=action, since=since, limit=limit)
        return found, await audit_log.actions(conn) if action is not None and not found else ()

    found, actions = in_database(work)
    if not found and action is not None and action not in actions:
        there_are = ", ".join(map(harmless, actions)) or "none at all"
        click.echo(f"farseal-auth: there is no entry of that action; there are: {there_are}", err=True)
    if as_json:
        show_json([_body(entry) for entry in found])
        return
    show_rows(
        ("When", "Who", "Action", "Key", "What", "Reason"),
        [
            (
                entry.at,
                harmless(entry.actor),
                harmless(entry.action),
                None if entry.kid is None else harmless(entry.kid),
                [harmless(word) for word in _what(entry)],
                None if entry.reason is None else harmless(entry.reason),
            )
            for entry in found
        ],
        empty="There is no such entry.",
    )


def _body(entry: AuditEntry) -> dict[str, Any]:
    return {
        "id": entry.id,
        "at": entry.at,
        "actor": entry.actor,
        "action": entry.action,
        "kid": entry.kid,
        "reason": entry.reason,
        "before": entry.before,
        "after": entry.after,
    }


def _what(entry: AuditEntry) -> list[str]:
    """What differs, in words: the state first, then whatever else was noted, then the warnings."""
    before, after = dict(entry.before or {}), dict(entry.after or {})
    warnings = after.pop("warnings", None)
    words = []
    old, new = before.pop("state", None), after.pop("state", None)
    if new is not None:
        words.append(f"{old} -> {new}" if old is not None else f"{new}")
    words += [f"{name}={_value(name, after)}" for name in after if after[name] is not None]
    words += [f"{name} was {_value(name, before)}" for name in before if name not in after]
    if isinstance(warnings, list):
        words += [f"warning: {warning}" for warning in warnings]
    return words


def _value(name: str, values: Mapping[str, Any]) -> str:
    value = values[name]
    if isinstance(value, list):
        return ",".join(map(str, value))
    if name.endswith(MOMENTS) and type(value) is int:
        try:
            return f"{at(value):%Y-%m-%dT%H:%M:%SZ}"
        except (ValueError, OverflowError, OSError):  # the table takes any JSON
            return str(value)
    return str(value)
