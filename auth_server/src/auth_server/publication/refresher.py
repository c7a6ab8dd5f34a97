"""Keeps the keys, the rotation and the published documents true: one turn after the other."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import structlog

from auth_server.keys.keyring import Keyring, KeysUnconfirmed
from auth_server.keys.opening import KeyringError
from auth_server.publication import documents
from auth_server.publication.publisher import HEARTBEAT_SECONDS
from farseal.problems import ProblemError
from farseal.service.postgres import RETRY_AFTER_SECONDS, DatabaseUnavailable

if TYPE_CHECKING:
    from auth_server.keys.custody import SigningKey
    from auth_server.keys.keyring import Keys
    from auth_server.keys.public_key import PublicKey
    from auth_server.keys.rotation import Rotation
    from auth_server.keys.signer import Signer
    from auth_server.metrics import AuthMetrics
    from auth_server.publication.documents import Document
    from auth_server.publication.published import PublishedSet
    from auth_server.publication.publisher import Publisher
    from farseal.clock import Clock

log = structlog.get_logger(__name__)

PATIENCE_SECONDS: Final = 0.25
"""How long a turn waits for its own write. A disk takes milliseconds; one that takes longer is left alone meanwhile."""

START_PATIENCE_SECONDS: Final = 2.0
"""The same for the first publication: whoever started the server likes to find the documents."""

WITHDRAWAL_PATIENCE_SECONDS: Final = 1.0
"""How long a withdrawal waits for what has to be published before it. A disk that hangs must not keep a stolen key in
force."""


@dataclass(frozen=True, slots=True)
class Served:
    """A document and when the database confirmed it.

    Attributes:
        document: the bytes.
        modified: seconds since the epoch; moves on with every heartbeat, as the age of the files does.
        replaced: the ``modified`` that another content was last given, 0 if there was none: who names that moment may
            hold the other one.
    """

    document: "Document"
    modified: int
    replaced: int = 0

    def renewed(self, document: "Document", *, now: int) -> "Served":
        """What is served once the database has confirmed ``document`` at ``now``."""
        if document != self.document:
            return Served(document, now, self.modified)
        if 0 <= now - self.modified < HEARTBEAT_SECONDS:
            return self
        return Served(document, now, self.replaced)


@dataclass(frozen=True, slots=True)
class Published:
    """The documents of one moment."""

    jwks: Served
    metadata: Served

    @property
    def documents(self) -> "tuple[Document, Document]":
        """In the order in which they are written."""
        return self.jwks.document, self.metadata.document


class NothingPublished(ProblemError):  # noqa: N818 - a state of the world, as DatabaseUnavailable is
    """A key that belongs into the documents does not open: 503, so that whoever asks keeps what it has."""

    def __init__(self) -> None:
        super().__init__(
            503, "documents_unavailable", "the documents cannot be made", {"Retry-After": str(RETRY_AFTER_SECONDS)}
        )


class Refresher:
    """Each turn: rotate, read keys and scopes, make the documents, write them if that is due, confirm what was written.

    The documents are written only right after the database confirmed them: their age tells verifiers how old the
    knowledge is, not how old the file is. While the database is away they age, and so they must: nobody can say
    whether a key was revoked meanwhile.

    A key counts as published once a publication that holds it has succeeded; one that fails holds its activation back.

    A set that lacks a key of the database is never published, neither by file nor by HTTP: tokens of that key may be
    alive. One that does not open is taken from the last document; where that is not to be had either, nothing is
    written, and HTTP answers 503.

    A directory whose documents are newer than the database means that it was restored: HTTP answers 503, and a key that
    they do not hold does not sign.

    A key that is withdrawn takes with it whatever it has signed, status lists too, and a verifier without them answers
    503. So these are published first, signed by the key that takes over: see `go_on`.
    """

    def __init__(
        self,
        rotation: "Rotation",
        keyring: Keyring,
        signer: "Signer",
        scopes: Callable[[], Awaitable[Sequence[str]]],
        publisher: "Publisher | None",
        *,
        issuer: str,
        clock: "Clock",
        metrics: "AuthMetrics",
    ) -> None:
        self._rotation = rotation
        self._keyring = keyring
        self._signer = signer
        self._scopes = scopes
        self._publisher = publisher
        self._issuer = issuer
        self._clock = clock
        self._metrics = metrics
        self._published: Published | None = None
        self._known: dict[str, PublicKey] = {}
        self._failure: str | None = None
        self._fault: str | None = None
        self._told: str | None = None
        self._counted = 0
        self._held_back = False
        self._withdrawn: frozenset[str] = frozenset()
        self._first: Callable[[], Awaitable[None]] | None = None

    @property
    def published(self) -> Published:
        """The current documents.

        Raises:
            NothingPublished: there have been none since the start, or verifiers hold newer ones than the database.
        """
        if self._published is None or self._ahead is not None:
            raise NothingPublished
        return self._published

    def active_key(self) -> "SigningKey":
        """The key that signs now.

        Raises:
            KeysUnconfirmed: the lease has run out, or the published documents are newer than the database and do not
                hold the key: its tokens would be refused, and it may have been revoked.
        """
        key = self._keyring.active_key()
        if self._is_barred(key.kid):
            raise KeysUnconfirmed
        return key

    @property
    def public_keys(self) -> "tuple[PublicKey, ...]":
        """The keys whose tokens are alive: every one that is to be published, by what the database said last.

        One that does not open is among them where its public half is known.
        """
        keys = self._keyring.keys
        return (*keys.published, *(self._known[kid] for kid in keys.missing if kid in self._known))

    async def start(self) -> None:
        """Make or load the keys, and publish. A publication that fails does not fail the start.

        A withdrawal that is not published yet is left to `go_on`.

        Raises:
            KeyringError: stored keys cannot be used.
            DatabaseUnavailable: the database cannot be reached.
        """
        await self._rotation.prepare()
        await self._keyring.refresh()
        self._withdrawn = frozenset(self._keyring.keys.revoked)
        self._held_back = await self._is_news()
        await self._publish_current(START_PATIENCE_SECONDS)
        await self._confirm()
        self._tell()

    async def go_on(self, *, first: Callable[[], Awaitable[None]]) -> None:
        """After the start: publish what that has held back.

        Args:
            first: publishes everything else that keys sign, by the key that is active now, and returns when that is
                done. Asked before each withdrawal and once more after it, and waited for a moment.
        """
        self._first = first
        if self._held_back:
            await self.refresh()

    async def refresh(self) -> None:
        """One turn.

        What fails is told, counted and leaves everything as it was: the next turn is soon. Errors that nobody has
        foreseen are told and raised.
        """
        try:
            await self._turn()
        except DatabaseUnavailable:
            self._note("the database is away", tell=False)
        except KeyringError as error:
            self._note(str(error))
        except Exception as error:
            self._note(f"unexpected {type(error).__name__}")
            raise
        else:
            self._failure = None
        self._tell()

    async def flush(self) -> None:
        """Store the numbers of signatures that were made since the last turn.

        Raises:
            DatabaseUnavailable: the database cannot be reached; the numbers are kept.
        """
        counts = self._signer.take_counts()
        try:
            await self._keyring.flush(counts)
        except BaseException:
            self._signer.give_back_counts(counts)
            raise

    async def _turn(self) -> None:
        fault = await self._broken(self._rotate)
        if await self._keyring.refresh():
            keys = self._keyring.keys
            log.info("signing keys loaded", active=keys.active.kid, sequence=keys.sequence)
        withdraws = self._held_back or not self._withdrawn.issuperset(self._keyring.keys.revoked)
        if withdraws:
            await self._publish_first()
        self._held_back, self._withdrawn = False, frozenset(self._keyring.keys.revoked)
        await self._publish_current(PATIENCE_SECONDS)
        if withdraws:
            # Another replica, which has not heard of it, may have come in between; from now on it leaves ours alone.
            await self._publish_first()
        fault = await self._broken(self._confirm) or fault
        self._fault = await self._broken(self.flush) or fault

    async def _broken(self, part: Callable[[], Awaitable[None]]) -> str | None:
        """Why a part of the turn failed. It must not keep the keys from being read: signing would end with the lease.

        A database that is away is no failure of the part.
        """
        try:
            await part()
        except DatabaseUnavailable:
            raise
        except Exception as error:
            if self._fault is None:
                log.exception("the rotation failed")
            return f"unexpected {type(error).__name__}"
        return None

    async def _rotate(self) -> None:
        taken = await self._rotation.tick(self._clock())
        if taken is not None:
            self._metrics.leader_ticks.inc()
            for step in taken:
                self._metrics.rotation_steps.labels(step.action).inc()

    async def _is_news(self) -> bool:
        """Whether a key is to be withdrawn that the directory still has. What is ahead of us there is not written over,
        and not waited for."""
        revoked, sequence = self._withdrawn, self._keyring.keys.sequence
        theirs = await self._publisher.look(START_PATIENCE_SECONDS) if self._publisher and revoked else None
        if theirs is None or theirs.issuer != self._issuer or theirs.sequence > sequence:
            return False
        return not theirs.kids.isdisjoint(revoked)

    async def _publish_first(self) -> None:
        """Have published what has to be before a withdrawal, within a moment: the withdrawal goes out in any case."""
        if self._first is None:
            return
        try:
            async with asyncio.timeout(WITHDRAWAL_PATIENCE_SECONDS):
                await self._first()
        except TimeoutError:
            log.warning("a withdrawal is published before all status lists are signed anew")

    async def _publish_current(self, patience: float) -> None:
        """Make the documents of the keys that the database has just confirmed, and write them if that is due."""
        keys, scopes, now = self._keyring.keys, await self._scopes(), self._clock()
        published = await self._completed(keys)
        if published is None:
            return
        jwks = documents.jwks(published, issuer=self._issuer, sequence=keys.sequence, revoked=keys.revoked)
        metadata = documents.issuer_metadata(self._issuer, scopes=scopes)
        if self._published is None:
            self._published = Published(Served(jwks, now), Served(metadata, now))
        else:
            before = self._published
            self._published = Published(before.jwks.renewed(jwks, now=now), before.metadata.renewed(metadata, now=now))
        if self._publisher is None or self._held_back:
            return
        if self._publisher.due(self._published.documents, now=now):
            self._publisher.begin(self._published.documents, now=now)
        await self._publisher.wait(patience)

    async def _completed(self, keys: "Keys") -> "tuple[PublicKey, ...] | None":
        """The keys to be published, those that do not open among them; None where nobody knows one of these.

        Their public halves are in the last document: in memory, or after a start in the directory. A kid is the
        thumbprint of its key, and who can write to the database alone brings no kid into it that was not there.
        """
        if keys.missing:
            if self._published is None and self._publisher is not None:
                theirs = await self._publisher.look(START_PATIENCE_SECONDS)
                if theirs is not None and theirs.issuer == self._issuer:
                    self._known = {key.kid: key for key in theirs.keys}
            if not self._known.keys() >= set(keys.missing):
                return None
        published = (*keys.published, *(self._known[kid] for kid in keys.missing))
        self._known = {key.kid: key for key in published}
        return published

    async def _confirm(self) -> None:
        """Where there is no directory, the documents are public as soon as they are in memory."""
        unconfirmed = self._keyring.keys.unconfirmed
        if not unconfirmed or self._published is None:
            return
        if self._publisher is None or (
            self._publisher.problem is None and self._publisher.written == self._published.documents
        ):
            await self._rotation.confirm(unconfirmed, now=self._clock())

    @property
    def _ahead(self) -> "PublishedSet | None":
        return None if self._publisher is None else self._publisher.ahead

    def _is_barred(self, kid: str) -> bool:
        ahead = self._ahead
        return ahead is not None and (kid not in ahead.kids or kid in ahead.revoked)

    async def check_keyring(self) -> str | None:
        """For readiness: why the keys in memory may not be those of the database, or must not sign. A database that is
        away is its own check."""
        if self._failure is None and self._is_barred(self._keyring.keys.active.kid):
            return "the key that would sign is not among those that are published; see publication"
        return self._failure

    async def check_rotation(self) -> str | None:
        """For readiness: why keys are not rotated, or not all of them published."""
        keys = self._keyring.keys
        found = [self._fault, self._rotation.problem, *keys.faults]
        if keys.faults:
            found.append("give its KEK, or drop it with farseal-auth keys retire")
        return "; ".join(dict.fromkeys(reason for reason in found if reason)) or None

    async def check_publication(self) -> str | None:
        """For readiness: why the directory does not hold the current documents, and what waits for it."""
        problem = None if self._publisher is None else self._publisher.problem
        if problem and (waiting := self._keyring.keys.unconfirmed):
            return f"{problem}; not activated before it is published: {', '.join(waiting)}"
        return problem

    def _note(self, reason: str, *, tell: bool = True) -> None:
        self._metrics.refresh_failures.inc()
        if tell and reason != self._failure:
            log.error("signing keys cannot be refreshed", reason=reason)
        self._failure = reason if tell else None

    def _tell(self) -> None:
        """Log what changed about the publication, and set the figures."""
        keys = self._keyring.keys
        self._metrics.show_keys(keys.states or {}, keys.sequence)
        self._metrics.clock_difference.set(self._rotation.clock_difference)
        if self._publisher is None:
            if self._published is not None:
                self._metrics.published_at.set(self._published.jwks.modified)
            return
        if self._publisher.written_at is not None:
            self._metrics.published_at.set(self._publisher.written_at)
        self._metrics.publication_failures.inc(self._publisher.failures - self._counted)
        self._counted = self._publisher.failures
        problem = self._publisher.failure
        if problem is not None and problem != self._told:
            log.error("publication failed", reason=problem)
        elif problem is None and self._told is not None:
            log.info("publication works again")
        self._told = problem
