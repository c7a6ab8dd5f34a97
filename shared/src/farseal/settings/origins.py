"""Where the documents of one issuer are, or of several: the part of the settings that says whom to trust."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from farseal.environment import SettingsError, boolean, choice, csv, path, rule, seconds, setting, url
from farseal.identifiers import issuer_identifier
from farseal.settings.issuer import IssuerSettings
from farseal.settings.issuers_file import read_issuers, repeated
from farseal.sources.address import AddressError, AddressPolicy
from farseal.status_list import StatusPolicy

PREFIX: Final = "FARSEAL_"

LONGEST_REFRESH_SECONDS: Final = 86_400
"""A key that is announced a day before it signs would be met unknown."""

ORIGINS: Final = ("trust_directory", "trust_url", "trust_discovery", "issuers_file")
"""Exactly one says where the documents are."""

_FETCHING: Final = ("trust_snapshot_directory", "trust_ca_file", "trust_http_hosts")


def status_policy(value: str) -> StatusPolicy:
    """One of the words of a `StatusPolicy`."""
    return StatusPolicy(choice(*StatusPolicy)(value))


@dataclass(frozen=True, slots=True, kw_only=True)
class OriginSettings:
    """One issuer and where its documents are, or several. `farseal.settings.TrustSettings` adds the rest."""

    issuer: str | None = setting(
        "Issuer whose tokens are taken, as in iss; required but with ISSUERS_FILE",
        unit="URL",
        default=None,
        parse=issuer_identifier,
    )
    trust_directory: Path | None = setting(
        "Directory of published documents; exactly one of this, TRUST_URL, TRUST_DISCOVERY and ISSUERS_FILE",
        unit="path",
        default=None,
        parse=path,
    )
    trust_url: str | None = setting(
        "Address of the issuer's key set, polled in the background; https, or http on loopback",
        unit="URL",
        default=None,
        parse=url(),
    )
    trust_discovery: bool = setting(
        "Whether to ask the issuer's metadata for the address of its key set, once at the start",
        unit="boolean",
        default=False,
        parse=boolean,
    )
    issuers_file: Path | None = setting(
        "File of several issuers, each with its own audience, documents and claims",
        unit="path of a TOML file",
        default=None,
        parse=path,
    )
    status: StatusPolicy = setting(
        "Whether tokens must say where their revocation is published; of several issuers each has its own in the file",
        unit="require, if_present or off",
        default=StatusPolicy.REQUIRE,
        parse=status_policy,
    )
    trust_snapshot_directory: Path | None = setting(
        "Where to keep a copy of what was fetched, for a start while the issuer is down",
        unit="path",
        default=None,
        parse=path,
    )
    trust_ca_file: Path | None = setting(
        "Certificates to trust when fetching, in place of the system's",
        unit="path of a PEM file",
        default=None,
        parse=path,
    )
    trust_http_hosts: tuple[str, ...] = setting(
        "Hosts, beside loopback, from which keys may be fetched without TLS",
        unit="comma-separated host names",
        default=(),
        parse=csv,
    )
    refresh_floor_seconds: int = setting(
        "Shortest time between two fetches, whatever the answer says",
        unit="seconds",
        default=5,
        parse=seconds(1, LONGEST_REFRESH_SECONDS),
    )
    refresh_ceiling_seconds: int = setting(
        "Longest time between two fetches, whatever the answer says: a new key is known within it",
        unit="seconds",
        default=300,
        parse=seconds(1, LONGEST_REFRESH_SECONDS),
    )
    issuers: tuple[IssuerSettings, ...] = ()

    @rule("issuer", "issuers_file", "issuers")
    def somebody(self) -> Iterator[str]:
        """One issuer, or several, and never none."""
        several = self.issuers_file is not None or bool(self.issuers)
        if several and self.issuer is not None:
            yield "ISSUER: must not be set beside several issuers, each of which has its name there"
        if not several and self.issuer is None:
            yield "ISSUER: is not set: Issuer whose tokens are taken, as in iss [URL]"

    @rule("status", "issuers_file", "issuers")
    def status_of_one(self) -> Iterator[str]:
        """What is said of one issuer is not said of several."""
        if self.status is not StatusPolicy.REQUIRE and (self.issuers_file is not None or self.issuers):
            yield "STATUS: must not be set beside several issuers, each of which has its status there"

    @rule(*ORIGINS, "issuers")
    def one_origin(self) -> Iterator[str]:
        """Two places of one issuer's documents would be two truths."""
        given = [name for name in (*ORIGINS, "issuers") if getattr(self, name)]
        if len(given) > 1:
            others = " and ".join(PREFIX + name.upper() for name in given[1:])
            yield f"{given[0].upper()}: must not be set together with {others}"

    @rule("trust_directory", *_FETCHING)
    def nothing_to_fetch(self) -> Iterator[str]:
        """Who sets how to fetch believes that something is fetched."""
        if self.trust_directory is not None:
            for name in _FETCHING:
                if getattr(self, name):
                    yield f"{name.upper()}: must not be set with {PREFIX}TRUST_DIRECTORY, with which nothing is fetched"

    @rule("trust_url", "trust_http_hosts")
    def address(self) -> Iterator[str]:
        """Whoever can put keys into the answer can sign for the issuer."""
        if self.trust_url is not None:
            try:
                addresses(self.trust_http_hosts).check(self.trust_url)
            except AddressError as error:
                yield f"TRUST_URL: {error}"

    @rule("issuers_file", "trust_http_hosts")
    def issuers_in_the_file(self) -> Iterator[str]:
        """Every fault of the file."""
        if self.issuers_file is not None:
            _, faults = read_issuers(self.issuers_file, addresses(self.trust_http_hosts))
            yield from (f"ISSUERS_FILE: {fault}" for fault in faults)

    @rule("issuers", "trust_http_hosts")
    def issuers_in_code(self) -> Iterator[str]:
        """The same for those that are given in code."""
        for one in self.issuers:
            if (fault := one.address_fault(addresses(self.trust_http_hosts))) is not None:
                yield f"ISSUERS: {one.issuer}: {fault}"
        yield from (f"ISSUERS: {fault}" for fault in repeated(list(self.issuers)))

    @rule("refresh_floor_seconds", "refresh_ceiling_seconds")
    def refreshes(self) -> Iterator[str]:
        """The shortest is no longer than the longest."""
        if self.refresh_floor_seconds > self.refresh_ceiling_seconds:
            yield f"REFRESH_FLOOR_SECONDS: must not be more than {PREFIX}REFRESH_CEILING_SECONDS"


def issuers_of(settings: OriginSettings) -> tuple[IssuerSettings, ...]:
    """Every issuer, however it was given.

    Raises:
        SettingsError: the file of issuers is not what it was when the settings were checked.
    """
    if settings.issuers_file is not None:
        issuers, faults = read_issuers(settings.issuers_file, addresses(settings.trust_http_hosts))
        if faults:
            raise SettingsError(f"{PREFIX}ISSUERS_FILE: {fault}" for fault in faults)
        return issuers
    if settings.issuer is None:
        return settings.issuers
    return (
        IssuerSettings(
            issuer=settings.issuer,
            trust_directory=settings.trust_directory,
            trust_url=settings.trust_url,
            discovery=settings.trust_discovery,
            status=settings.status,
        ),
    )


def addresses(http_hosts: tuple[str, ...]) -> AddressPolicy:
    """Where keys may be fetched from. Names of hosts have no case (RFC 4343)."""
    return AddressPolicy(frozenset(host.lower() for host in http_hosts))
