"""A plan in words and in JSON."""

from collections.abc import Iterator, Mapping
from typing import Any

import click

from auth_server.accounts.manifest import Action, Change, FieldChange, Plan

_MARK: Mapping[Action, tuple[str, str]] = {
    "create": ("+", "green"),
    "update": ("~", "yellow"),
    "delete": ("-", "red"),
    "unchanged": ("=", "white"),
}


def plan_lines(plan: Plan) -> Iterator[str]:
    """A line for each object that changes, one for each field below it, and a sum."""
    for change in plan.changes:
        if change.action == "unchanged":
            continue
        mark, colour = _MARK[change.action]
        yield click.style(f"{mark} {change.kind} {change.key}", fg=colour)
        for field in change.fields:
            for line in _field_lines(field):
                yield f"    {field.field}: {line}"
        if change.needs_secret:
            yield "    secret: a new one is made"
        if change.kind == "resource" and change.action == "delete":
            yield "    and every permission on it"
        if change.ends_sessions:
            yield "    and its sessions end"
    if plan.is_empty:
        yield "Nothing to do."
    counts = plan.counts()
    yield (
        f"{counts['create']} to create, {counts['update']} to update, {counts['delete']} to delete, "
        f"{counts['unchanged']} unchanged."
    )
    if plan.left_alone:
        names = ", ".join(f"{kind} {key}" for kind, key in plan.left_alone[:5])
        more = f" and {len(plan.left_alone) - 5} more" if len(plan.left_alone) > 5 else ""
        yield f"Not in the file and left alone (--prune deletes): {names}{more}."


def plan_body(plan: Plan) -> dict[str, Any]:
    """The plan for scripts."""
    return {
        "plan": [
            {
                "kind": change.kind,
                "key": change.key,
                "action": change.action,
                "fields": [_field_body(change, field) for field in change.fields],
                "new_secret": change.needs_secret,
            }
            for change in plan.changes
        ],
        "left_alone": [{"kind": kind, "key": key} for kind, key in plan.left_alone],
    }


def _field_body(change: Change, field: FieldChange) -> dict[str, Any]:
    before = {} if change.action == "create" else {"before": field.before}
    return {"field": field.field, **before, "after": field.after}


def _field_lines(field: FieldChange) -> Iterator[str]:
    """Sets and mappings by what comes and goes, anything else as before and after."""
    before, after = field.before, field.after
    match after:
        case tuple():
            yield _set_text(before or (), after)
        case dict():
            before = before or {}
            for name in sorted(before.keys() | after.keys()):
                if name not in after:
                    yield f"{name} withdrawn" if isinstance(before[name], tuple) else f"-{name}"
                elif isinstance(after[name], tuple):
                    if name not in before or before[name] != after[name]:
                        yield f"{name} {_set_text(before.get(name, ()), after[name])}"
                elif name not in before:
                    yield f"+{name}={_text(after[name])}"
                elif before[name] != after[name]:
                    yield f"{name}={_text(before[name])} becomes {_text(after[name])}"
            if not after and not before:
                yield "(none)"
        case _:
            yield _text(after) if before is None else f"{_text(before)} becomes {_text(after)}"


def _set_text(before: tuple[str, ...], after: tuple[str, ...]) -> str:
    words = [f"+{word}" for word in after if word not in before] + [f"-{word}" for word in before if word not in after]
    return " ".join(words) or "(none)"


def _text(value: object) -> str:
    if value is None:
        return "(unset)"
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) and value.isprintable() else ascii(value)
