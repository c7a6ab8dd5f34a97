"""What stands between the requests of an application and its handlers."""

import logging
import warnings
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any, Final

from aiohttp import hdrs, web

from farseal.access import AccessRules, AccessRulesError, Public, decide, path_fault
from farseal.bearer import bearer_token, challenge
from farseal.clock import Clock
from farseal.errors import (
    FarsealError,
    ForbiddenError,
    KeyUnknownError,
    ScopeInsufficientError,
    StatusMissingError,
    TrustUnavailableError,
    VerificationError,
)
from farseal.problems import problem
from farseal.settings import TrustSettings
from farseal.sources import SourceStatus, TrustSource
from farseal.sources.report import TrustReport, report
from farseal.status_list import StatusPolicy
from farseal.trust import Judgement
from farseal.verify import Verifier
from farseal.vocabulary import RESOURCE_METADATA_PATH
from farseal.web.metadata import MAX_AGE_SECONDS, document, places
from farseal.web.principal import PRINCIPAL, Principal
from farseal.web.requirement import check_needs, requirement_of
from farseal.web.routing import overridden, scopes_required, undecided

REMINDER_SECONDS: Final = 60
"""Trust past a limit is logged this often, however many requests meet it."""

ACCEPTED: Final = "accepted"
"""What good tokens are counted under; every other word is the ``code`` of a refusal."""

_WITHOUT_STATUS: Final = (
    "tokens of %s that name no status list are refused: where they are from before it had any, "
    "FARSEAL_STATUS=if_present takes them until they have expired; where it has none, for good"
)

_log = logging.getLogger("farseal")

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Guard:
    """What stands between the requests of one application and its handlers."""

    def __init__(self, settings: TrustSettings, rules: AccessRules, clock: Clock, source: TrustSource) -> None:
        self.settings = settings
        self.rules = rules
        self.source = source
        self.counts: Counter[str] = Counter()
        self._clock = clock
        self._verifier = Verifier(settings.expectations)
        self._issuers = tuple(one.issuer for one in settings.trusted)
        self._reminded: dict[str, int] = {}
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
                _not_begun(request, error)
                return self._refused(error)
            except TrustUnavailableError as error:
                _not_begun(request, error)
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

    def report(self) -> TrustReport:
        """What is trusted now."""
        policies = {issuer: self._verifier.expectations.status_of(issuer) for issuer in self._issuers}
        return report(self.source.snapshot, self.source.status(), policies, now=self._clock())

    async def unready(self) -> str | None:
        """Why no token at all can be judged, or None.

        An issuer whose tokens must name a status list can be judged while there is one that may be relied on: without
        any, each of them gets 503.

        One issuer that can be judged keeps the service ready: those who come with its tokens must not be turned away
        for the trouble of another, which is shown as a warning.
        """
        at = self._clock()
        reasons = {issuer: self._unusable(issuer, at) for issuer in self._issuers}
        if any(reason is None for reason in reasons.values()):
            return None
        return "; ".join(self._of(issuer, reason) for issuer, reason in reasons.items() if reason is not None)

    async def fallen_behind(self) -> str | None:
        """Why the keys in use may not be the latest, or None. Requests go on; somebody should look."""
        at, status = self._clock(), self.source.status()
        found = [self._of(issuer, words) for issuer in self._issuers for words in self._behind(issuer, status, at)]
        if not status.issuers and status.refusal is not None:
            found.insert(0, f"what is published is not taken: {status.refusal}")
        return "; ".join(found) or None

    def _behind(self, issuer: str, status: SourceStatus, at: int) -> Iterator[str]:
        """What is amiss with one issuer.

        No age in the words: a reason that changes with every probe would be logged with every probe.
        """
        its, worker = status.issuers.get(issuer), status.workers.get(issuer)
        if its is not None and its.refusal is not None:
            yield f"what is published is not taken: {its.refusal}"
        if worker is not None and worker.failure is not None:
            yield f"what is published cannot be had: {worker.failure}"
        trust = self.source.snapshot.issuers.get(issuer)
        if its is not None and its.lists.refusal is not None:
            yield f"status lists are not taken: {its.lists.refusal}"
        if worker is not None and worker.lists is not None and worker.lists.failure is not None:
            yield f"status lists cannot be had: {worker.lists.failure}"
        if trust is not None and trust.judge(at) is not Judgement.USE:
            yield f"the keys of the issuer are older than {trust.limits.warn_after} s"
        elif trust is None and len(self._issuers) > 1:
            yield "no keys of the issuer have been read"
        if trust is not None and trust.lists and trust.judge_lists(at) is not Judgement.USE:
            yield "status lists of the issuer are stale or have expired"

    def _unusable(self, issuer: str, at: int) -> str | None:
        trust = self.source.snapshot.issuers.get(issuer)
        if trust is None:
            return "no keys of the issuer have been read"
        if trust.judge(at) is Judgement.REFUSE:
            return "the keys of the issuer are older than their limit"
        # Only where every token must name one: elsewhere those without are judged as ever.
        required = self._verifier.expectations.status_of(issuer) is StatusPolicy.REQUIRE
        if required and trust.judge_lists(at) is Judgement.REFUSE:
            if not trust.lists:
                return "no status list of the issuer has been read"
            return "the status lists of the issuer are past their limit or have expired"
        return None

    def _of(self, issuer: str, words: str) -> str:
        """The words, with the name of the issuer where there are several."""
        return words if len(self._issuers) == 1 else f"{issuer}: {words}"

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
        try:
            claims = self._verifier.verify(token, self.source.snapshot, now=at)
        except (KeyUnknownError, TrustUnavailableError) as error:
            # What a look at what is published might undo; the caller does not wait for it.
            if error.issuer is not None:
                self.source.hint(error.issuer)
            raise
        bearer = Principal.of(claims)
        self._watch_age(claims.issuer, at)
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
        if isinstance(error, StatusMissingError) and error.issuer is not None:
            # Good in every other way: mostly from before its issuer had lists, and refused for a setting.
            self._remind(f"{error.issuer} status", self._clock(), _WITHOUT_STATUS, error.issuer)
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
        of = error.issuer or ", ".join(self._issuers)
        self._remind(of, self._clock(), "%s: tokens of %s get 503", error, of)
        return problem(error.status, error.code, detail=str(error), headers={hdrs.RETRY_AFTER: str(error.retry_after)})

    def _watch_age(self, issuer: str, at: int) -> None:
        trust = self.source.snapshot.issuers.get(issuer)
        if trust is not None and trust.judge(at) is Judgement.WARN:
            self._remind(
                issuer,
                at,
                "the keys of %s are %d s old, refused from %d s",
                trust.issuer,
                trust.age(at),
                trust.limits.refuse_after,
            )

    def _remind(self, issuer: str, at: int, message: str, *args: object) -> None:
        if abs(at - self._reminded.get(issuer, 0)) >= REMINDER_SECONDS:
            self._reminded[issuer] = at
            _log.warning(message, *args)


def _not_begun(request: web.Request, error: FarsealError) -> None:
    """Hand a handler's refusal on where its response has begun: the head of another would land in the middle of it.

    aiohttp then breaks the connection off, so that nobody takes what was sent for whole.
    """
    if request.writer.output_size > 0:
        raise error


GUARD: Final = web.AppKey("farseal.guard", Guard)
"""Where a protected application holds its guard."""


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
