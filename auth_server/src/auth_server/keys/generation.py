"""New RSA keys, and their way to bytes and back. Slow on purpose: call these off the event loop."""

from typing import Final

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_private_key,
)

RSA_BITS: Final = (2048, 3072, 4096)
"""Sizes that may be chosen. NIST SP 800-57 gives 2048 bits until 2030; 4096 signs four times slower than 3072."""

PUBLIC_EXPONENT: Final = 65537


class KeyMaterialError(Exception):
    """The bytes are not an RSA private key that this server may sign with. Never quotes them."""


def generate(bits: int) -> rsa.RSAPrivateKey:
    """A new key of ``bits``, one of `RSA_BITS`. Takes from a tenth of a second to several seconds."""
    return rsa.generate_private_key(public_exponent=PUBLIC_EXPONENT, key_size=bits)


def to_der(key: rsa.RSAPrivateKey) -> bytes:
    """PKCS #8, unencrypted: to be sealed at once."""
    return key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())


def from_der(der: bytes) -> rsa.RSAPrivateKey:
    """Read a key that `to_der` wrote and that a seal has kept from changes since.

    Its numbers are held against each other: a wrong one in the Chinese remainder part would give away the key with
    the first signature (Boneh, DeMillo and Lipton). That the factors are prime is not proved again. OpenSSL would, and
    keep the interpreter's lock for half a second at 3072 bits, in whatever thread: no request would be served.

    Raises:
        KeyMaterialError: not PKCS #8, not RSA, not of a size and exponent that verifiers take, or inconsistent.
    """
    try:
        key = load_der_private_key(der, password=None, unsafe_skip_rsa_key_validation=True)
    except (ValueError, TypeError) as error:
        raise KeyMaterialError("not a PKCS #8 private key") from error
    return check(key)


def check(key: object) -> rsa.RSAPrivateKey:
    """The same key, if this server may sign with it.

    Raises:
        KeyMaterialError: not RSA, not of a size and exponent that verifiers take, or inconsistent.
    """
    if not isinstance(key, rsa.RSAPrivateKey):
        raise KeyMaterialError("not an RSA key")
    if key.key_size not in RSA_BITS or key.public_key().public_numbers().e != PUBLIC_EXPONENT:
        raise KeyMaterialError("an RSA key of a size or exponent that verifiers refuse")
    if not _is_consistent(key.private_numbers()):
        raise KeyMaterialError("an RSA key whose numbers do not belong together")
    return key


def _is_consistent(numbers: rsa.RSAPrivateNumbers) -> bool:
    p, q, d, public = numbers.p, numbers.q, numbers.d, numbers.public_numbers
    return (
        min(p, q) > 2
        and p * q == public.n
        and d * public.e % (p - 1) == 1
        and d * public.e % (q - 1) == 1
        and numbers.dmp1 == d % (p - 1)
        and numbers.dmq1 == d % (q - 1)
        and numbers.iqmp * q % p == 1
    )
