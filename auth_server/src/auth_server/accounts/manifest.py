"""What an operator's file asks for, next to what is there: a plan. Pure.

A field that the file does not mention is left alone; one that it does mention is made exactly so. An object that the
file does not mention is left alone too, unless the plan is made with ``prune``, and then only in the sections that the
file has.
"""

from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

from auth_server.accounts.names import DISPLAY_NAME_CHARACTERS
from auth_server.terms import LOGIN_CLIENT

Kind: TypeAlias = Literal["resource", "client", "user"]
Action: TypeAlias = Literal["create", "update", "unchanged", "delete"]
Path: TypeAlias = tuple[str, ...]
"""Kind, key, field and what is inside it: where in the file something was said."""

KINDS: Final[tuple[Kind, ...]] = ("resource", "client", "user")
"""In the order in which they are made: permissions need their resources."""

_DEFAULTS: Final[Mapping[Kind, Mapping[str, Any]]] = {
    "resource": {"scopes": (), "claims": {}, "introspection_client": None},
    "client": {
        "grant_types": (),
        "access_token_seconds": None,
        "refresh": "rotate",
        "session_idle_seconds": None,
        "session_absolute_seconds": None,
        "refresh_grace_seconds": None,
        "permissions": {},
        "default_resources": (),
        "disabled": False,
    },
    "user": {"attributes": {}, "roles": (), "permissions": {}, "disabled": False},
}


@dataclass(frozen=True, slots=True)
class Item:
    """One object of the file. ``fields`` holds those that were mentioned, sets as sorted tuples."""

    kind: Kind
    key: str
    fields: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Fault:
    """Why the file cannot be applied, and on which line."""

    line: int
    message: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a file says, and what is wrong with it in itself. Of a file with faults no plan is made.

    Args:
        sections: the kinds that the file has a section for, an empty one included.
        secret_files: client id to the path that its new secret is written to.
        lines: where each thing was said, from 1.
        faults: in the order of their lines.
        doubtful: kind and key of the items that have a fault, of which not everything may have been read.
        resources_known: no resource of the file is missing from ``items``.
        clients_known: nor a client.
    """

    items: tuple[Item, ...]
    sections: frozenset[Kind]
    secret_files: Mapping[str, str]
    lines: Mapping[Path, int]
    faults: tuple[Fault, ...] = ()
    doubtful: frozenset[tuple[Kind, str]] = frozenset()
    resources_known: bool = True
    clients_known: bool = True

    def line(self, path: Path) -> int:
        """The line of ``path``, or of the nearest thing around it."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)


@dataclass(frozen=True, slots=True)
class State:
    """What is there: all fields of every object, and which clients have a secret."""

    objects: Mapping[tuple[Kind, str], Mapping[str, Any]]
    clients_with_secret: frozenset[str]


@dataclass(frozen=True, slots=True)
class FieldChange:
    """One field. ``before`` is None for an object that is new."""

    field: str
    before: Any
    after: Any


@dataclass(frozen=True, slots=True)
class Change:
    """What happens to one object. ``after`` holds all its fields as they will be."""

    kind: Kind
    key: str
    action: Action
    fields: tuple[FieldChange, ...]
    after: Mapping[str, Any]
    needs_secret: bool = False

    @property
    def touched(self) -> frozenset[str]:
        """The names of the fields that change."""
        return frozenset(field.field for field in self.fields)

    @property
    def ends_sessions(self) -> bool:
        """A person or a client that goes, or is disabled, is logged out."""
        goes = self.action == "delete" or ("disabled" in self.touched and self.after["disabled"])
        return bool(goes) and self.action != "create" and self.kind != "resource"


@dataclass(frozen=True, slots=True)
class Plan:
    """What applying the file would do. ``left_alone`` are objects of its sections that the file does not mention."""

    changes: tuple[Change, ...]
    left_alone: tuple[tuple[Kind, str], ...]

    @property
    def is_empty(self) -> bool:
        """Nothing would change."""
        return all(change.action == "unchanged" for change in self.changes)

    def counts(self) -> dict[Action, int]:
        """How many objects see which action."""
        actions: tuple[Action, ...] = ("create", "update", "unchanged", "delete")
        return {action: sum(change.action == action for change in self.changes) for action in actions}


def plan(manifest: Manifest, state: State, *, prune: bool = False) -> Plan | tuple[Fault, ...]:
    """Compare the file with what is there.

    Faults are those of the file and its references to what is not there, together, in the order of their lines.
    """
    absent = tuple(
        (kind, key)
        for kind, key in state.objects
        if kind in manifest.sections
        and (kind, key) not in {(item.kind, item.key) for item in manifest.items}
        and (kind, key) != ("client", LOGIN_CLIENT)
    )
    changes = [_change(item, state) for item in manifest.items]
    deleted = absent if prune else ()
    faults = [*manifest.faults, *_reference_faults(manifest, state, changes, frozenset(deleted))]
    if faults:
        return tuple(sorted(faults, key=lambda fault: fault.line))
    changes.sort(key=lambda change: KINDS.index(change.kind))
    changes += [
        Change(kind, key, "delete", (), state.objects[kind, key])
        for kind, key in sorted(deleted, key=lambda one: KINDS.index(one[0]), reverse=True)
    ]
    return Plan(tuple(changes), () if prune else absent)


def _change(item: Item, state: State) -> Change:
    before = state.objects.get((item.kind, item.key))
    if before is None:
        named = {} if item.kind == "user" else {"name": item.key[:DISPLAY_NAME_CHARACTERS]}
        after = {**named, **_DEFAULTS[item.kind], **item.fields}
        fields = tuple(FieldChange(name, None, value) for name, value in after.items() if name in item.fields)
        return Change(item.kind, item.key, "create", fields, after, _needs_secret(item, after, state))
    after = {**before, **item.fields}
    fields = tuple(
        FieldChange(name, before[name], value) for name, value in item.fields.items() if not _same(before[name], value)
    )
    needs_secret = _needs_secret(item, after, state)
    return Change(item.kind, item.key, "update" if fields else "unchanged", fields, after, needs_secret)


def _same(one: Any, other: Any) -> bool:
    """Equal as JSON: unlike in Python, true is not 1."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(_same(one[name], other[name]) for name in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_same, one, other))
    return bool(one == other)


def _needs_secret(item: Item, after: Mapping[str, Any], state: State) -> bool:
    return (
        item.kind == "client"
        and "client_credentials" in after["grant_types"]
        and item.key not in state.clients_with_secret
    )


def _reference_faults(
    manifest: Manifest, state: State, changes: list[Change], deleted: frozenset[tuple[Kind, str]]
) -> list[Fault]:
    """References of the changed objects to what will not be there.

    What a faulty entry may have meant to say is not held against the others: mending it must not make a fault go.
    """
    there = {at: fields for at, fields in state.objects.items() if at not in deleted}
    there |= {(change.kind, change.key): change.after for change in changes}
    scopes = {key: fields["scopes"] for (kind, key), fields in there.items() if kind == "resource"}
    clients = {key for kind, key in there if kind == "client"}
    secrets = state.clients_with_secret | {change.key for change in changes if change.needs_secret}
    return [
        Fault(manifest.line((change.kind, change.key, *within)), message)
        for change in changes
        for within, message in (
            *_client_faults(manifest, change),
            *_permission_faults(manifest, change, scopes),
            *_introspection_faults(manifest, change, clients, secrets),
        )
    ]


def _client_faults(manifest: Manifest, change: Change) -> Iterator[tuple[Path, str]]:
    at, touched = (change.kind, change.key), change.touched
    if at == ("client", LOGIN_CLIENT) and change.needs_secret:
        yield ("grant_types",), f"the client {LOGIN_CLIENT} cannot have client_credentials"
    if at in manifest.doubtful:
        return
    if touched & {"session_idle_seconds", "session_absolute_seconds"}:
        idle, absolute = change.after["session_idle_seconds"], change.after["session_absolute_seconds"]
        if idle is not None and absolute is not None and idle > absolute:
            yield ("session_idle_seconds",), "session_idle_seconds is at most session_absolute_seconds"
    if touched & {"default_resources", "permissions"}:
        for audience in change.after.get("default_resources", ()):
            if audience not in change.after["permissions"]:
                message = f"the default resource {audience} is not among the permissions"
                yield ("default_resources", audience), message


def _permission_faults(
    manifest: Manifest, change: Change, scopes: Mapping[str, tuple[str, ...]]
) -> Iterator[tuple[Path, str]]:
    if "permissions" not in change.touched or not manifest.resources_known:
        return
    for audience, wanted in change.after["permissions"].items():
        if audience not in scopes:
            yield ("permissions", audience), f"there is no resource {audience}"
        elif ("resource", audience) not in manifest.doubtful:
            for scope in wanted:
                if scope not in scopes[audience]:
                    yield ("permissions", audience, scope), f"the resource {audience} has no scope {scope}"


def _introspection_faults(
    manifest: Manifest, change: Change, clients: AbstractSet[str], secrets: AbstractSet[str]
) -> Iterator[tuple[Path, str]]:
    """Only a client with a secret is ever answered (RFC 7662 section 2.1)."""
    client = change.after.get("introspection_client")
    if "introspection_client" not in change.touched or client is None or not manifest.clients_known:
        return
    if client not in clients:
        yield ("introspection_client",), f"there is no client {client}"
    elif client not in secrets and ("client", client) not in manifest.doubtful:
        yield ("introspection_client",), f"the client {client} has no secret, and needs one to introspect"
