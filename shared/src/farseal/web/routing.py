"""What an application's router knows, in the words of access rules."""

import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, cast

from aiohttp import web
from multidict import CIMultiDict
from yarl import URL

from farseal.access import ONE, REST, AccessRules, Public
from farseal.web.requirement import requirement_of

_METHODS: Final = ("DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT")


@dataclass(frozen=True, slots=True)
class _Probe:
    """As much of a request as a router asks for."""

    method: str
    rel_url: URL
    headers: CIMultiDict[str]


async def resolve(app: web.Application, method: str, url: URL) -> web.UrlMappingMatchInfo:
    """What the router of an application makes of a request that nobody sent."""
    return await app.router.resolve(cast("web.Request", _Probe(method, url, CIMultiDict())))


def methods_of(route: web.AbstractRoute) -> tuple[str, ...]:
    """The methods that a route answers; of a view those that it defines."""
    if route.method != "*":
        return (route.method,)
    if inspect.isclass(route.handler):
        return tuple(method for method in _METHODS if hasattr(route.handler, method.lower()))
    return _METHODS


def pattern_of(route: web.AbstractRoute) -> tuple[str, ...]:
    """The paths of a route as a pattern of rules; where aiohttp can say more than a pattern, the pattern is wider."""
    resource = route.resource
    if resource is None:
        return (REST,)
    if isinstance(resource, web.StaticResource):
        return (*resource.canonical.split("/")[1:], REST)
    info = resource.get_info()
    plain = info["pattern"].pattern if "pattern" in info else ""
    return tuple(_segments(resource.canonical, plain))


def overridden(app: web.Application, rules: AccessRules) -> Iterator[str]:
    """Handlers that require something although a public rule covers every request to them, as faults.

    The requirement would hold all the same; but whoever wrote the rule believes otherwise.
    """
    for route, method in _answered(app):
        own = requirement_of(route.handler, method)
        rule = rules.first_covering(method, pattern_of(route))
        if own is not None and rule is not None and isinstance(rule.needs, Public):
            yield f"{rule.place} makes {method} {path_of(route)} public, whose handler requires {own}"


def undecided(app: web.Application, rules: AccessRules) -> Iterator[str]:
    """Routes that no rule is about and whose handlers require nothing: nobody may call them. HEAD goes with GET."""
    for route, method in _answered(app):
        if method == "HEAD":
            continue
        if requirement_of(route.handler, method) is None and not rules.may_answer(method, pattern_of(route)):
            yield f"{method} {path_of(route)}"


def scopes_required(app: web.Application) -> frozenset[str]:
    """Every scope that some handler requires."""
    found = (requirement_of(route.handler, method) for route, method in _answered(app))
    return frozenset(scope for own in found if own is not None for scope in own.scopes)


def path_of(route: web.AbstractRoute) -> str:
    """The path as the application wrote it."""
    return route.resource.canonical if route.resource is not None else ""


def _answered(app: web.Application) -> Iterator[tuple[web.AbstractRoute, str]]:
    for route in app.router.routes():
        for method in methods_of(route):
            yield route, method


def _segments(canonical: str, regex: str) -> Iterator[str]:
    for segment in canonical.split("/")[1:]:
        if "{" not in segment:
            yield segment
        elif all(f"(?P<{part.partition('}')[0]}>[^{{}}/]+)" in regex for part in segment.split("{")[1:]):
            yield ONE
        else:
            # A variable with an expression of its own: it may reach over slashes.
            yield REST
            return
