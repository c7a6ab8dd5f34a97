"""Three lines that protect an aiohttp application.

    setup(app, TrustSettings.from_environ(os.environ))

    @requires("notes:read")
    async def list_notes(request):
        owner = principal(request).id

`setup` belongs on the outermost application: it then answers for every sub-application added to it, whose handlers may
carry ``@requires`` as well and whose rules are written with the whole path. On a sub-application it is refused when the
server starts. Middlewares added before it run outside of it and see refusals as responses, those added after it run
inside and find the principal on the request.

What a request must bring: the first access rule about it, and what its handler requires beside that; where neither says
anything it is denied. The order of answers is 400 for a path or header that can be read two ways, 401, 503 where nobody
can tell, then 404 and 405 for those with a good token, then 403.

A refused request costs no I/O, no lock and no await; a good one costs the same.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final, Protocol

from aiohttp import web
from yarl import URL

from farseal.access import AccessRules, Authenticated, parse_rules
from farseal.clock import Clock, now
from farseal.environment import SettingsError
from farseal.settings import PREFIX, TrustSettings
from farseal.sources import DirectorySource, TrustSource
from farseal.web.guard import GUARD, Guard
from farseal.web.principal import Principal, principal
from farseal.web.requirement import requirement_of, requires
from farseal.web.routing import overridden, path_of, resolve

__all__ = [
    "Principal",
    "access_rules",
    "principal",
    "requires",
    "setup",
    "trust_source",
    "verification_counts",
]

MAX_RULES_CHARACTERS: Final = 1 << 20
"""Of a file of rules; what is longer is another file."""


class ReadinessChecks(Protocol):
    """Takes a check that says why the service is not ready, or None. `farseal.service.ops.Readiness` is one."""

    def add(self, name: str, check: Callable[[], Awaitable[str | None]], /) -> object:
        """Ask ``check`` whenever readiness is asked for."""
        ...


def setup(
    app: web.Application,
    settings: TrustSettings,
    *,
    rules: AccessRules | str | None = None,
    clock: Clock = now,
    readiness: ReadinessChecks | None = None,
    source: TrustSource | None = None,
) -> None:
    """Protect an application: a middleware, the life of its source of trust, and its RFC 9728 metadata.

    Args:
        app: the outermost application, not yet started.
        settings: whose tokens are taken, for what.
        rules: access rules, parsed or as text; None takes ``settings.access_rules_file``, or no rules at all.
        clock: seconds since the epoch.
        readiness: told ``trust`` while there are no keys to be relied on.
        source: where trust comes from; a `DirectorySource` over ``settings.trust_directory`` unless given.

    Raises:
        RuntimeError: called twice, or too late.
        AccessRulesError: the rules have faults. Those that need the routes to be seen come when the server starts.
        SettingsError: the rules file cannot be read, or rules are given twice.
    """
    if GUARD in app:
        raise RuntimeError("farseal.web.setup() was called on this application before")
    if app.pre_frozen:
        raise RuntimeError("farseal.web.setup() comes before the application is started or added to another")
    guard = Guard(
        settings,
        _rules(settings, rules),
        clock,
        source or DirectorySource(settings.trust_directory, settings.issuer, settings.limits, clock=clock),
    )
    app[GUARD] = guard
    for path in guard.places.paths:
        app.router.add_get(path, guard.metadata)
    app.middlewares.append(guard.middleware())
    app.cleanup_ctx.append(guard.life)
    if readiness is not None:
        readiness.add("trust", guard.unready)


def trust_source(app: web.Application) -> TrustSource:
    """Where the application's trust comes from, for its status."""
    return app[GUARD].source


def access_rules(app: web.Application) -> AccessRules:
    """The rules in force."""
    return app[GUARD].rules


def verification_counts(app: web.Application) -> Mapping[str, int]:
    """How many requests were accepted, and how many refused under each code, since the start."""
    return MappingProxyType(app[GUARD].counts)


def read_rules(file: Path) -> AccessRules:
    """The access rules in a file.

    Raises:
        SettingsError: it cannot be read.
        AccessRulesError: it has faults, all of them named.
    """
    try:
        # Line ends as they are: which of them end a rule is the parser's business.
        with file.open(encoding="utf-8", newline="") as stream:
            text = stream.read(MAX_RULES_CHARACTERS + 1)
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8"
        raise SettingsError((f"the access rules in {str(file)!r} cannot be read: {reason}",)) from None
    if len(text) > MAX_RULES_CHARACTERS:
        raise SettingsError((f"the access rules in {str(file)!r} are longer than {MAX_RULES_CHARACTERS} characters",))
    return parse_rules(text)


def setup_faults(app: web.Application) -> tuple[str, ...]:
    """What would keep a protected application from starting, as far as rules and routes can tell."""
    return tuple(overridden(app, app[GUARD].rules)) if GUARD in app else ()


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


def _rules(settings: TrustSettings, rules: AccessRules | str | None) -> AccessRules:
    file = settings.access_rules_file
    if file is None:
        if rules is None:
            return AccessRules(())
        return parse_rules(rules) if isinstance(rules, str) else rules
    if rules is not None:
        raise SettingsError(
            (f"{PREFIX}ACCESS_RULES_FILE: the service brings rules of its own; one of both must be left out",)
        )
    return read_rules(file)
