"""What a protected application would do, seen without starting it or sending it anything: for `farseal explain`."""

from dataclasses import dataclass

from aiohttp import web
from yarl import URL

from farseal.access import Authenticated
from farseal.web.guard import GUARD
from farseal.web.requirement import requirement_of
from farseal.web.routing import overridden, path_of, resolve


@dataclass(frozen=True, slots=True)
class Route:
    """What a protected application would do with a request that may pass.

    Args:
        path: of the route, as the application wrote it; empty where it has none.
        requirement: of the handler.
        status: 404 or 405 where there is no route.
        allowed: methods that the path has, for a 405.
        metadata: whether it is the service's own metadata, public by itself.
    """

    path: str
    requirement: Authenticated | None
    status: int | None = None
    allowed: frozenset[str] = frozenset()
    metadata: bool = False


async def routed(app: web.Application, method: str, url: URL) -> Route:
    """Where a request would go, without sending it."""
    match = await resolve(app, method, url)
    refusal = match.http_exception
    if refusal is not None:
        allowed = refusal.allowed_methods if isinstance(refusal, web.HTTPMethodNotAllowed) else ()
        return Route("", None, refusal.status, frozenset(allowed))
    return Route(
        path_of(match.route),
        requirement_of(match.handler, method),
        metadata=match.handler == app[GUARD].metadata,
    )


def setup_faults(app: web.Application) -> tuple[str, ...]:
    """What would keep a protected application from starting, as far as rules and routes can tell."""
    return tuple(overridden(app, app[GUARD].rules)) if GUARD in app else ()
