"""Secrets of clients."""

import hashlib
import re

import pytest

from auth_server.accounts import client_secrets


def test_a_secret_is_made_of_256_bits_and_is_recognisable() -> None:
    """Secrets carry a prefix for leak scanners and 43 characters of base64url, and no two are alike."""
    made = {client_secrets.new_secret() for _ in range(100)}
    assert len(made) == 100
    assert all(re.fullmatch(r"fsc_[A-Za-z0-9_-]{43}", secret) for secret in made)


def test_only_the_sha256_is_stored() -> None:
    """What is stored is the SHA-256 of the whole text, prefix included."""
    assert client_secrets.hash_secret("fsc_x") == hashlib.sha256(b"fsc_x").digest()


SECRET = client_secrets.new_secret()


@pytest.mark.parametrize(
    ("presented", "stored", "verdict"),
    [
        pytest.param(SECRET, client_secrets.hash_secret(SECRET), True, id="right"),
        pytest.param(SECRET + "x", client_secrets.hash_secret(SECRET), False, id="longer"),
        pytest.param(SECRET.upper(), client_secrets.hash_secret(SECRET), False, id="other-case"),
        pytest.param("", client_secrets.hash_secret(SECRET), False, id="empty"),
        pytest.param(SECRET, None, False, id="no-secret-set"),
        pytest.param("", None, False, id="no-secret-set-and-none-given"),
        pytest.param("\ud800\0", None, False, id="surrogate-and-nul"),
    ],
)
def test_a_secret_matches_its_own_hash_alone(presented, stored, verdict) -> None:
    """Nothing but the very secret matches, and no secret at all matches nothing."""
    assert client_secrets.matches(presented, stored) is verdict
