"""Several issuers from a TOML file, with every fault of it at once.

[[issuer]]
issuer = "https://auth.example.com"
trust_directory = "/var/lib/farseal/auth"

[[issuer]]
issuer = "https://login.example.org/tenant"
audience = "api://notes"
trust_url = "https://login.example.org/tenant/keys"
status = "require"
[issuer.claims]
scope = "scp"
"""

import difflib
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from farseal.environment import SettingsError
from farseal.environment.variables import MAX_FILE_CHARACTERS, read_text
from farseal.identifiers import quotable
from farseal.settings.issuer import IssuerSettings
from farseal.sources.address import AddressPolicy
from farseal.status_list import StatusPolicy

_TYPES: Final[Mapping[str, tuple[type, str]]] = {
    "issuer": (str, "a text"),
    "audience": (str, "a text"),
    "trust_directory": (str, "a text"),
    "trust_url": (str, "a text"),
    "discovery": (bool, "true or false"),
    "claims": (dict, "a table"),
    "status": (str, f"one of {', '.join(StatusPolicy)}"),
}


def read_issuers(file: Path, addresses: AddressPolicy) -> tuple[tuple[IssuerSettings, ...], tuple[str, ...]]:
    """The issuers that a file names, and every fault of it as ``FILE: message``.

    Args:
        file: TOML, UTF-8, of at most `MAX_FILE_CHARACTERS`.
        addresses: where keys may be fetched from.
    """
    faults: list[str] = []
    issuers: list[IssuerSettings] = []
    for number, table in enumerate(_tables(file, faults), start=1):
        found = _issuer(table)
        if isinstance(found, IssuerSettings):
            fault = found.address_fault(addresses)
            told: tuple[str, ...] = () if fault is None else (fault,)
            issuers.append(found)
        else:
            told = found
        faults += [f"issuer {number}: {one}" for one in told]
    faults += repeated(issuers)
    return tuple(issuers), tuple(f"{quotable(str(file))}: {fault}" for fault in faults)


def repeated(issuers: list[IssuerSettings]) -> Iterator[str]:
    """A fault for each issuer that is there twice: nobody could say which is meant."""
    names = [one.issuer for one in issuers]
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield f"{name}: must be there once"


def _tables(file: Path, faults: list[str]) -> list[object]:
    try:
        content = read_text(file)
        if len(content) > MAX_FILE_CHARACTERS:
            faults.append(f"it is longer than {MAX_FILE_CHARACTERS} characters")
            return []
        document = tomllib.loads(content)
    except UnicodeDecodeError:
        faults.append("it is not UTF-8")
    except tomllib.TOMLDecodeError as error:
        faults.append(f"it is not TOML: {quotable(str(error))}")
    except RecursionError:
        faults.append("it is not TOML that anybody would write")
    except (OSError, ValueError) as error:
        faults.append(f"it cannot be read: {getattr(error, 'strerror', None) or 'not a path'}")
    else:
        faults += [f"{_quoted(name)}: no such member; issuers are [[issuer]]" for name in document if name != "issuer"]
        tables = document.get("issuer")
        if isinstance(tables, list) and tables:
            return tables
        faults.append("it has no [[issuer]]")
    return []


def _issuer(table: object) -> IssuerSettings | tuple[str, ...]:
    """One issuer, or what is wrong with it."""
    if not isinstance(table, dict):
        return ("it is not a table",)
    faults = [_unknown(name) for name in table if name not in _TYPES]
    values: dict[str, Any] = {}
    for name, (wanted, words) in _TYPES.items():
        if name in table:
            if type(table[name]) is wanted:
                values[name] = table[name]
            else:
                faults.append(f"{name}: must be {words}")
    if "issuer" not in table:
        faults.append("issuer: is not set")
    if not {"trust_directory", "trust_url"} & table.keys() and table.get("discovery", False) is False:
        faults.append("one of trust_directory, trust_url and discovery must be set")
    if "trust_directory" in values:
        if not values["trust_directory"]:
            # It would be the directory in which the service happens to be started.
            faults.append("trust_directory: must not be empty")
        values["trust_directory"] = Path(values["trust_directory"])
    if "status" in values:
        try:
            values["status"] = StatusPolicy(values["status"])
        except ValueError:
            faults.append(f"status: must be {_TYPES['status'][1]}")
            del values["status"]
    try:
        # With another name in place of a missing or mistyped one, so that the rest of its faults are told as well.
        made = IssuerSettings(**({"issuer": "https://issuer.invalid"} | values))
    except SettingsError as error:
        return (*faults, *error.faults)
    return tuple(faults) or made


def _unknown(name: str) -> str:
    near = difflib.get_close_matches(name, _TYPES, n=1)
    return f"{_quoted(name)}: no such member" + (f"; did you mean {near[0]}?" if near else "")


def _quoted(name: str) -> str:
    return quotable(name)[:60]
