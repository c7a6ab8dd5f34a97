"""What commands print: tables for people, tab-separated lines for pipes, JSON for scripts."""

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

STILL_ALIVE = "Tokens already given live on until they expire."

F = TypeVar("F", bound=Callable[..., Any])


def json_option(command: F) -> F:
    """The option --json, parameter ``as_json``."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts.")(command)


def show_json(value: object) -> None:
    """Print a value as JSON: moments as RFC 3339, everything else that is not JSON as text."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False, default=_plain))


def show_rows(columns: Sequence[str], rows: Sequence[Sequence[object]], *, empty: str) -> None:
    """Print a table on a terminal; elsewhere a header and rows, separated by tabs, never cut."""
    on_terminal = sys.stdout.isatty()
    cells = [[_cell(value, between="\n" if on_terminal else " ") for value in row] for row in rows]
    if not on_terminal:
        for row in ([column.lower() for column in columns], *cells):
            click.echo("\t".join(row))
        return
    if not cells:
        click.echo(empty)
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in cells:
        table.add_row(*map(Text, row))
    Console().print(table)


def show_fields(fields: Mapping[str, object]) -> None:
    """Print one object, a field on each line."""
    width = max(map(len, fields), default=0)
    for name, value in fields.items():
        lines = _cell(value).split("\n")
        click.echo(f"{click.style(name.ljust(width), bold=True)}  {lines[0]}")
        for line in lines[1:]:
            click.echo(f"{' ' * width}  {line}")


def done(as_json: bool, message: str, body: Mapping[str, object]) -> None:
    """Print that something was done."""
    if as_json:
        show_json(body)
    else:
        click.echo(message)


def permissions_text(permissions: Mapping[str, Sequence[str]]) -> str:
    """One line for each resource and its scopes."""
    return "\n".join(f"{audience}  {' '.join(scopes) or '(no scopes)'}" for audience, scopes in permissions.items())


def _cell(value: object, *, between: str = " ") -> str:
    match value:
        case None:
            return "-"
        case bool():
            return "yes" if value else "no"
        case datetime():
            return value.strftime("%Y-%m-%d %H:%M:%SZ")
        case str():
            return value or "-"
        case tuple() | list():
            return between.join(map(str, value)) or "-"
        case Mapping():
            return "\n".join(f"{name}={_attribute(item)}" for name, item in value.items()) or "-"
        case _:
            return str(value)


def _attribute(value: object) -> str:
    return value if isinstance(value, str) and value.isprintable() else json.dumps(value)


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%dT%H:%M:%SZ")
    return str(value)
