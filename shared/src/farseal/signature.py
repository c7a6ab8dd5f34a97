"""RS256 over the bytes that were sent: the one way in which a key of an issuer speaks for a document of any kind."""

from typing import Final

from jwt.algorithms import RSAAlgorithm

from farseal.compact import SealedToken, UnverifiedToken
from farseal.errors import SignatureInvalidError
from farseal.jwks import VerificationKey

_RS256: Final = RSAAlgorithm(RSAAlgorithm.SHA256)


def check_signature(unverified: UnverifiedToken | SealedToken, key: VerificationKey) -> None:
    """RS256 (RFC 7515 section 5.2, RFC 7518 section 3.3).

    Raises:
        SignatureInvalidError: it is not a signature of this key, or not of its length (RFC 8017 section 8.2.2).
    """
    signature = unverified.signature
    if len(signature) != key.signature_bytes or not _RS256.verify(unverified.signing_input, key.public_key, signature):
        raise SignatureInvalidError("The signature of the token does not match")
