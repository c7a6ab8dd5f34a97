"""YAML nodes, read strictly: every fault with its line, nothing guessed.

The nodes are read, not the values that YAML would make of them: so every fault has a line, a repeated key is seen,
and a bare `no` or `2026-01-01` is not silently something else than text. Anchors, aliases, merge keys and tags are
refused: a manifest needs none of them, and an alias is how a small file becomes a large one.
"""

import math
import re
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

import yaml

from auth_server.accounts.manifest import Fault, Path
from auth_server.accounts.names import NameRefusedError

MAX_CHARACTERS: Final = 1024 * 1024
MAX_DEPTH: Final = 20
MAX_SAFE_INTEGER: Final = 2**53 - 1
"""The largest that every JSON reader keeps exact (RFC 8259 section 6)."""

_INTEGER: Final = re.compile(r"-?(0|[1-9][0-9]{0,15})")
Pairs: TypeAlias = dict[str, tuple[yaml.Node, yaml.Node]]
"""Name to the node of the name and the node of the value."""

_TAG: Final = "tag:yaml.org,2002:"
_WORDS: Final = {
    "str": "text", "int": "a number", "float": "a number", "bool": "a boolean", "null": "nothing",
    "seq": "a list", "map": "fields with values", "timestamp": "a date", "merge": "a merge key",
}  # fmt: skip


def compose(text: str) -> yaml.Node | tuple[Fault, ...]:
    """The root node of one document, or what is wrong with the text as YAML."""
    if len(text) > MAX_CHARACTERS:
        return (Fault(1, f"the file is longer than {MAX_CHARACTERS} characters"),)
    try:
        faults = _shape_faults(text)
        if faults:
            return faults
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        return (Fault(line, f"the character U+{ord(text[error.position]):04X} is not allowed in YAML"),)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        return (Fault(1 if mark is None else mark.line + 1, f"not YAML: {error.problem or error.context}"),)
    return (Fault(1, "the file is empty"),) if root is None else root


def _shape_faults(text: str) -> tuple[Fault, ...]:
    """What is refused whatever it says, found on the stream of events, where an alias is not yet followed."""
    faults: list[Fault] = []
    depth = documents = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        line = 1 if event.start_mark is None else event.start_mark.line + 1
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) is not None:
            faults.append(Fault(line, "anchors and aliases are not allowed here"))
        elif getattr(event, "tag", None) is not None:
            faults.append(Fault(line, "tags are not allowed here"))
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > MAX_DEPTH:
                return (*faults, Fault(line, f"nested deeper than {MAX_DEPTH} levels"))
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        elif isinstance(event, yaml.DocumentStartEvent):
            documents += 1
            if documents == 2:
                faults.append(Fault(line, "a second document is not allowed here"))
    return tuple(faults)


class NodeReader:
    """Nodes to values, gathering faults and lines on the way. None stands for what had a fault."""

    def __init__(self) -> None:
        self.faults: list[Fault] = []
        self.lines: dict[Path, int] = {}

    def json(self, node: yaml.Node) -> Any:
        """Any JSON value: an attribute of a user."""
        if isinstance(node, yaml.MappingNode):
            return {name: self.json(value) for name, (_, value) in self.mapping(node, "a mapping").items()}
        if isinstance(node, yaml.SequenceNode):
            return [self.json(value) for value in node.value]
        match type_of(node):
            case "str":
                return self.text(node, _any_text)
            case "bool":
                return self.boolean(node)
            case "null":
                return None
            case "int":
                return self.integer(node)
            case "float" if _is_finite(node.value):
                return float(node.value)
            case other:
                self.fault(node, f"{_an(other)} is no JSON value; quote it if text is meant")
                return None

    def integer(self, node: yaml.Node) -> int | None:
        """A decimal integer; hexadecimal, octal and base 60 are refused."""
        if type_of(node) != "int" or not _INTEGER.fullmatch(node.value):
            self.fault(node, "expected an integer in plain decimal; quote it if text is meant")
            return None
        value = int(node.value)
        if abs(value) > MAX_SAFE_INTEGER:
            self.fault(node, "an integer beyond 2^53 is not exact in JSON; quote it if text is meant")
        return value

    def boolean(self, node: yaml.Node) -> bool | None:
        """true or false; YAML 1.1's yes, no, on and off are refused."""
        if type_of(node) != "bool" or node.value.lower() not in {"true", "false"}:
            self.fault(node, "expected true or false")
            return None
        return bool(node.value.lower() == "true")

    def text(self, node: yaml.Node, rule: Callable[[str], str]) -> str | None:
        """Text that keeps a rule of `names`."""
        if type_of(node) != "str":
            hint = "; quote it if text is meant" if isinstance(node, yaml.ScalarNode) else ""
            self.fault(node, f"expected text, found {_an(type_of(node))}{hint}")
            return None
        return self.checked(node, node.value, rule)

    def checked(self, node: yaml.Node, text: str, rule: Callable[[str], str]) -> str | None:
        """The text in the one spelling that its rule gives it."""
        try:
            return rule(text)
        except NameRefusedError as error:
            self.fault(node, str(error))
            return None

    def texts(self, node: yaml.Node, at: Path, rule: Callable[[str], str]) -> tuple[str, ...]:
        """A set: texts of one rule, none twice, sorted; the line of each is kept below ``at``."""
        found: dict[str, None] = {}
        for entry in self.sequence(node, at[-1]):
            text = self.text(entry, rule)
            if text in found:
                self.fault(entry, f"{text} is there twice")
            elif text is not None:
                found[text] = None
                self.lines.setdefault((*at, text), line_of(entry))
        return tuple(sorted(found))

    def sequence(self, node: yaml.Node, what: str) -> list[yaml.Node]:
        """The entries of a list."""
        if not isinstance(node, yaml.SequenceNode):
            self.fault(node, f"{what}: expected a list, found {_an(type_of(node))}")
            return []
        return list(node.value)

    def mapping(self, node: yaml.Node, what: str, allowed: Mapping[str, str] | None = None) -> Pairs:
        """The pairs of a mapping, those without a fault.

        Args:
            allowed: the names it may have, each with "", and names that deserve a word of their own when they are
                refused, with that word; None takes any text as a name.
        """
        found: Pairs = {}
        if not isinstance(node, yaml.MappingNode):
            self.fault(node, f"{what}: expected fields with values, found {_an(type_of(node))}")
            return found
        for key_node, value_node in node.value:
            name = key_node.value
            if type_of(key_node) != "str":
                self.fault(key_node, f"expected text before the colon, found {_an(type_of(key_node))}")
            elif name in found:
                self.fault(key_node, f"{name!a} is there twice, first on line {line_of(found[name][0])}")
            elif allowed is not None and allowed.get(name) != "":
                known = ", ".join(word for word, refusal in allowed.items() if not refusal)
                self.fault(key_node, f"unknown field {name!a}: {allowed.get(name) or f'{what} has {known}'}")
            else:
                found[name] = (key_node, value_node)
        return found

    def fault(self, node: yaml.Node, message: str) -> None:
        """Remember what is wrong at a node."""
        self.faults.append(Fault(line_of(node), message))


def line_of(node: yaml.Node) -> int:
    """The line that a node begins on, from 1."""
    return int(node.start_mark.line) + 1


def type_of(node: yaml.Node) -> str:
    """The last part of the tag that YAML resolves to: str, int, float, bool, null, timestamp, seq, map, merge..."""
    return str(node.tag).removeprefix(_TAG)


def _an(kind: str) -> str:
    return _WORDS.get(kind, f"a value of type {kind}")


def _is_finite(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _any_text(text: str) -> str:
    if "\0" in text or any("\ud800" <= c <= "\udfff" for c in text):
        raise NameRefusedError("text has no NUL character and no lone surrogate")
    return text
