"""What a service says of one issuer: whose tokens, for whom, and where its keys are."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from farseal.claims import MAPPABLE_CLAIMS
from farseal.environment import SettingsError
from farseal.identifiers import issuer_identifier, resource_identifier
from farseal.sources.address import AddressError, AddressPolicy, shown
from farseal.status_list import StatusPolicy
from farseal.verify import IssuerExpectations

MAX_CLAIM_CHARACTERS = 256
"""Of the name of a claim: some issuers use URLs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuerSettings:
    """One issuer among those whose tokens are taken.

    Args:
        issuer: as in ``iss``.
        audience: this service as that issuer knows it; None where it is the one of all.
        trust_directory: holds its published documents.
        trust_url: of its key set.
        discovery: whether its own metadata is asked for the address of the key set, once at the start.
        claims: our name of a claim to the issuer's, for those of `MAPPABLE_CLAIMS` that it calls otherwise.
        status: what its tokens must say of their status. Most issuers publish none; require it of those that do.

    At most one of ``trust_directory``, ``trust_url`` and ``discovery``; none where the application brings a source.

    Raises:
        SettingsError: at construction, with every fault at once, each by the name of its field.
    """

    issuer: str
    audience: str | None = None
    trust_directory: Path | None = None
    trust_url: str | None = None
    discovery: bool = False
    claims: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    status: StatusPolicy = StatusPolicy.IF_PRESENT

    def __post_init__(self) -> None:
        if faults := tuple(self._faults()):
            raise SettingsError(faults)

    @property
    def origin(self) -> str | None:
        """Where the documents are, in words for people: logs and the report of a service."""
        if self.discovery:
            return f"the metadata of {self.issuer}"
        if self.trust_url is not None:
            return shown(self.trust_url)
        return None if self.trust_directory is None else str(self.trust_directory)

    @property
    def fetched(self) -> bool:
        """Whether the documents come over HTTP."""
        return self.trust_url is not None or self.discovery

    def expectations(self, audience: str) -> IssuerExpectations:
        """What the verifier holds its tokens to, where ``audience`` is the one of all."""
        return IssuerExpectations(self.audience or audience, MappingProxyType(dict(self.claims)), self.status)

    def address_fault(self, addresses: AddressPolicy) -> str | None:
        """Why its keys must not be fetched from where they are, or None."""
        try:
            if self.fetched:
                addresses.check(self.issuer if self.trust_url is None else self.trust_url)
        except AddressError as error:
            return f"{'issuer' if self.discovery else 'trust_url'}: {error}"
        return None

    def _faults(self) -> Iterator[str]:
        for name, value, check in (
            ("issuer", self.issuer, issuer_identifier),
            ("audience", self.audience, resource_identifier),
        ):
            if value is not None or name == "issuer":
                try:
                    check(value)  # type: ignore[arg-type]  # None is no issuer, and told so
                except ValueError as error:
                    yield f"{name}: {error}"
        try:
            StatusPolicy.check(self.status)
        except ValueError as error:
            yield f"status: {error}"
        if (self.trust_directory is not None) + (self.trust_url is not None) + self.discovery > 1:
            yield "trust_directory: must not be set together with another of trust_url and discovery"
        if self.trust_directory is not None and "\0" in str(self.trust_directory):
            yield "trust_directory: must be a path, which has no NUL"
        for ours, theirs in self.claims.items():
            if ours not in MAPPABLE_CLAIMS:
                yield f"claims: must map {', '.join(MAPPABLE_CLAIMS)} only, not {ascii(ours)[:60]}"
            elif not _is_claim(theirs):
                yield f"claims: {ours}: must be the name of a claim, printable and not empty"


def _is_claim(name: object) -> bool:
    return type(name) is str and 0 < len(name) <= MAX_CLAIM_CHARACTERS and name.isprintable()
