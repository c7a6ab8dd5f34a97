"""What a public key says of itself, and which private keys are signed with."""

import hashlib
import json
import time
from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_private_key,
)

from auth_server.keys.generation import PUBLIC_EXPONENT, KeyMaterialError, from_der, generate, to_der
from auth_server.keys.public_key import PublicKey
from farseal.encoding import b64url_decode, b64url_encode


@pytest.fixture(scope="module")
def key() -> rsa.RSAPrivateKey:
    return generate(2048)


def test_the_kid_is_the_thumbprint_of_rfc_7638() -> None:
    """The example of RFC 7638 section 3.1 gives the thumbprint of the RFC."""
    example = PublicKey(
        n="0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiF"
        "V4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9"
        "c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1"
        "jF44-csFCur-kEgU8awapJzKnqDKgw",
        e="AQAB",
    )
    assert example.kid == "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"


def test_a_published_key_holds_no_private_member(key: rsa.RSAPrivateKey) -> None:
    """Exactly the members of an RS256 signature key, canonical base64url, and the kid of its own content."""
    public = PublicKey.of(key.public_key())
    members = public.jwk()
    assert set(members) == {"kty", "use", "alg", "kid", "n", "e"}
    assert (members["kty"], members["use"], members["alg"], members["e"]) == ("RSA", "sig", "RS256", "AQAB")
    assert int.from_bytes(b64url_decode(members["n"])) == key.public_key().public_numbers().n
    canonical = json.dumps({k: members[k] for k in ("e", "kty", "n")}, separators=(",", ":"), sort_keys=True)
    assert members["kid"] == public.kid == b64url_encode(hashlib.sha256(canonical.encode()).digest())


def test_a_generated_key_survives_its_way_to_bytes(key: rsa.RSAPrivateKey) -> None:
    """Size, exponent and identity are those that were generated."""
    again = from_der(to_der(key))
    assert again.key_size == 2048
    assert again.public_key().public_numbers().e == PUBLIC_EXPONENT == 65537
    assert PublicKey.of(again.public_key()) == PublicKey.of(key.public_key())


def _der(private: "rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey") -> bytes:
    return private.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())


@pytest.mark.parametrize(
    ("der", "says"),
    [
        pytest.param(b"", "PKCS #8", id="empty"),
        pytest.param(b"\x30\x03\x02\x01\x00", "PKCS #8", id="not-a-key"),
        pytest.param(_der(ec.generate_private_key(ec.SECP256R1())), "not an RSA key", id="elliptic"),
        pytest.param(_der(rsa.generate_private_key(65537, 1024)), "size or exponent", id="short"),  # noqa: S505 - it must be refused
        pytest.param(_der(rsa.generate_private_key(3, 2048)), "size or exponent", id="exponent-3"),
    ],
)
def test_a_key_that_verifiers_refuse_is_never_signed_with(der: bytes, says: str) -> None:
    """Checked when a key is loaded, so that no token is born that nobody accepts."""
    with pytest.raises(KeyMaterialError, match=says):
        from_der(der)


def _altered(private: rsa.RSAPrivateKey, **changes: int) -> bytes:
    """The key with some of its numbers changed, as PKCS #8: DER that OpenSSL reads without a word."""
    numbers = private.private_numbers()
    names = ("p", "q", "d", "dmp1", "dmq1", "iqmp")
    changed = rsa.RSAPrivateNumbers(
        **{name: changes.get(name, getattr(numbers, name)) for name in names}, public_numbers=numbers.public_numbers
    )
    return _der(changed.private_key(unsafe_skip_rsa_key_validation=True))


@pytest.mark.parametrize("number", ["d", "dmp1", "dmq1", "iqmp"])
def test_a_key_whose_numbers_do_not_belong_together_never_signs(key: rsa.RSAPrivateKey, number: str) -> None:
    """One signature made with a wrong exponent or coefficient is enough to compute the private key from."""
    altered = _altered(key, **{number: getattr(key.private_numbers(), number) ^ 4})
    with pytest.raises(KeyMaterialError, match="do not belong together"):
        from_der(altered)


def test_the_factors_are_those_of_the_modulus(key: rsa.RSAPrivateKey) -> None:
    """The public half is what verifiers hold; another key's factors sign nothing that they accept."""
    mine, others = (one.public_key().public_numbers().n.to_bytes(256) for one in (key, generate(2048)))
    with pytest.raises(KeyMaterialError, match="do not belong together"):
        from_der(to_der(key).replace(mine, others))


def test_reading_a_key_does_not_prove_its_factors_prime_again(key: rsa.RSAPrivateKey) -> None:
    """The proof holds the interpreter's lock for as long as it runs (0.1 s at 2048 bits, 1 s at 4096), and requests
    wait. Measured in time of this thread alone; without the proof it takes a thousandth."""
    der = to_der(key)

    def seconds(read: Callable[[], object]) -> float:
        began = time.thread_time()
        read()
        return time.thread_time() - began

    proved = min(seconds(lambda: load_der_private_key(der, password=None)) for _ in range(2))
    assert min(seconds(lambda: from_der(der)) for _ in range(3)) < proved / 10
