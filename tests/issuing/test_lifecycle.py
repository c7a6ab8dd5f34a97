"""Which keys a working issuer has, and what a public key says of itself."""

import hashlib
import json

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from auth_server.keys.generation import PUBLIC_EXPONENT, KeyMaterialError, from_der, generate, to_der
from auth_server.keys.lifecycle import KeyState, missing
from auth_server.keys.public_key import PublicKey
from farseal.encoding import b64url_decode, b64url_encode

ANNOUNCED, ACTIVE = KeyState.ANNOUNCED, KeyState.ACTIVE


@pytest.fixture(scope="module")
def key() -> rsa.RSAPrivateKey:
    return generate(2048)


@pytest.mark.parametrize(
    ("present", "made"),
    [
        pytest.param([], (ACTIVE, ANNOUNCED), id="empty-database"),
        pytest.param([ACTIVE], (ANNOUNCED,), id="nothing-announced"),
        pytest.param([ANNOUNCED], (ACTIVE,), id="nothing-active"),
        pytest.param([ACTIVE, ANNOUNCED], (), id="complete"),
        pytest.param([ACTIVE, ANNOUNCED, ANNOUNCED], (), id="more-than-needed"),
    ],
)
def test_one_key_signs_and_one_is_announced(present: list[KeyState], made: tuple[KeyState, ...]) -> None:
    """Only what is missing is made, the signing key first."""
    assert missing(present) == made


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
