"""The operator's file: YAML text to a `Manifest` with every fault that it has."""

import json
from collections.abc import Callable, Mapping
from typing import Any, Final, get_args

import yaml

from auth_server.accounts import names
from auth_server.accounts.manifest import KINDS, Item, Kind, Manifest, Path
from auth_server.accounts.names import NameRefusedError
from auth_server.accounts.yaml_nodes import NodeReader, compose, line_of, type_of
from auth_server.grants.refresh_rules import RefreshPolicy
from auth_server.terms import (
    ACCESS_TOKEN_SECONDS,
    GRANT_TYPES,
    REFRESH_GRACE_SECONDS,
    SESSION_SECONDS,
)

MAX_ATTRIBUTES_BYTES: Final = 4096
"""As the table `users` has it."""

_SECTIONS: Final[Mapping[str, Kind]] = {f"{kind}s": kind for kind in KINDS}
_KEYS: Final[Mapping[Kind, tuple[str, Callable[[str], str]]]] = {
    "resource": ("audience", names.audience),
    "client": ("id", names.client_id),
    "user": ("username", names.username),
}
_SECRETS: Final = {
    "password": "a password is never in the file; use: farseal-auth user set-password",
    "password_hash": "a password is never in the file; use: farseal-auth user set-password",
    "secret": "a secret is never in the file; it is made for a new client, or by: farseal-auth client rotate-secret",
}


def parse(text: str) -> Manifest:
    """Read a manifest. What has a fault is left out or None, the rest is read as if nothing were wrong."""
    root = compose(text)
    if isinstance(root, tuple):
        return Manifest((), frozenset(), {}, {}, root, resources_known=False, clients_known=False)
    return _Reader().manifest(root)


class _Reader(NodeReader):
    """The fields of each kind of object."""

    def __init__(self) -> None:
        super().__init__()
        self.secret_files: dict[str, str] = {}
        self._doubtful: set[tuple[Kind, str]] = set()
        self._cut_short: set[Kind] = set()

    def manifest(self, root: yaml.Node) -> Manifest:
        """The whole file."""
        items: list[Item] = []
        found = self.mapping(root, "the file", dict.fromkeys(_SECTIONS, ""))
        if self.faults:  # a section whose name is misspelt, or that is there twice
            self._cut_short.update(kind for name, kind in _SECTIONS.items() if _count(root, name) != 1)
        for name, (_, node) in found.items():
            items += self._section(_SECTIONS[name], node)
        return Manifest(
            tuple(items),
            frozenset(_SECTIONS[name] for name in found),
            self.secret_files,
            self.lines,
            tuple(sorted(self.faults, key=lambda fault: fault.line)),
            frozenset(self._doubtful),
            resources_known="resource" not in self._cut_short,
            clients_known="client" not in self._cut_short,
        )

    def _section(self, kind: Kind, node: yaml.Node) -> list[Item]:
        items: list[Item] = []
        if not isinstance(node, yaml.SequenceNode):
            self._cut_short.add(kind)
        for entry in self.sequence(node, f"{kind}s"):
            faults = len(self.faults)
            item = self._item(kind, entry)
            if item is None:
                self._cut_short.add(kind)
                continue
            at = (kind, item.key)
            if at in self.lines:
                self.fault(entry, f"the {kind} {item.key} is already on line {self.lines[at]}")
            else:
                self.lines[at] = line_of(entry)
                items.append(item)
            if len(self.faults) > faults:
                self._doubtful.add(at)
        return items

    def _item(self, kind: Kind, node: yaml.Node) -> Item | None:
        key_field, key_rule = _KEYS[kind]
        readers = self._readers(kind)
        found = self.mapping(node, f"a {kind}", _SECRETS | dict.fromkeys((key_field, *readers), ""))
        if key_field not in found:
            if isinstance(node, yaml.MappingNode):
                self.fault(node, f"a {kind} needs {key_field}")
            key = None
        else:
            key = self.text(found.pop(key_field)[1], key_rule)
        fields: dict[str, Any] = {}
        for name, (key_node, value_node) in found.items():
            at = (kind, key or "", name)
            self.lines.setdefault(at, line_of(key_node))
            value = readers[name](value_node, at)
            if name == "secret_file":
                if value is not None and key is not None:
                    self.secret_files[key] = value
            else:
                fields[name] = value
        return None if key is None else Item(kind, key, fields)

    def _readers(self, kind: Kind) -> Mapping[str, Callable[[yaml.Node, Path], Any]]:
        name: Callable[[yaml.Node, Path], Any] = lambda node, _: self.text(node, names.display_name)  # noqa: E731
        permissions: dict[str, Callable[[yaml.Node, Path], Any]] = {
            "permissions": self._permissions,
            "disabled": lambda node, _: self.boolean(node),
        }
        match kind:
            case "resource":
                return {
                    "name": name,
                    "scopes": lambda node, at: self.texts(node, at, names.scope),
                    "claims": self._claims,
                    "introspection_client": lambda node, _: self._client_or_null(node),
                }
            case "client":
                return permissions | {
                    "name": name,
                    "grant_types": lambda node, at: self.texts(node, at, _grant_type),
                    "access_token_seconds": self._seconds(ACCESS_TOKEN_SECONDS),
                    "refresh": lambda node, _: self.text(node, _refresh_policy),
                    "session_idle_seconds": self._seconds(SESSION_SECONDS),
                    "session_absolute_seconds": self._seconds(SESSION_SECONDS),
                    "refresh_grace_seconds": self._seconds(REFRESH_GRACE_SECONDS),
                    "default_resources": lambda node, at: self.texts(node, at, names.audience),
                    "secret_file": lambda node, _: self.text(node, _file_path),
                }
            case "user":
                return permissions | {
                    "roles": lambda node, at: self.texts(node, at, names.role),
                    "attributes": lambda node, _: self._attributes(node),
                }

    def _permissions(self, node: yaml.Node, at: Path) -> dict[str, tuple[str, ...]]:
        held: dict[str, tuple[str, ...]] = {}
        for audience, (key_node, value_node) in self.mapping(node, at[-1]).items():
            if self.checked(key_node, audience, names.audience) is not None:
                self.lines.setdefault((*at, audience), line_of(key_node))
                held[audience] = self.texts(value_node, (*at, audience), names.scope)
        return dict(sorted(held.items()))

    def _claims(self, node: yaml.Node, at: Path) -> dict[str, str]:
        claims: dict[str, str] = {}
        for claim, (key_node, value_node) in self.mapping(node, at[-1]).items():
            attribute = self.text(value_node, names.attribute)
            if self.checked(key_node, claim, names.claim) is not None and attribute is not None:
                claims[claim] = attribute
        return dict(sorted(claims.items()))

    def _attributes(self, node: yaml.Node) -> dict[str, Any]:
        attributes: dict[str, Any] = {}
        for name, (key_node, value_node) in self.mapping(node, "attributes").items():
            if self.checked(key_node, name, names.attribute) is not None:
                attributes[name] = self.json(value_node)
        if len(json.dumps(attributes, ensure_ascii=False).encode("utf-8", "replace")) > MAX_ATTRIBUTES_BYTES:
            self.fault(node, f"attributes take more than {MAX_ATTRIBUTES_BYTES} bytes; they travel in every token")
        return attributes

    def _client_or_null(self, node: yaml.Node) -> str | None:
        return None if type_of(node) == "null" else self.text(node, names.client_id)

    def _seconds(self, bounds: tuple[int, int]) -> Callable[[yaml.Node, Path], int | None]:
        low, high = bounds

        def read(node: yaml.Node, at: Path) -> int | None:
            if type_of(node) == "null":
                return None
            value = self.integer(node)
            if value is not None and not low <= value <= high:
                self.fault(node, f"{at[-1]} is {low} to {high} seconds, or null for the server's own")
            return value

        return read


def _count(root: yaml.Node, name: str) -> int:
    """How often a mapping has a name."""
    return sum(key.value == name for key, _ in root.value) if isinstance(root, yaml.MappingNode) else 0


def _grant_type(text: str) -> str:
    if text not in GRANT_TYPES:
        raise NameRefusedError(f"a grant type is one of: {', '.join(GRANT_TYPES)}")
    return text


def _refresh_policy(text: str) -> str:
    if text not in get_args(RefreshPolicy):
        raise NameRefusedError(f"refresh is one of: {', '.join(get_args(RefreshPolicy))}")
    return text


def _file_path(text: str) -> str:
    if not text or not text.isprintable():
        raise NameRefusedError("a path is printable text")
    return text
