"""Which address a request came from, for throttling and logs (pure)."""

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import TypeAlias

Network: TypeAlias = IPv4Network | IPv6Network
Address: TypeAlias = IPv4Address | IPv6Address

UNKNOWN = "unknown"
"""The peer of a connection that has no address, such as a Unix socket."""


def client_address(peer: str | None, forwarded_for: Sequence[str], trusted: Sequence[Network]) -> str:
    """The right-most address that is not one of our own proxies.

    ``X-Forwarded-For`` counts only when the peer itself is trusted, and is read from the right: every trusted proxy
    appends the address that it saw, whatever stands left of that was written by the caller. A part that is no address
    ends the search at the proxy that vouched for it.

    Args:
        peer: address of the connection.
        forwarded_for: the values of all ``X-Forwarded-For`` headers, in order.
        trusted: networks of our own proxies; none by default.
    """
    address = _address(peer or "")
    if address is None:
        return UNKNOWN
    parts = [part.strip() for value in forwarded_for for part in value.split(",")]
    while parts and any(address in network for network in trusted):
        before = _address(parts.pop())
        if before is None:
            break
        address = before
    return str(address)


def _address(text: str) -> Address | None:
    try:
        address = ip_address(text)
    except ValueError:
        return None
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return address.ipv4_mapped
        if address.scope_id is not None:
            return IPv6Address(int(address))
    return address
