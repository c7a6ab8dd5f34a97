"""Settings classes: what a field declares, how a class is filled, how it is documented."""

import dataclasses
import difflib
import inspect
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, Final, TypeVar, overload

from farseal.environment.parsers import Parser, text
from farseal.environment.secret import Secret
from farseal.environment.variables import Read, Variable, gather, read_text, secret_from_file
from farseal.errors import FarsealError

T = TypeVar("T")
A = TypeVar("A")
B = TypeVar("B")

R = TypeVar("R", bound=Callable[[Any], Iterable[str]])

_METADATA: Final = "farseal.setting"
_RULE: Final = "__farseal_rule__"
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")


class _Required:
    """Marks a setting without default."""


_REQUIRED: Final = _Required()


class SettingsError(FarsealError):
    """The service must not start with these settings. ``faults`` are sentences that name a variable each."""

    def __init__(self, faults: Iterable[str]) -> None:
        self.faults = tuple(faults)
        count = len(self.faults)
        title = "1 fault in the settings:" if count == 1 else f"{count} faults in the settings:"
        super().__init__("\n  ".join((title, *self.faults)))


@dataclass(frozen=True, slots=True)
class SettingDoc:
    """One variable as documentation shows it. ``default`` is None when required and empty when unset is fine."""

    name: str
    unit: str
    default: str | None
    help: str
    secret: bool


@dataclass(frozen=True, slots=True)
class _Declared:
    help: str
    unit: str
    parse: Parser[Any]
    secret: bool


def setting(
    help: str,  # noqa: A002 - the word that argparse and click use
    *,
    unit: str = "text",
    default: Any = _REQUIRED,
    parse: Parser[Any] = text,
    secret: bool = False,
) -> Any:
    """A field of a settings class.

    Args:
        help: one sentence for the operator.
        unit: what the text is: seconds, bytes, TCP port, path.
        default: the value when the variable is unset; without it the variable is required.
        parse: text to value; a `ValueError` says what the value must be.
        secret: the field holds a `Secret`, and may come from the file that ``NAME_FILE`` names.
    """
    metadata = {_METADATA: _Declared(help, unit, parse, secret)}
    if default is _REQUIRED:
        return dataclasses.field(metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def load(
    cls: type[T],
    environ: Mapping[str, str],
    prefix: str,
    *,
    also: Collection[str] = (),
    read: Read = read_text,
) -> T:
    """The settings that ``environ`` describes.

    Its `rule` methods are held as well, each as soon as the fields that it names could be read.

    Args:
        cls: a dataclass whose fields are made by `setting`.
        environ: names and values, such as ``os.environ``.
        prefix: what every variable of this class begins with, with its underscore.
        also: names of the same prefix that belong to somebody else and are left alone.
        read: gives the text of a file.

    Raises:
        SettingsError: with every fault found, not only the first: a variable missing, malformed, out of range, unknown,
            given twice, or its file unreadable or empty.
    """
    faults: list[str] = []
    found = gather(environ, prefix, read=read, faults=faults)
    # Those that are given in code alone are among them: a rule may ask for one.
    values: dict[str, Any] = {
        field.name: field.default
        for field in dataclasses.fields(cls)  # type: ignore[arg-type]  # a dataclass, by contract
        if field.init and field.default is not dataclasses.MISSING
    }
    known: list[str] = []
    for field, declared in _fields(cls):
        name = prefix + field.name.upper()
        known.append(name)
        variable = found.pop(name, None)
        if declared.secret:
            known.append(f"{name}_FILE")
            variable = _secret(name, variable, found.pop(f"{name}_FILE", None), read=read, faults=faults)
            if variable is _FAULTY:
                values.pop(field.name, None)
                continue
        if variable is None:
            if field.default is dataclasses.MISSING:
                faults.append(_missing(name, declared))
        else:
            try:
                values[field.name] = _parsed(variable.value, declared)
            except ValueError as error:
                values.pop(field.name, None)
                quoted = "" if declared.secret else f", not {_shortened(variable.value)}"
                faults.append(f"{name}: {error}{quoted}{variable.origin}")
    for name, variable in found.items():
        if name not in also:
            faults.append(_unknown(name, known, prefix) + variable.origin)
    faults.extend(broken_rules(cls, values, prefix))
    if faults:
        raise SettingsError(faults)
    return cls(**values)


def rule(*fields: str) -> Callable[[R], R]:
    """Mark a method of a settings class as a rule over the named fields; it gives faults such as ``PORT: must be ...``.

    A fault begins with the name of its variable without the prefix. The rule is held even when other fields are missing
    or malformed, so that one start tells all there is to mend; it may read the fields that it names and nothing else.
    """

    def mark(method: R) -> R:
        setattr(method, _RULE, fields)
        return method

    return mark


def broken_rules(cls: type[Any], values: Mapping[str, Any], prefix: str) -> Iterator[str]:
    """The faults of every `rule` of a class whose fields are all among ``values``, in the order of their names."""
    standing = SimpleNamespace(**values)
    for _, method in inspect.getmembers(cls, inspect.isfunction):
        fields: tuple[str, ...] | None = getattr(method, _RULE, None)
        if fields is not None and all(field in values for field in fields):
            yield from (prefix + fault for fault in method(standing))


@overload
def together(first: Callable[[], A], second: Callable[[], B], /) -> tuple[A, B]: ...
@overload
def together(first: Callable[[], A], second: Callable[[], B], third: Callable[[], T], /) -> tuple[A, B, T]: ...
def together(*loads: Callable[[], Any]) -> tuple[Any, ...]:
    """Several settings classes of one service, with the faults of all of them at once.

    Raises:
        SettingsError: with the faults of every load that failed.
    """
    loaded: list[Any] = []
    faults: list[str] = []
    for one in loads:
        try:
            loaded.append(one())
        except SettingsError as error:
            faults.extend(error.faults)
    if faults:
        raise SettingsError(faults)
    return tuple(loaded)


def describe(cls: type[Any], prefix: str) -> tuple[SettingDoc, ...]:
    """Every variable of a settings class, in the order of its fields, and the settings file at the end."""
    docs = [
        SettingDoc(prefix + field.name.upper(), declared.unit, _shown(field.default), declared.help, declared.secret)
        for field, declared in _fields(cls)
    ]
    docs.append(SettingDoc(f"{prefix}SETTINGS_FILE", "path", "", "File of NAME=VALUE lines to read first", False))
    return tuple(docs)


_FAULTY: Final = Variable("")
"""The variable was there and could not be used; its fault is told already."""


def _secret(
    name: str, direct: Variable | None, file: Variable | None, *, read: Read, faults: list[str]
) -> Variable | None:
    if file is None:
        return direct
    if direct is not None:
        faults.append(f"{name}: give {name} or {name}_FILE, not both")
        return _FAULTY
    content = secret_from_file(f"{name}_FILE", file, read=read, faults=faults)
    return _FAULTY if content is None else Variable(content, f" (in the file that {name}_FILE names)")


def _parsed(value: str, declared: _Declared) -> Any:
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueError("must be UTF-8") from None
    if _CONTROL.search(value):
        raise ValueError("must be one line without control characters")
    parsed = declared.parse(value)
    return Secret(parsed) if declared.secret and isinstance(parsed, str) else parsed


def _fields(cls: type[Any]) -> list[tuple[dataclasses.Field[Any], _Declared]]:
    return [(field, field.metadata[_METADATA]) for field in dataclasses.fields(cls) if _METADATA in field.metadata]


def _missing(name: str, declared: _Declared) -> str:
    either = f" (or {name}_FILE)" if declared.secret else ""
    return f"{name}{either}: is not set: {declared.help} [{declared.unit}]"


def _unknown(name: str, known: Collection[str], prefix: str) -> str:
    # Without what all of them share, or everything would look alike.
    near = difflib.get_close_matches(name.removeprefix(prefix), [one.removeprefix(prefix) for one in known], n=1)
    return f"{name}: no such setting" + (f"; did you mean {prefix}{near[0]}?" if near else "")


def _shortened(value: str) -> str:
    return ascii(value if len(value) <= 60 else value[:57] + "...")


def _shown(default: Any) -> str | None:
    if default is dataclasses.MISSING:
        return None
    match default:
        case None:
            return ""
        case bool():
            return "true" if default else "false"
        case tuple():
            return ",".join(str(item) for item in default)
        case _:
            return str(default)
