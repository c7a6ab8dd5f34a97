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

import logging
import warnings
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Protocol

from aiohttp import hdrs, web
from yarl import URL

from farseal.access import (
    AccessRules,
    AccessRulesError,
    Authenticated,
    Public,
    decide,
    parse_rules,
    path_fault,
)
from farseal.bearer import bearer_token, challenge
from farseal.clock import Clock, now
from farseal.environment import SettingsError
from farseal.errors import ForbiddenError, ScopeInsufficientError, TrustUnavailableError, VerificationError
from farseal.principal import PRINCIPAL, Principal, principal
from farseal.problems import problem
from farseal.requirement import check_needs, requirement_of, requires
from farseal.resource_metadata import MAX_AGE_SECONDS, document, places
from farseal.routing import overridden, path_of, resolve, scopes_required, undecided
from farseal.settings import PREFIX, TrustSettings
from farseal.sources import DirectorySource, TrustSource
from farseal.trust import Judgement
from farseal.verify import Verifier
from farseal.vocabulary import RESOURCE_METADATA_PATH

__all__ = [
    "Principal",
    "access_rules",
    "principal",
    "requires",
    "setup",
    "trust_source",
    "verification_counts",
]

REMINDER_SECONDS: Final = 60
"""Trust past a limit is logged this often, however many requests meet it."""

MAX_RULES_CHARACTERS: Final = 1 << 20

ACCEPTED: Final = "accepted"
"""What `verification_counts` counts good tokens under; every other word is the ``code`` of a refusal."""

_log = logging.getLogger("farseal")

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


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
    guard = _Guard(
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


class _Guard:
    """What stands between the requests of one application and its handlers."""

    def __init__(self, settings: TrustSettings, rules: AccessRules, clock: Clock, source: TrustSource) -> None:
        self.settings = settings
        self.rules = rules
        self.source = source
        self.counts: Counter[str] = Counter()
        self._clock = clock
        self._verifier = Verifier(settings.expectations)
        self._reminded_at = 0
        self._metadata_body = b""
        self.places = places(settings.audience)

    def middleware(self) -> Any:
        """For ``app.middlewares``."""

        @web.middleware
        async def verify(request: web.Request, handler: _Handler) -> web.StreamResponse:
            try:
                refusal = self._admit(request)
                return await handler(request) if refusal is None else refusal
            except VerificationError as error:
                return self._refused(error)
            except TrustUnavailableError as error:
                return self._cannot_tell(error)

        return verify

    async def life(self, app: web.Application) -> AsyncIterator[None]:
        """Check the rules against the routes, then keep the source running while the server does."""
        placed = {resource.canonical for resource in app.router.resources()}
        if not placed.issuperset(self.places.paths):
            raise RuntimeError("farseal.web.setup() belongs on the outermost application, not on a sub-application")
        if faults := tuple(overridden(app, self.rules)):
            raise AccessRulesError(faults)
        for name in undecided(app, self.rules):
            if RESOURCE_METADATA_PATH not in name:
                _log.warning("%s has no rule and no @requires: it is denied to everybody", name)
        self._metadata_body = document(self.settings, self.rules.scopes | scopes_required(app))
        await self.source.start()
        try:
            yield
        finally:
            await self.source.stop()

    async def metadata(self, _request: web.Request) -> web.Response:
        """Protected resource metadata (RFC 9728 section 3)."""
        return web.Response(
            body=self._metadata_body,
            content_type="application/json",
            headers={
                "Cache-Control": f"public, max-age={MAX_AGE_SECONDS}",
                "Access-Control-Allow-Origin": "*",
            },
        )

    async def unready(self) -> str | None:
        """Why tokens cannot be judged, or None."""
        trust = self.source.snapshot.issuers.get(self.settings.issuer)
        if trust is None:
            return "no keys of the issuer have been read"
        if trust.judge(self._clock()) is Judgement.REFUSE:
            return "the keys of the issuer are older than their limit"
        return None

    def _admit(self, request: web.Request) -> web.Response | None:
        """Let a request on to its handler, or answer it.

        Raises:
            VerificationError, TrustUnavailableError: to be answered as they say.
        """
        path = request.rel_url.path_safe
        fault = path_fault(path)
        if fault is not None:
            self.counts["path_refused"] += 1
            return problem(400, "path_refused", detail=fault)
        match = request.match_info
        if match.handler == self.metadata:
            return None
        needs = decide(self.rules.match(request.method, path), requirement_of(match.handler, request.method))
        if isinstance(needs, Public):
            return None
        token = bearer_token(request.headers.getall(hdrs.AUTHORIZATION, ()))
        if token is None:
            return self._anonymous()
        at = self._clock()
        bearer = Principal.of(self._verifier.verify(token, self.source.snapshot, now=at))
        self._watch_age(at)
        if needs is not None:
            check_needs(bearer, needs)
        elif match.http_exception is None:
            raise ForbiddenError("No rule lets anybody do this")
        self.counts[ACCEPTED] += 1
        request[PRINCIPAL] = bearer
        _also_by_name(request, bearer)
        return None

    def _anonymous(self) -> web.Response:
        self.counts["credentials_missing"] += 1
        header = challenge(self.settings.realm, resource_metadata=self.places.url)
        return problem(
            401,
            "credentials_missing",
            detail="This needs a bearer token",
            headers={hdrs.WWW_AUTHENTICATE: header},
        )

    def _refused(self, error: VerificationError) -> web.Response:
        self.counts[error.code] += 1
        _log.debug("refused: %s", error.code)
        header = challenge(
            self.settings.realm,
            error=error.error,
            description=str(error),
            scopes=error.scopes if isinstance(error, ScopeInsufficientError) else (),
            resource_metadata=self.places.url,
        )
        return problem(error.status, error.code, detail=str(error), headers={hdrs.WWW_AUTHENTICATE: header})

    def _cannot_tell(self, error: TrustUnavailableError) -> web.Response:
        self.counts[error.code] += 1
        self._remind(self._clock(), "%s: tokens of %s get 503", error, self.settings.issuer)
        return problem(error.status, error.code, detail=str(error), headers={hdrs.RETRY_AFTER: str(error.retry_after)})

    def _watch_age(self, at: int) -> None:
        trust = self.source.snapshot.issuers.get(self.settings.issuer)
        if trust is not None and trust.judge(at) is Judgement.WARN:
            self._remind(
                at,
                "the keys of %s are %d s old, refused from %d s",
                trust.issuer,
                trust.age(at),
                trust.limits.refuse_after,
            )

    def _remind(self, at: int, message: str, *args: object) -> None:
        if abs(at - self._reminded_at) >= REMINDER_SECONDS:
            self._reminded_at = at
            _log.warning(message, *args)


GUARD: Final = web.AppKey("farseal.guard", _Guard)


def read_rules(file: Path) -> AccessRules:
    """The access rules in a file.

    Raises:
        SettingsError: it cannot be read.
        AccessRulesError: it has faults, all of them named.
    """
    try:
        with file.open(encoding="utf-8") as stream:
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


_named: set[str] = set()


def _also_by_name(request: web.Request, bearer: Principal) -> None:
    """``request["principal"]``. aiohttp warns of the first text key it meets; this one is documented."""
    if _named:
        request["principal"] = bearer
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", web.NotAppKeyWarning)
        request["principal"] = bearer
    _named.add("principal")
