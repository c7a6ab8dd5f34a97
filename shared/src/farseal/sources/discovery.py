"""Where an issuer publishes its keys, from its own metadata (RFC 8414, OpenID Connect Discovery 1.0)."""

import asyncio
from concurrent.futures import Executor
from typing import Final

from farseal.encoding import EncodingError, parse_json_object
from farseal.identifiers import is_loopback
from farseal.sources.address import AddressError, AddressPolicy, host_of
from farseal.sources.fetch import Fetcher, FetchError
from farseal.vocabulary import ISSUER_METADATA_PATH

OPENID_PATH: Final = "/.well-known/openid-configuration"
"""OpenID Connect Discovery 1.0 section 4."""


def metadata_addresses(issuer: str) -> tuple[str, ...]:
    """Where the metadata may be, the likelier first.

    RFC 8414 section 3.1 puts the well-known path between host and path of the issuer, OpenID Connect Discovery section
    4 behind both. A slash at the end of the issuer is left out either way.

    Args:
        issuer: an https or http URL without query and fragment.
    """
    scheme, _, rest = issuer.rstrip("/").partition("://")
    host, slash, path = rest.partition("/")
    return (
        f"{scheme}://{host}{ISSUER_METADATA_PATH}{slash}{path}",
        f"{scheme}://{host}{slash}{path}{OPENID_PATH}",
    )


def read_metadata(body: bytes, issuer: str, policy: AddressPolicy) -> str:
    """The ``jwks_uri`` of a metadata document.

    Raises:
        FetchError: it is no strict JSON object, is of another issuer (RFC 8414 section 3.3: equal byte for byte), or
            has no ``jwks_uri`` that the policy allows.
    """
    try:
        metadata = parse_json_object(body)
        if metadata.get("issuer") != issuer:
            raise FetchError("the metadata are of another issuer")
        address = metadata.get("jwks_uri")
        if not isinstance(address, str):
            raise FetchError("the metadata have no jwks_uri")
        return policy.check(address)
    except EncodingError as error:
        raise FetchError(f"the metadata are not usable: {error}") from None
    except AddressError as error:
        raise FetchError(f"the jwks_uri of the metadata {error}") from None


async def discover(fetcher: Fetcher, issuer: str, policy: AddressPolicy, threads: Executor) -> str:
    """The address of the issuer's keys.

    An issuer that is not on this machine cannot send us to it: plain http to loopback is only for one that is.

    Args:
        fetcher: makes the requests, one for each of `metadata_addresses` at most.
        issuer: an address that the policy allows.
        policy: of addresses.
        threads: to parse in.

    Raises:
        FetchError: no address leads to metadata that can be used. It tells what is wrong with the first document that
            there is, or of the first address where there is none.
    """
    policy = AddressPolicy(policy.http_hosts, loopback=policy.loopback and is_loopback(host_of(issuer)))
    answered: FetchError | None = None
    silent: FetchError | None = None
    for address in metadata_addresses(issuer):
        try:
            body = (await fetcher.get(address)).body or b""
        except FetchError as error:
            silent = silent or error
            continue
        try:
            return await asyncio.get_running_loop().run_in_executor(threads, read_metadata, body, issuer, policy)
        except FetchError as error:
            answered = answered or error
    fault = answered or silent or FetchError("there are no metadata")
    raise FetchError(f"discovery: {fault}", retry_after=fault.retry_after)
