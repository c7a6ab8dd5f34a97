"""Which addresses keys may be fetched from. Pure: a spelling is judged, no name is looked up.

Who can put keys into the answer can sign for the issuer, so the way there must be https; plain http only where there
is no way: on this machine, or to hosts that the operator names, such as a neighbour in the same pod.
"""

import re
from dataclasses import dataclass
from typing import Final

from farseal.errors import FarsealError
from farseal.identifiers import is_loopback

MAX_ADDRESS_CHARACTERS: Final = 2048
"""What every server and proxy takes in a request line."""

# RFC 3986 without user, fragment, backslash and blank: nothing is left that two parsers of URLs would read differently.
_ADDRESS: Final = re.compile(
    r"(?P<scheme>https?)://(?P<host>[A-Za-z0-9_.-]+|\[[0-9A-Fa-f:.]+\])(?P<port>:[0-9]{1,5})?"
    r"(?P<rest>[/?](?:[A-Za-z0-9._~:/?@!$&'()*+,;=-]|%[0-9A-Fa-f]{2})*)?"
)


class AddressError(FarsealError, ValueError):
    """Keys must not be fetched from there. The message is a rule that begins with "must", and quotes nothing."""


@dataclass(frozen=True, slots=True)
class AddressPolicy:
    """What is allowed beside https.

    Args:
        http_hosts: hosts for which plain http is allowed, as they stand in the URL, in lower case.
        loopback: whether it is for loopback, too.
    """

    http_hosts: frozenset[str] = frozenset()
    loopback: bool = True

    def check(self, url: str) -> str:
        """The same URL, if keys may be fetched from it.

        Raises:
            AddressError: they may not.
        """
        parts = _ADDRESS.fullmatch(url) if len(url) <= MAX_ADDRESS_CHARACTERS else None
        if parts is None or not 0 < int((parts["port"] or ":443")[1:]) < 65536:
            raise AddressError("must be an https URL without user and fragment")
        if parts["scheme"] == "http" and not self._allows_http(parts["host"].lower()):
            raise AddressError("must be https (http on loopback, or to a host that is allowed by name)")
        return url

    def _allows_http(self, host: str) -> bool:
        return host in self.http_hosts or (self.loopback and is_loopback(host))


def host_of(url: str) -> str:
    """The host of an address in lower case, an IPv6 address in its brackets; empty where it is no address."""
    parts = _ADDRESS.fullmatch(url)
    return "" if parts is None else parts["host"].lower()


def shown(url: str) -> str:
    """An address for people: without its query, in which some hosts of files take signatures."""
    return url.partition("?")[0]
