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
from types import MappingProxyType
from typing import Any, Protocol

from aiohttp import web

from farseal.access import AccessRules
from farseal.clock import Clock, now
from farseal.settings import TrustSettings, source_of
from farseal.sources import TrustSource
from farseal.sources.report import TrustReport
from farseal.web.guard import GUARD, Guard
from farseal.web.principal import Principal, principal
from farseal.web.requirement import requires
from farseal.web.rules_file import rules_for

__all__ = [
    "Principal",
    "access_rules",
    "principal",
    "requires",
    "setup",
    "trust_page",
    "trust_report",
    "trust_source",
    "verification_counts",
]


class ReadinessChecks(Protocol):
    """Takes checks that say what is wrong, or None. `farseal.service.ops.Readiness` is one."""

    def add(self, name: str, check: Callable[[], Awaitable[str | None]], /, *, required: bool = True) -> object:
        """Ask ``check`` whenever readiness is asked for; what is not required is shown and keeps nobody away."""
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
        readiness: told ``trust`` while there is no issuer whose tokens can be judged, and as a warning ``documents``
            while what is published by one of them is not taken, cannot be fetched, or has fallen behind.
        source: where trust comes from; what ``settings`` describe unless given.

    Raises:
        RuntimeError: called twice, or too late.
        AccessRulesError: the rules have faults. Those that need the routes to be seen come when the server starts.
        SettingsError: the rules file cannot be read, or rules are given twice; there is no source, and the settings
            do not say where the documents of an issuer are.
    """
    if GUARD in app:
        raise RuntimeError("farseal.web.setup() was called on this application before")
    if app.pre_frozen:
        raise RuntimeError("farseal.web.setup() comes before the application is started or added to another")
    guard = Guard(
        settings,
        rules_for(settings, rules),
        clock,
        source if source is not None else source_of(settings, clock=clock),
    )
    app[GUARD] = guard
    for path in guard.places.paths:
        app.router.add_get(path, guard.metadata)
    app.middlewares.append(guard.middleware())
    app.cleanup_ctx.append(guard.life)
    if readiness is not None:
        readiness.add("trust", guard.unready)
        readiness.add("documents", guard.fallen_behind, required=False)


def trust_source(app: web.Application) -> TrustSource:
    """Where the application's trust comes from, for its status."""
    return app[GUARD].source


def trust_report(app: web.Application) -> TrustReport:
    """What the application trusts now, issuer by issuer, by its own clock."""
    return app[GUARD].report()


def trust_page(app: web.Application) -> Mapping[str, Callable[[], Mapping[str, Any]]]:
    """The report as the page ``/trust`` of an internal port, for `farseal trust` to read.

    Give it to `farseal.service.settings.ServiceSettings.run`. Not for the port of the API: it names every issuer and
    where its documents are.
    """
    return {"/trust": lambda: trust_report(app).as_json()}


def access_rules(app: web.Application) -> AccessRules:
    """The rules in force."""
    return app[GUARD].rules


def verification_counts(app: web.Application) -> Mapping[str, int]:
    """How many requests were accepted, and how many refused under each code, since the start."""
    return MappingProxyType(app[GUARD].counts)
