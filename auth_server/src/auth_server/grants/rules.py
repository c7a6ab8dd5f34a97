"""Which scopes and audiences a token gets. Pure: what was asked and what the subject holds, to a decision.

Scopes belong to resources. The *owners* of a scope are those of the token's audiences that define it; a scope is
granted only when the subject may have it at every owner, because the token's one `scope` string is read by all of
them (RFC 9068 section 5: a grant that would be ambiguous is refused).
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

from farseal import identifiers

SCOPE_CHARACTERS: Final = 2048
"""Of the whole `scope` parameter; a token with more would not fit into a header anyway."""


@dataclass(frozen=True, slots=True)
class Holding:
    """What the subject holds at one resource.

    Args:
        audience: the resource's URI.
        defined: all scopes that the resource defines.
        permitted: those of them that the subject may have.
        claims: claim name to the user attribute that this resource is shown.
        is_default: meant when a request names no resource.
        only_when_asked: meant only when a request names it, whatever its scopes are.
    """

    audience: str
    defined: frozenset[str]
    permitted: frozenset[str]
    claims: Mapping[str, str]
    is_default: bool = False
    only_when_asked: bool = False


@dataclass(frozen=True, slots=True)
class Decision:
    """What the token says. ``claims`` maps claim names to attributes; their values are the caller's to find."""

    audience: tuple[str, ...]
    scopes: tuple[str, ...]
    claims: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class GrantRefused:
    """No token. ``error`` is of RFC 6749 section 5.2 or RFC 8707 section 2.

    ``description`` holds only %x20-21 %x23-5B %x5D-7E, whatever was asked.
    """

    error: Literal["invalid_scope", "invalid_target", "unauthorized_client", "invalid_request"]
    description: str


def decide(scope: str | None, resources: Sequence[str], held: Iterable[Holding]) -> Decision | GrantRefused:
    """Decide what is granted.

    Args:
        scope: the `scope` parameter as it came; None when it was not sent.
        resources: the `resource` parameters in their order; empty when none was sent.
        held: one for each resource that the subject may name.
    """
    by_audience = {holding.audience: holding for holding in held}
    asked = None if scope is None else split_scope(scope)
    if isinstance(asked, GrantRefused):
        return asked
    target = _target(asked, resources, by_audience)
    if isinstance(target, GrantRefused):
        return target
    scopes = _everything(target) if asked is None else _narrowed(asked, target)
    if isinstance(scopes, GrantRefused):
        return scopes
    claims = _mapped_claims(target)
    if isinstance(claims, GrantRefused):
        return claims
    return Decision(tuple(holding.audience for holding in target), scopes, claims)


def within(held: Iterable[Holding], audience: Collection[str], scopes: Collection[str]) -> tuple[Holding, ...]:
    """What is left of a session's grant: what it has and its subject still holds. All of it is meant by default."""
    return tuple(
        replace(holding, permitted=holding.permitted & frozenset(scopes), is_default=False)
        for holding in held
        if holding.audience in audience
    )


def split_scope(scope: str) -> tuple[str, ...] | GrantRefused:
    """The scope tokens, each once, in their order (RFC 6749 section 3.3).

    Separated by exactly one space and nothing else: a tab or a no-break space is a fault, not a separator.
    """
    if len(scope) > SCOPE_CHARACTERS:
        return GrantRefused("invalid_scope", f"scope is longer than {SCOPE_CHARACTERS} characters")
    try:
        return tuple(dict.fromkeys(identifiers.split_scope(scope)))
    except ValueError as error:
        return GrantRefused("invalid_scope", f"scope {error}")


def _target(
    asked: tuple[str, ...] | None, resources: Sequence[str], held: Mapping[str, Holding]
) -> list[Holding] | GrantRefused:
    """The audiences, in the order asked, or in the order of their names when none was.

    When only scopes are asked they tell the audience (RFC 9068 section 3): the resources that define one of them.
    """
    if resources:
        try:
            for resource in resources:
                identifiers.resource_identifier(resource)
        except ValueError as error:
            return GrantRefused("invalid_target", f"resource {error}")
        if not all(resource in held for resource in resources):
            return GrantRefused("invalid_target", "a resource is unknown or not permitted")
        return [held[resource] for resource in dict.fromkeys(resources)]
    candidates = sorted(
        (holding for holding in held.values() if not holding.only_when_asked), key=lambda holding: holding.audience
    )
    candidates = [holding for holding in candidates if holding.is_default] or candidates
    if not candidates:
        return GrantRefused("invalid_target", "no resource is permitted")
    if asked is None:
        return candidates
    # No owner at all: any of them will do, the scope is refused for what it is.
    return [holding for holding in candidates if not holding.defined.isdisjoint(asked)] or candidates


def _narrowed(asked: tuple[str, ...], target: Sequence[Holding]) -> tuple[str, ...] | GrantRefused:
    for scope in asked:
        owners = [holding for holding in target if scope in holding.defined]
        if not owners:
            return GrantRefused("invalid_scope", f"scope {scope} means nothing at the audience of this token")
        for owner in owners:
            if scope not in owner.permitted:
                return GrantRefused(
                    "invalid_scope", f"scope {scope} is not permitted at {identifiers.quotable(owner.audience)}"
                )
    return tuple(sorted(asked))


def _everything(target: Sequence[Holding]) -> tuple[str, ...]:
    """Every scope that is permitted at all of its owners; one that is ambiguous is left out, not refused."""
    permitted = frozenset[str]().union(*(holding.permitted & holding.defined for holding in target))
    withheld = frozenset[str]().union(*(holding.defined - holding.permitted for holding in target))
    return tuple(sorted(permitted - withheld))


def _mapped_claims(target: Sequence[Holding]) -> Mapping[str, str] | GrantRefused:
    """One attribute for each claim. Two audiences that read different attributes under one name need two tokens."""
    claims: dict[str, str] = {}
    for holding in target:
        for claim, attribute in holding.claims.items():
            if claims.setdefault(claim, attribute) != attribute:
                return GrantRefused(
                    "invalid_target",
                    f"these resources disagree about the claim {identifiers.quotable(claim)}; ask separately",
                )
    return claims
