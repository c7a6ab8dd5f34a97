"""Private keys at rest, and the file of the key that seals them."""

import base64
import os
from pathlib import Path

import pytest

from auth_server.keys.sealing import (
    Kek,
    KekError,
    SealError,
    WrongKekError,
    exposure,
    read_kek,
    seal,
    unseal,
)

SECRET = bytes(range(200, 232))
KEK = Kek(SECRET)
KID = "k" * 43
PRIVATE = b"a private key"


def test_a_sealed_key_opens_under_its_kek_and_kid() -> None:
    """What was sealed comes back byte for byte."""
    assert unseal(seal(PRIVATE, kek=KEK, kid=KID), keks=(KEK,), kid=KID) == PRIVATE


def test_no_two_seals_are_equal() -> None:
    """The nonce is fresh for every seal, or GCM would give the key away."""
    assert len({seal(PRIVATE, kek=KEK, kid=KID) for _ in range(50)}) == 50


def test_the_sealed_bytes_do_not_hold_the_key() -> None:
    """A copy of the database is worth nothing without the KEK."""
    assert PRIVATE not in seal(PRIVATE, kek=KEK, kid=KID)


def test_every_altered_byte_is_noticed() -> None:
    """Header, kek id, nonce, ciphertext and tag are all authenticated."""
    sealed = seal(PRIVATE, kek=KEK, kid=KID)
    for position in range(len(sealed)):
        altered = bytearray(sealed)
        altered[position] ^= 1
        with pytest.raises(SealError):
            unseal(bytes(altered), keks=(KEK,), kid=KID)


@pytest.mark.parametrize("length", [0, 3, 4, 12, 23, 24, 25, -1])
def test_a_cut_seal_is_refused(length: int) -> None:
    """No length of prefix opens, and none escapes as another error."""
    with pytest.raises(SealError):
        unseal(seal(PRIVATE, kek=KEK, kid=KID)[:length], keks=(KEK,), kid=KID)


def test_a_seal_of_another_kid_is_refused() -> None:
    """A row cannot be given the private key of another row."""
    with pytest.raises(SealError, match="belongs to another kid"):
        unseal(seal(PRIVATE, kek=KEK, kid=KID), keks=(KEK,), kid="j" * 43)


def test_a_wrong_kek_is_named_by_its_id() -> None:
    """The operator learns which KEK is wanted; the text holds no key."""
    other = Kek(os.urandom(32))
    with pytest.raises(WrongKekError, match=f"under KEK {KEK.id}, the given one is {other.id}"):
        unseal(seal(PRIVATE, kek=KEK, kid=KID), keks=(other,), kid=KID)


def test_a_kek_shows_its_id_and_nothing_else() -> None:
    """A KEK in a log line or traceback gives nothing away."""
    assert repr(KEK) == f"Kek(id='{KEK.id}')"
    assert KEK.id not in SECRET.hex()


@pytest.mark.parametrize("secret", [b"", SECRET[:31], SECRET + b"x"], ids=["empty", "short", "long"])
def test_a_kek_has_one_length(secret: bytes) -> None:
    """256 bits, no more and no less."""
    with pytest.raises(ValueError, match="32 bytes"):
        Kek(secret)


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(SECRET, id="raw"),
        pytest.param(SECRET.hex().encode(), id="hex"),
        pytest.param(SECRET.hex().upper().encode() + b"\n", id="upper-hex-with-newline"),
        pytest.param(base64.urlsafe_b64encode(SECRET).rstrip(b"="), id="base64url"),
        pytest.param(base64.urlsafe_b64encode(SECRET) + b"\r\n", id="padded-base64url-with-newline"),
        pytest.param(base64.b64encode(SECRET) + b"\n", id="standard-base64"),
    ],
)
def test_a_kek_file_may_hold_any_documented_form(tmp_path: Path, content: bytes) -> None:
    """What openssl rand, xxd or a secret store writes is taken as it is."""
    path = tmp_path / "kek"
    path.write_bytes(content)
    assert read_kek(path).secret == SECRET


@pytest.mark.parametrize(
    ("content", "says"),
    [
        pytest.param(b"", "0 bytes", id="empty"),
        pytest.param(SECRET[:31], "31 bytes", id="short"),
        pytest.param(SECRET + b"\n", "33 bytes", id="raw-and-a-newline"),
        pytest.param(b"correct horse battery staple 123", "32 bytes", id="pass-phrase"),
        pytest.param(b"correct horse battery staple 12\n", "32 bytes", id="pass-phrase-and-newline"),
        pytest.param(SECRET.hex().encode()[:-1] + b"g", "64 bytes", id="not-hex"),
        pytest.param(b"\xff" * 43, "43 bytes", id="not-text"),
        pytest.param(b"A" * 2000, "over 1024 bytes", id="huge"),
        pytest.param(b"A" * 43, "all bytes are equal", id="zeros"),
    ],
)
def test_a_bad_kek_file_is_named_and_not_quoted(tmp_path: Path, content: bytes, says: str) -> None:
    """The message names the file and what is wrong with it, never the content."""
    path = tmp_path / "kek"
    path.write_bytes(content)
    with pytest.raises(KekError, match=says) as caught:
        read_kek(path)
    assert str(path) in str(caught.value)
    assert not content or content.decode("latin-1").strip() not in str(caught.value)


def test_a_missing_kek_file_is_named(tmp_path: Path) -> None:
    """A path that leads nowhere is an error of the KEK, not of the program."""
    with pytest.raises(KekError, match="No such file"):
        read_kek(tmp_path / "absent")
    with pytest.raises(KekError, match="directory"):
        read_kek(tmp_path)


@pytest.mark.parametrize(
    ("mode", "warned"),
    [
        pytest.param(0o600, False, id="owner-only"),
        pytest.param(0o400, False, id="read-only"),
        pytest.param(0o640, True, id="group-reads"),
        pytest.param(0o604, True, id="world-reads"),
        pytest.param(0o622, True, id="others-write"),
    ],
)
def test_a_kek_that_others_can_read_is_warned_about(tmp_path: Path, mode: int, warned: bool) -> None:
    """Anybody who can read the KEK can open every sealed key."""
    path = tmp_path / "kek"
    path.write_bytes(SECRET)
    path.chmod(mode)
    warning = exposure(path)
    assert (warning is not None) is warned
    assert warning is None or (str(path) in warning and f"{mode:04o}" in warning)
