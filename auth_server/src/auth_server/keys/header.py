"""The header of every token that is written here (pure, RFC 7515 section 4)."""

import msgspec

from farseal.encoding import b64url_encode
from farseal.vocabulary import ALGORITHM


def encoded_header(kid: str, token_type: str) -> str:
    """The first part of a token of ours: ``alg``, ``kid`` and ``typ``, in the one spelling that they have."""
    return b64url_encode(msgspec.json.encode({"alg": ALGORITHM, "kid": kid, "typ": token_type}))
