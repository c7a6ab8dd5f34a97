"""Texts that issuer and verifier must read the same way: issuers, resources, scopes, error descriptions. Pure.

Both sides take these rules from here, so that no operator can make a resource that no resource server can be set up
for, or configure an issuer whose tokens nobody accepts. Whatever is accepted is kept and compared byte for byte.
"""

import ipaddress
import re
from typing import Final

MAX_IDENTIFIER_CHARACTERS: Final = 512
"""Of an issuer or a resource: it is in every token, and in every challenge."""

_SCOPES: Final = re.compile(r"[\x21\x23-\x5B\x5D-\x7E]+(?: [\x21\x23-\x5B\x5D-\x7E]+)*")
_NOT_QUOTABLE: Final = re.compile(r"[^\x20\x21\x23-\x5B\x5D-\x7E]")

# RFC 3986 section 2, without "#": neither kind may have a fragment.
_URI: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:(?:[A-Za-z0-9._~:/?@!$&'()*+,;=\[\]-]|%[0-9A-Fa-f]{2})+")
_WEB: Final = re.compile(
    r"(?P<scheme>https?)://(?P<host>[A-Za-z0-9_.-]+|\[[0-9A-Fa-f:.]+\])(?P<port>:[0-9]{1,5})?"
    r"(?P<path>/[^?]*)?(?P<query>\?.*)?"
)
_EMPTY_OR_DOT_SEGMENT: Final = re.compile(r"//|/\.\.?(?:/|$)")


_ISSUER_RULE: Final = "must be an https URL without query and fragment (http on loopback only)"


def issuer_identifier(value: str) -> str:
    """An issuer (RFC 8414 section 2): an https URL without query and fragment; plain http on loopback only.

    Raises:
        ValueError: it is not. The message is a rule that begins with "must be".
    """
    parts = _web(value) if _is_uri(value) else None
    if parts is None or parts["query"] is not None or _EMPTY_OR_DOT_SEGMENT.search(parts["path"] or ""):
        raise ValueError(_ISSUER_RULE)
    if parts["scheme"] == "http" and not is_loopback(parts["host"]):
        raise ValueError(_ISSUER_RULE)
    return value


def resource_identifier(value: str) -> str:
    """A resource, as in ``aud`` (RFC 8707 section 2): an absolute URI without fragment; of the web, with a host.

    Raises:
        ValueError: it is not. The message is a rule that begins with "must be".
    """
    if not _is_uri(value) or (value.lower().startswith(("http:", "https:")) and _web(value) is None):
        raise ValueError(
            f"must be an absolute URI without a fragment, of at most {MAX_IDENTIFIER_CHARACTERS} characters"
        )
    return value


def is_loopback(host: str) -> bool:
    """Whether a host of a URL is this machine by its spelling alone (RFC 6761 section 6.3); no name is looked up."""
    try:
        address = ipaddress.ip_address(host.strip("[]"))
        # Pythons differ in what they say of an IPv4 address in IPv6's clothes.
        return (getattr(address, "ipv4_mapped", None) or address).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def is_scope(text: str) -> bool:
    """Whether this is one scope-token (RFC 6749 section 3.3)."""
    return " " not in text and _SCOPES.fullmatch(text) is not None


def split_scope(text: str) -> list[str]:
    """The scope-tokens of a ``scope``, in their order (RFC 6749 section 3.3).

    Separated by exactly one space: a tab or a no-break space is a fault and not a separator.

    Raises:
        ValueError: there is none, or one of them is no scope-token.
    """
    if not _SCOPES.fullmatch(text):
        raise ValueError("must be scope tokens separated by single spaces")
    return text.split(" ")


def quotable(text: str) -> str:
    """Text for an ``error_description`` or a challenge, with ``?`` for what may not stand there.

    RFC 6749 section 5.2 and RFC 6750 section 3 forbid quotes, backslashes, controls and all beyond ASCII: no value can
    then end its quotes, its header or the response, whoever wrote it.
    """
    return _NOT_QUOTABLE.sub("?", text)


def _is_uri(value: object) -> bool:
    return isinstance(value, str) and len(value) <= MAX_IDENTIFIER_CHARACTERS and _URI.fullmatch(value) is not None


def _web(value: str) -> re.Match[str] | None:
    """The parts of an http or https URL in lower case of scheme, without user, with a port that exists."""
    parts = _WEB.fullmatch(value)
    if parts is None or not 0 < int((parts["port"] or ":443")[1:]) < 65536:
        return None
    if parts["host"].startswith("["):
        try:
            ipaddress.IPv6Address(parts["host"][1:-1])
        except ValueError:
            return None
    return parts
