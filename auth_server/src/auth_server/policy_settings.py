"""The times of rotation as settings, for the server and for whoever changes keys beside it."""

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any, Final

from auth_server.keys.policy import RotationPolicy
from auth_server.terms import ACCESS_TOKEN_SECONDS
from farseal.environment import integer, rule, seconds, setting

_YEAR_SECONDS: Final = 365 * 86400

VARIABLES: Final = {
    "rotation_seconds": "rotation_seconds",
    "announce_seconds": "announce_seconds",
    "max_token_seconds": "max_token_seconds",
    "verifier_refresh_seconds": "verifier_refresh_seconds",
    "leeway_seconds": "verifier_leeway_seconds",
    "clock_skew_seconds": "clock_skew_seconds",
    "cache_seconds": "jwks_max_age_seconds",
    "publication_seconds": "publication_seconds",
    "lease_seconds": "signing_lease_seconds",
    "pool": "key_pool",
}
"""The setting of each part of a policy."""


@dataclass(frozen=True, kw_only=True)
class PolicySettings:
    """Inherited by settings classes; `policy` is what they say, and `times_add_up` refuses one that fails verifiers."""

    __slots__ = ()

    rotation_seconds: int = setting(
        "How long a key signs before the next one takes over",
        unit="seconds",
        default=30 * 86400,
        parse=seconds(1, 10 * _YEAR_SECONDS),
    )
    announce_seconds: int = setting(
        "How long a key is published before it signs", unit="seconds", default=86400, parse=seconds(1, _YEAR_SECONDS)
    )
    verifier_refresh_seconds: int = setting(
        "Longest time between two looks of the slowest verifier at the published documents",
        unit="seconds",
        default=300,
        parse=seconds(1, 86400),
    )
    verifier_leeway_seconds: int = setting(
        "The most that any verifier forgives at the exp of a token", unit="seconds", default=300, parse=seconds(0, 3600)
    )
    clock_skew_seconds: int = setting(
        "The most by which any clock is off the right time, for which the database's stands; past it a replica rotates "
        "nothing",
        unit="seconds",
        default=30,
        parse=seconds(1, 3600),
    )
    jwks_max_age_seconds: int = setting(
        "How long caches may keep the published documents (Cache-Control: max-age)",
        unit="seconds",
        default=60,
        parse=seconds(0, 86400),
    )
    publication_seconds: int = setting(
        "Longest time from a change in the database until it can be read where verifiers look",
        unit="seconds",
        default=30,
        parse=seconds(1, 86400),
    )
    signing_lease_seconds: int = setting(
        "How long a replica signs after it last read the keys from the database",
        unit="seconds",
        default=60,
        parse=seconds(1, 86400),
    )
    max_token_seconds: int = setting(
        "The longest life of any access token; a longer one that is asked for is cut down to it",
        unit="seconds",
        default=ACCESS_TOKEN_SECONDS[1],
        parse=seconds(*ACCESS_TOKEN_SECONDS),
    )
    key_pool: int = setting("Keys that are made in advance", unit="keys", default=1, parse=integer(0, 8))

    @property
    def policy(self) -> RotationPolicy:
        """What the rotation goes by."""
        return policy_of(self)

    @rule(*VARIABLES.values())
    def times_add_up(self) -> Iterator[str]:
        """Every verifier has a key before its first token, and has it still when the last one dies."""
        for name, fault in policy_of(self).faults():
            yield f"{VARIABLES[name].upper()}: {fault}"


def policy_of(settings: Any) -> RotationPolicy:
    """The policy that the fields of ``settings`` describe."""
    return RotationPolicy(**{field.name: getattr(settings, VARIABLES[field.name]) for field in fields(RotationPolicy)})
