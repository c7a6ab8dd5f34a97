"""What commands print: tables for people, tab-separated lines for pipes, JSON for scripts."""

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar

import click
from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.table import Table
from rich.text import Text

STILL_ALIVE = "Tokens already given live on until they expire."
"""For what withdraws a permission and ends no session: its next token has it no more."""

_RECOGNISABLE = 12
"""Characters of a column that are left in any case."""

F = TypeVar("F", bound=Callable[..., Any])


def json_option(command: F) -> F:
    """The option --json, parameter ``as_json``."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts.")(command)


def show_json(value: object, *, indent: int | None = 2) -> None:
    """Print a value as JSON: moments as RFC 3339, everything else that is not JSON as text.

    With ``indent`` None it is one line. What a terminal could take for a command is escaped, C1 controls and marks that
    turn the direction of text included, which JSON itself allows as they are.
    """
    text = json.dumps(value, indent=indent, ensure_ascii=False, default=_plain)
    click.echo("".join(char if char.isprintable() or char == "\n" else json.dumps(char)[1:-1] for char in text))


def harmless(text: str) -> str:
    """Text that somebody else wrote, with no character that a terminal could obey: as a JSON string if need be."""
    return text if text.isprintable() else json.dumps(text)


def show_rows(
    columns: Sequence[str] | None, rows: Sequence[Sequence[object]], *, empty: str, shorten: str | None = None
) -> None:
    """Print a table on a terminal; elsewhere a header and rows, separated by tabs, never cut.

    Args:
        columns: None stands for rows that go on where others ended: tab-separated, without a header.
        empty: said on a terminal instead of a table without rows.
        shorten: the column that is cut on a terminal for as long as the others leave no room.
    """
    on_terminal = columns is not None and sys.stdout.isatty()
    cells = [[_cell(value, between="\n" if on_terminal else " ") for value in row] for row in rows]
    if columns is None or not on_terminal:
        header = [] if columns is None else [[column.lower() for column in columns]]
        for row in (*header, *cells):
            click.echo("\t".join(row))
        return
    if not cells:
        click.echo(empty)
        return
    console = Console()
    if shorten is not None:
        _shorten(cells, columns, columns.index(shorten), console.width)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in cells:
        table.add_row(*map(Text, row))
    console.print(table)


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


def warn(message: str) -> None:
    """Print a warning on standard error, whatever the command prints for scripts."""
    click.echo(f"{click.style('Warning', fg='yellow', bold=True)}: {message}.", err=True)


def counted(number: int, word: str) -> str:
    """A number of things, by the word for one of them."""
    return f"{number} {word}{'' if number == 1 else 's'}"


def permissions_text(permissions: Mapping[str, Sequence[str]]) -> str:
    """One line for each resource and its scopes."""
    return "\n".join(f"{audience}  {' '.join(scopes) or '(no scopes)'}" for audience, scopes in permissions.items())


def _shorten(cells: Sequence[list[str]], columns: Sequence[str], place: int, width: int) -> None:
    """Cut one column to what the others leave of the terminal's width, and to no less than can be recognised."""
    widths = [max(map(cell_len, column)) for column in zip(columns, *cells, strict=True)]
    room = max(_RECOGNISABLE, width - sum(widths) + widths[place] - 2 * (len(columns) - 1))
    for row in cells:
        if cell_len(row[place]) > room:
            row[place] = set_cell_size(row[place], room - 1).rstrip() + "…"


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
    return harmless(value) if isinstance(value, str) else json.dumps(value)


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%dT%H:%M:%SZ")
    return str(value)
