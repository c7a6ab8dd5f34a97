"""How refresh tokens are spelled, and who can make one."""

import re
import string
import uuid

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from auth_server.grants import refresh_tokens
from auth_server.grants.refresh_tokens import CHARACTERS, RefreshToken, derive, is_genuine, parse, rebuild
from auth_server.keys.sealing import Kek, pepper_of

ID = uuid.UUID("0f8fad5b-d9cb-469f-a165-70867728950e")
NONCE, PEPPER, OTHER = bytes(range(32)), b"\x01" * 32, b"\x02" * 32
TOKEN = derive(PEPPER, NONCE, ID, 7)
ANYTHING = string.ascii_letters + string.digits + string.punctuation + " "


def test_a_token_says_its_session_and_generation_and_nothing_else_that_can_be_read() -> None:
    """One length, a prefix that scanners can match, and the text is in no repr."""
    assert parse(TOKEN.text) == TOKEN == RefreshToken(ID, 7, TOKEN.text)
    assert re.fullmatch(r"fsr_[A-Za-z0-9_-]{76}", TOKEN.text)
    assert len(TOKEN.text) == CHARACTERS == 80
    assert TOKEN.text not in repr(TOKEN)
    assert len(TOKEN.digest) == 32


@given(st.binary(min_size=32, max_size=32), st.uuids(), st.integers(0, refresh_tokens.MAX_GENERATION))
@example(bytes(32), uuid.UUID(int=0), refresh_tokens.MAX_GENERATION)
def test_every_token_that_is_made_is_read_back(nonce: bytes, session_id: uuid.UUID, generation: int) -> None:
    """Whatever the session, the nonce and the generation are."""
    made = derive(PEPPER, nonce, session_id, generation)
    assert parse(made.text) == made
    assert is_genuine(made, [OTHER, PEPPER], nonce)


def test_every_slip_in_one_character_is_noticed() -> None:
    """All 80 places, all printable characters: nothing of it reaches the database."""
    for place, right in enumerate(TOKEN.text):
        for wrong in ANYTHING:
            if wrong != right:
                assert parse(TOKEN.text[:place] + wrong + TOKEN.text[place + 1 :]) is None


def test_every_swap_of_two_neighbours_is_noticed() -> None:
    """The other slip that people make."""
    for place in range(CHARACTERS - 1):
        first, second = TOKEN.text[place : place + 2]
        if first != second:
            assert parse(TOKEN.text[:place] + second + first + TOKEN.text[place + 2 :]) is None


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="nothing"),
        pytest.param(TOKEN.text[:-1], id="one-short"),
        pytest.param(TOKEN.text + "A", id="one-long"),
        pytest.param(TOKEN.text + "=", id="padded"),
        pytest.param(" " + TOKEN.text, id="space-before"),
        pytest.param(TOKEN.text + "\n", id="line-feed-after"),
        pytest.param(TOKEN.text[:-1] + "\n", id="line-feed-at-the-end"),
        pytest.param(TOKEN.text.upper(), id="upper-case"),
        pytest.param("FSR_" + TOKEN.text[4:], id="upper-case-prefix"),
        pytest.param(TOKEN.text.replace("_", "/").replace("-", "+"), id="standard-alphabet"),
        pytest.param("fsr_" + "é" * 76, id="not-ascii"),
        pytest.param("fsr_" + "\ud800" * 76, id="half-a-surrogate-pair"),
        pytest.param("\0" * 80, id="nul"),
        pytest.param("fsr_" + "A" * 76, id="zeros-without-their-checksum"),
        pytest.param("eyJhbGciOiJSUzI1NiJ9.e30.AAAA", id="an-access-token"),
    ],
)
def test_there_is_one_spelling(text: str) -> None:
    """Everything else is no token, and costs no query."""
    assert parse(text) is None


def test_stray_bits_are_refused_even_under_a_good_checksum() -> None:
    """The last character of the body has four bits that no byte owns."""
    body = TOKEN.text[:73]
    spellings = [
        candidate
        for last in string.ascii_letters + string.digits + "-_"
        if parse(candidate := body + last + refresh_tokens._checksum(body + last)) is not None
    ]
    assert len(spellings) == 4  # one for each value of the two bits that are the token's


def test_a_generation_that_no_column_holds_is_refused() -> None:
    """Spelled well, and no query is made with it."""
    assert parse(derive(PEPPER, NONCE, ID, refresh_tokens.MAX_GENERATION + 1).text) is None
    with pytest.raises(OverflowError):
        derive(PEPPER, NONCE, ID, 2**32)


@given(st.text(max_size=100))
def test_no_text_is_read_as_a_token_by_chance(text: str) -> None:
    """Nor does any raise."""
    assert parse(text) is None
    assert parse(("fsr_" + text)[:CHARACTERS]) is None


@pytest.mark.parametrize(
    ("pepper", "nonce", "session_id", "generation"),
    [
        pytest.param(OTHER, NONCE, ID, 7, id="another-pepper"),
        pytest.param(PEPPER, bytes(32), ID, 7, id="another-nonce"),
        pytest.param(PEPPER, NONCE, uuid.UUID(int=1), 7, id="another-session"),
        pytest.param(PEPPER, NONCE, ID, 6, id="the-generation-before"),
    ],
)
def test_no_part_can_be_missing_or_moved(pepper, nonce, session_id, generation) -> None:
    """The database without the pepper, the pepper without the database, or an old token make no token."""
    other = derive(pepper, nonce, session_id, generation)
    assert other.text != TOKEN.text
    assert other.text[32:74] != TOKEN.text[32:74]  # not even the secret alone
    claimed = RefreshToken(ID, 7, other.text)
    assert not is_genuine(claimed, [PEPPER], NONCE)


def test_the_good_token_is_made_again_from_its_digest() -> None:
    """Under whichever pepper it was made; without that one, not at all."""
    assert rebuild(TOKEN.digest, [OTHER, PEPPER], NONCE, ID, 7) == TOKEN
    assert rebuild(TOKEN.digest, [OTHER], NONCE, ID, 7) is None
    assert rebuild(TOKEN.digest, [PEPPER], NONCE, ID, 8) is None
    assert not is_genuine(TOKEN, [], NONCE)


def test_the_pepper_is_neither_the_kek_nor_its_id() -> None:
    """It is derived one way, the same at every replica, and differs for every KEK."""
    kek = Kek(b"k" * 31 + b"1")
    pepper = pepper_of(kek)
    assert pepper == pepper_of(Kek(kek.secret))
    assert pepper != pepper_of(Kek(b"k" * 31 + b"2"))
    assert len(pepper) == 32
    assert bytes.fromhex(kek.id) not in pepper
    assert pepper != kek.secret
