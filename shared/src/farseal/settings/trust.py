"""What a service says about the tokens it takes. Made in code, or read from ``FARSEAL_*`` variables."""

import dataclasses
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

from farseal.environment import SettingsError, broken_rules, load, path, rule, seconds, setting, url
from farseal.identifiers import issuer_identifier, quotable, resource_identifier
from farseal.trust import AgeLimits
from farseal.verify import Expectations

PREFIX: Final = "FARSEAL_"

MAX_LEEWAY_SECONDS: Final = 300
"""More than this is not clock skew; it is a longer life for every token."""


def realm_text(value: str) -> str:
    """Text for the ``realm`` of a challenge: printable ASCII without quotes and backslashes (RFC 6750 section 3)."""
    if not value or quotable(value) != value:
        raise ValueError("must be printable ASCII without quotes and backslashes")
    return value


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustSettings:
    """Whose tokens are taken, for what, and how old the published documents may get.

    Raises:
        SettingsError: at construction, with every fault at once.
    """

    issuer: str = setting("Issuer whose tokens are taken, as in iss", unit="URL", parse=issuer_identifier)
    audience: str = setting("This service, as in aud", unit="URI", parse=resource_identifier)
    trust_directory: Path = setting("Directory of published documents", unit="path", parse=path)
    leeway_seconds: int = setting(
        "Clock skew to forgive", unit="seconds", default=30, parse=seconds(0, MAX_LEEWAY_SECONDS)
    )
    stale_after_seconds: int = setting(
        "Age of the documents from which a warning is logged", unit="seconds", default=900, parse=seconds(1)
    )
    refuse_after_seconds: int = setting(
        "Age of the documents from which every token gets 503", unit="seconds", default=86_400, parse=seconds(1)
    )
    access_rules_file: Path | None = setting("File of access rules", unit="path", default=None, parse=path)
    jwks_uri: str | None = setting(
        "Where this service's own keys are, for its metadata (RFC 9728); most have none",
        unit="URL",
        default=None,
        parse=url(),
    )
    realm: str = setting("realm of the challenges", default="farseal", parse=realm_text)

    def __post_init__(self) -> None:
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        if faults := (*_unfit(values), *broken_rules(type(self), values, PREFIX)):
            raise SettingsError(faults)

    @classmethod
    def from_environ(cls, environ: Mapping[str, str], *, also: Collection[str] = ()) -> Self:
        """Read the ``FARSEAL_*`` variables of ``environ``.

        Args:
            environ: such as ``os.environ``.
            also: ``FARSEAL_*`` names that belong to somebody else.

        Raises:
            SettingsError: with every fault at once.
        """
        return load(cls, environ, PREFIX, also=also)

    @rule("stale_after_seconds", "refuse_after_seconds")
    def ages(self) -> Iterator[str]:
        """Documents are warned about before they are refused."""
        if self.refuse_after_seconds <= self.stale_after_seconds:
            yield f"REFUSE_AFTER_SECONDS: must be more than {PREFIX}STALE_AFTER_SECONDS ({self.stale_after_seconds})"

    @property
    def limits(self) -> AgeLimits:
        """Of the documents' age."""
        return AgeLimits(warn_after=self.stale_after_seconds, refuse_after=self.refuse_after_seconds)

    @property
    def expectations(self) -> Expectations:
        """What the verifier holds every token to."""
        return Expectations(self.audience, frozenset({self.issuer}), leeway=self.leeway_seconds)


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
    if not 0 <= values["leeway_seconds"] <= MAX_LEEWAY_SECONDS:
        yield f"{PREFIX}LEEWAY_SECONDS: must be whole seconds, 0 to {MAX_LEEWAY_SECONDS}"
    if values["stale_after_seconds"] < 1:
        yield f"{PREFIX}STALE_AFTER_SECONDS: must be whole seconds, 1 or more"
