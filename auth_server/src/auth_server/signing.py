"""Everything about signing keys, put together: what signs, what rotates, what publishes."""

import contextlib
import os
import socket
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import structlog

from auth_server.keys.keyring import Keyring
from auth_server.keys.pool import KeyPool
from auth_server.keys.rotation import Rotation
from auth_server.keys.signer import Signer
from auth_server.publication.publisher import Publisher
from auth_server.publication.refresher import Refresher
from auth_server.storage import resources
from farseal.service import postgres

if TYPE_CHECKING:
    from auth_server.keys.opening import Keks
    from auth_server.metrics import AuthMetrics
    from auth_server.settings import AuthServerSettings
    from auth_server.storage.connection import Pool
    from farseal.clock import Clock

log = structlog.get_logger(__name__)


@contextlib.asynccontextmanager
async def signing(
    settings: "AuthServerSettings", keks: "Keks", pool: "Pool", *, clock: "Clock", metrics: "AuthMetrics"
) -> AsyncIterator[tuple[Refresher, Signer]]:
    """Started: the keys are there, loaded and published. At the end the last signatures are counted.

    Raises:
        KeyringError: stored keys cannot be used.
        DatabaseUnavailable: the database cannot be reached.
    """
    actor, policy = f"auth_server@{socket.gethostname()}:{os.getpid()}", settings.policy
    async with contextlib.AsyncExitStack() as stack:
        publisher = None if settings.publish_directory is None else Publisher(settings.publish_directory)
        if publisher is not None:
            stack.push_async_callback(publisher.close)
        key_pool = KeyPool(pool, keks, policy, bits=settings.rsa_bits, actor=actor)
        stack.push_async_callback(key_pool.close)
        rotation = Rotation(
            pool, keks, key_pool, policy, actor=actor, held=lambda: publisher.conflict if publisher else None
        )
        keyring, signer = Keyring(pool, keks, policy), Signer()
        refresher = Refresher(
            rotation,
            keyring,
            signer,
            lambda: _scopes(pool),
            publisher,
            issuer=settings.issuer,
            clock=clock,
            metrics=metrics,
        )
        stack.push_async_callback(_last_flush, refresher)
        stack.callback(signer.close)
        await refresher.start()
        yield refresher, signer


async def _last_flush(refresher: Refresher) -> None:
    try:
        await refresher.flush()
    except postgres.DatabaseUnavailable:
        log.warning("the last signatures could not be counted")


async def _scopes(pool: "Pool") -> list[str]:
    with postgres.database_errors():
        async with pool.acquire() as conn:
            return await resources.all_scopes(conn)
