"""Keeps the keyring and the published documents true."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from auth_server.keys.keyring import Keyring, KeyringError
from auth_server.publication import documents
from farseal.service.postgres import DatabaseUnavailable

if TYPE_CHECKING:
    from auth_server.metrics import AuthMetrics
    from auth_server.publication.documents import Document
    from auth_server.publication.publisher import Publisher
    from farseal.clock import Clock

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Published:
    """The documents of one moment."""

    jwks: "Document"
    metadata: "Document"


class Refresher:
    """Reads keys and scopes again when told, and writes the documents when that is due.

    The documents are written only right after the database confirmed them: their age tells verifiers how old the
    knowledge is, not how old the file is. While the database is away they age, and so they must: nobody can say
    whether a key was revoked meanwhile.
    """

    def __init__(
        self,
        keyring: Keyring,
        scopes: Callable[[], Awaitable[Sequence[str]]],
        publisher: "Publisher | None",
        *,
        issuer: str,
        clock: "Clock",
        metrics: "AuthMetrics",
    ) -> None:
        self._keyring = keyring
        self._scopes = scopes
        self._publisher = publisher
        self._issuer = issuer
        self._clock = clock
        self._metrics = metrics
        self._published: Published | None = None
        self._failure: str | None = None

    @property
    def published(self) -> Published:
        """The current documents. `start` must have succeeded."""
        if self._published is None:
            raise RuntimeError("nothing is published yet")
        return self._published

    async def start(self) -> None:
        """Make or load the keys, and publish. A publication that fails does not fail the start.

        Raises:
            KeyringError: stored keys cannot be used.
            DatabaseUnavailable: the database cannot be reached.
        """
        await self._keyring.prepare(now=self._clock())
        await self._publish_current()

    async def refresh(self) -> None:
        """One look at the database, and one publication if it is due.

        What fails is told, counted and leaves everything as it was: the next look is soon. Errors that nobody has
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

    async def _turn(self) -> None:
        if await self._keyring.refresh():
            log.info("signing keys loaded", active=self._keyring.active_key().kid)
        await self._publish_current()

    async def _publish_current(self) -> None:
        """Make the documents of the keys that the database has just confirmed, and write them if that is due."""
        scopes = await self._scopes()
        self._published = Published(
            documents.jwks(self._keyring.keys.published), documents.issuer_metadata(self._issuer, scopes=scopes)
        )
        await self._publish(self._published)

    async def check_keyring(self) -> str | None:
        """For readiness: why the keys in memory may not be those of the database. A database that is away is its own
        check."""
        return self._failure

    async def check_publication(self) -> str | None:
        """For readiness: why the directory does not hold the current documents."""
        return None if self._publisher is None else self._publisher.failure

    def _note(self, reason: str, *, tell: bool = True) -> None:
        self._metrics.refresh_failures.inc()
        if tell and reason != self._failure:
            log.error("signing keys cannot be refreshed", reason=reason)
        self._failure = reason if tell else None

    async def _publish(self, published: Published) -> None:
        if self._publisher is None:
            return
        now, both = self._clock(), (published.jwks, published.metadata)
        if not self._publisher.due(both, now=now):
            return
        before = self._publisher.failure
        try:
            await self._publisher.publish(both, now=now)
        except OSError:
            self._metrics.publication_failures.inc()
            if self._publisher.failure != before:
                log.error("publication failed", reason=self._publisher.failure)  # noqa: TRY400 - the reason is whole
        else:
            self._metrics.published_at.set(now)
            if before is not None:
                log.info("publication works again")
