"""The states of a signing key, and which keys a working issuer must have (pure).

A key is first *announced*: published, not yet used, so that every verifier holds it before it signs. The *active* key
signs; there is at most one, and the database itself forbids a second. The words ``retiring``, ``gone`` and ``revoked``
are reserved in the schema.
"""

from collections.abc import Collection
from enum import StrEnum


class KeyState(StrEnum):
    """Where a key stands. The values are those of ``signing_keys.state``."""

    ANNOUNCED = "announced"
    ACTIVE = "active"


NEEDED = (KeyState.ACTIVE, KeyState.ANNOUNCED)
"""One key to sign with, and one that verifiers already know for the day it is needed."""


def missing(present: Collection[KeyState]) -> tuple[KeyState, ...]:
    """The states in which a key must be made, in order; empty when the issuer has all it needs.

    On an empty database the first key is active at once: no verifier holds an older set that could lack it.
    """
    return tuple(state for state in NEEDED if state not in present)
