"""Whose tokens a service takes, for what, and how old the published documents may get."""

import dataclasses
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Self

from farseal.environment import SettingsError, broken_rules, load, path, rule, seconds, setting, url
from farseal.environment.variables import gather, read_text
from farseal.identifiers import issuer_identifier, quotable, resource_identifier
from farseal.settings.issuer import IssuerSettings
from farseal.settings.issuers_file import read_issuers
from farseal.settings.origins import LONGEST_REFRESH_SECONDS, ORIGINS, PREFIX, OriginSettings, addresses, issuers_of
from farseal.status_list import StatusPolicy
from farseal.trust import AgeLimits, StatusLimits
from farseal.verify import Expectations

MAX_LEEWAY_SECONDS: Final = 300
"""More than this is not clock skew; it is a longer life for every token."""

LEAST_STATUS_AGE_SECONDS: Final = 120
"""A list says of its age a multiple of a minute, so that a healthy one is up to a minute old. A limit below that would
be reached each minute; twice as much bears a signature that is late, and clocks that differ."""


def realm_text(value: str) -> str:
    """Text for the ``realm`` of a challenge: printable ASCII without quotes and backslashes (RFC 6750 section 3)."""
    if not value or quotable(value) != value:
        raise ValueError("must be printable ASCII without quotes and backslashes")
    return value


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustSettings(OriginSettings):
    """Whose tokens are taken, for what, where the published documents are, and how old they may get.

    One issuer is described by ``issuer`` and one of ``trust_directory``, ``trust_url`` and ``trust_discovery``; several
    by ``issuers_file``, or in code by ``issuers``. An application that brings a source of its own may leave out where
    the documents are.

    ``trusted`` is every issuer, however it was given.

    Raises:
        SettingsError: at construction, with every fault at once.
    """

    audience: str = setting("This service, as in aud", unit="URI", parse=resource_identifier)
    leeway_seconds: int = setting(
        "Clock skew to forgive", unit="seconds", default=30, parse=seconds(0, MAX_LEEWAY_SECONDS)
    )
    stale_after_seconds: int = setting(
        "Age of the documents from which a warning is logged", unit="seconds", default=900, parse=seconds(1)
    )
    refuse_after_seconds: int = setting(
        "Age of the documents from which every token gets 503", unit="seconds", default=86_400, parse=seconds(1)
    )
    status_stale_after_seconds: int = setting(
        "Age of a status list from which a warning is logged; a healthy one is up to a minute old, so 120 or more",
        unit="seconds",
        default=300,
        parse=seconds(LEAST_STATUS_AGE_SECONDS),
    )
    status_refuse_after_seconds: int = setting(
        "Age of a status list from which the tokens that name it get 503: 120 or more, as above, and more than that",
        unit="seconds",
        default=3600,
        parse=seconds(LEAST_STATUS_AGE_SECONDS),
    )
    status_refresh_seconds: int = setting(
        "Time between two fetches of status lists, where they do not ask for more: a logout is known within it",
        unit="seconds",
        default=5,
        parse=seconds(1, LONGEST_REFRESH_SECONDS),
    )
    access_rules_file: Path | None = setting("File of access rules", unit="path", default=None, parse=path)
    jwks_uri: str | None = setting(
        "Where this service's own keys are, for its metadata (RFC 9728); most have none",
        unit="URL",
        default=None,
        parse=url(),
    )
    realm: str = setting("realm of the challenges", default="farseal", parse=realm_text)
    trusted: tuple[IssuerSettings, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        values = {one.name: getattr(self, one.name) for one in dataclasses.fields(self) if one.init}
        if faults := (*_unfit(values), *broken_rules(type(self), values, PREFIX)):
            raise SettingsError(faults)
        object.__setattr__(self, "trusted", issuers_of(self))

    @classmethod
    def from_environ(cls, environ: Mapping[str, str], *, also: Collection[str] = (), own_source: bool = False) -> Self:
        """Read the ``FARSEAL_*`` variables of ``environ``.

        Args:
            environ: such as ``os.environ``.
            also: ``FARSEAL_*`` names that belong to somebody else.
            own_source: whether the application brings its source of trust, so that no variable needs to name one.

        Raises:
            SettingsError: with every fault at once.
        """
        named = gather(environ, PREFIX, read=read_text, faults=[])
        missing: list[str] = []
        if not own_source and not any(PREFIX + origin.upper() in named for origin in ORIGINS):
            others = ", ".join(PREFIX + origin.upper() for origin in ORIGINS[1:])
            missing.append(f"{PREFIX}TRUST_DIRECTORY: is not set, nor is one of {others}")
        try:
            settings = load(cls, environ, PREFIX, also=also)
        except SettingsError as error:
            raise SettingsError((*error.faults, *missing)) from None
        if missing:
            raise SettingsError(missing)
        return settings

    @rule(*ORIGINS, "issuers", "trust_http_hosts", "refresh_ceiling_seconds", "refuse_after_seconds")
    def refreshed_in_time(self) -> Iterator[str]:
        """Documents are fetched again before they are refused for their age."""
        several = self.issuers
        if self.issuers_file is not None:
            several, _ = read_issuers(self.issuers_file, addresses(self.trust_http_hosts))
        fetched = self.trust_url is not None or self.trust_discovery or any(one.fetched for one in several)
        if fetched and self.refresh_ceiling_seconds >= self.refuse_after_seconds:
            yield f"REFRESH_CEILING_SECONDS: must be less than {PREFIX}REFUSE_AFTER_SECONDS"

    @rule("stale_after_seconds", "refuse_after_seconds")
    def ages(self) -> Iterator[str]:
        """Documents are warned about before they are refused."""
        if self.refuse_after_seconds <= self.stale_after_seconds:
            yield f"REFUSE_AFTER_SECONDS: must be more than {PREFIX}STALE_AFTER_SECONDS ({self.stale_after_seconds})"

    @rule("status_stale_after_seconds", "status_refuse_after_seconds")
    def status_ages(self) -> Iterator[str]:
        """Status lists are warned about before they are refused."""
        if self.status_refuse_after_seconds <= self.status_stale_after_seconds:
            stale_after = f"{PREFIX}STATUS_STALE_AFTER_SECONDS ({self.status_stale_after_seconds})"
            yield f"STATUS_REFUSE_AFTER_SECONDS: must be more than {stale_after}"

    @rule("status_refresh_seconds", "status_refuse_after_seconds")
    def status_refreshed_in_time(self) -> Iterator[str]:
        """Status lists are looked for again before they are refused for their age."""
        if self.status_refresh_seconds >= self.status_refuse_after_seconds:
            yield f"STATUS_REFRESH_SECONDS: must be less than {PREFIX}STATUS_REFUSE_AFTER_SECONDS"

    @property
    def status_limits(self) -> StatusLimits:
        """Of the age of status lists."""
        return StatusLimits(self.status_stale_after_seconds, self.status_refuse_after_seconds)

    @property
    def limits(self) -> AgeLimits:
        """Of the documents' age."""
        return AgeLimits(warn_after=self.stale_after_seconds, refuse_after=self.refuse_after_seconds)

    @property
    def expectations(self) -> Expectations:
        """What the verifier holds every token to."""
        return Expectations(
            self.audience,
            frozenset(one.issuer for one in self.trusted),
            leeway=self.leeway_seconds,
            of_issuers=MappingProxyType(
                {
                    one.issuer: one.expectations(self.audience)
                    for one in self.trusted
                    if one.audience or one.claims or one.status is not self.status
                }
            ),
            status=self.status,
        )


_STATUS_AGES: Final = ("status_stale_after_seconds", "status_refuse_after_seconds")

_CHECKS: Final[Mapping[str, Any]] = {
    "issuer": issuer_identifier,
    "audience": resource_identifier,
    "jwks_uri": url(),
    "realm": realm_text,
}


def _unfit(values: Mapping[str, Any]) -> Iterator[str]:
    """Values given in code are held to what the environment is."""
    for name, check in _CHECKS.items():
        if values[name] is not None:
            try:
                check(values[name])
            except ValueError as error:
                yield f"{PREFIX}{name.upper()}: {error}"
    try:
        StatusPolicy.check(values["status"])
    except ValueError as error:
        yield f"{PREFIX}STATUS: {error}"
    if not 0 <= values["leeway_seconds"] <= MAX_LEEWAY_SECONDS:
        yield f"{PREFIX}LEEWAY_SECONDS: must be whole seconds, 0 to {MAX_LEEWAY_SECONDS}"
    for name in ("stale_after_seconds", "refresh_floor_seconds", "refresh_ceiling_seconds", "status_refresh_seconds"):
        if values[name] < 1:
            yield f"{PREFIX}{name.upper()}: must be whole seconds, 1 or more"
    for name in _STATUS_AGES:
        if values[name] < LEAST_STATUS_AGE_SECONDS:
            yield f"{PREFIX}{name.upper()}: must be whole seconds, {LEAST_STATUS_AGE_SECONDS} or more"
