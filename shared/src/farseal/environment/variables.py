"""Where a value comes from: the environment, a settings file, or a file that a variable names."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

Read = Callable[[Path], str]
"""Gives the text of a file, or raises `OSError` or `UnicodeDecodeError`."""

MAX_FILE_CHARACTERS: Final = 64 * 1024
"""A settings file or a secret is far below this; a device or a wrong path may not be."""

_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def read_text(file: Path) -> str:
    """The text of a small UTF-8 file."""
    with file.open(encoding="utf-8", newline="") as stream:
        return stream.read(MAX_FILE_CHARACTERS + 1)


@dataclass(frozen=True, slots=True)
class Variable:
    """A value and where it was set, for faults: `` (FILE line N)`` or nothing."""

    value: str
    origin: str = ""


def gather(environ: Mapping[str, str], prefix: str, *, read: Read, faults: list[str]) -> dict[str, Variable]:
    """Every set variable of the prefix; the environment over the settings file. Empty ones are left out."""
    found: dict[str, Variable] = {}
    settings_file = environ.get(f"{prefix}SETTINGS_FILE", "")
    if settings_file:
        found.update(_from_settings_file(settings_file, prefix, read=read, faults=faults))
    for name, value in environ.items():
        if name.startswith(prefix):
            if value:
                found[name] = Variable(value)
            else:
                found.pop(name, None)
    found.pop(f"{prefix}SETTINGS_FILE", None)
    return found


def secret_from_file(name: str, variable: Variable, *, read: Read, faults: list[str]) -> str | None:
    """The content of the file that ``name`` points to, without its trailing line ends; None after a fault."""
    content = _content(name, variable.value, variable.origin, read=read, faults=faults)
    if content is None:
        return None
    content = content.rstrip("\r\n")
    if not content:
        faults.append(f"{name}: the file {variable.value!r} is empty{variable.origin}")
        return None
    return content


def _content(name: str, file: str, origin: str, *, read: Read, faults: list[str]) -> str | None:
    try:
        content = read(Path(file))
    except UnicodeDecodeError:
        faults.append(f"{name}: the file {file!r} is not UTF-8{origin}")
        return None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not a path"
        faults.append(f"{name}: the file {file!r} cannot be read: {reason}{origin}")
        return None
    if len(content) > MAX_FILE_CHARACTERS:
        faults.append(f"{name}: the file {file!r} is longer than {MAX_FILE_CHARACTERS} characters{origin}")
        return None
    return content


def _from_settings_file(file: str, prefix: str, *, read: Read, faults: list[str]) -> dict[str, Variable]:
    found: dict[str, Variable] = {}
    content = _content(f"{prefix}SETTINGS_FILE", file, "", read=read, faults=faults) or ""
    seen: dict[str, int] = {}
    for number, raw in enumerate(content.split("\n"), start=1):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        origin = f" ({file} line {number})"
        name, equals, value = (part.strip() for part in line.partition("="))
        # The line itself is not quoted: it may be a secret that lost its name.
        if not equals:
            faults.append(f"a line without '='{origin}")
        elif not _NAME.fullmatch(name):
            faults.append(f"a line that does not begin with NAME={origin}")
        elif not name.startswith(prefix) or name == f"{prefix}SETTINGS_FILE":
            faults.append(f"{name}: does not belong into a settings file of {prefix}*{origin}")
        elif name in seen:
            faults.append(f"{name}: set twice, first on line {seen[name]}{origin}")
        else:
            seen[name] = number
            if value:
                found[name] = Variable(value, origin)
    return found
