"""What the issuer in containers reads of what its commands print. The rest of it is held by tests/system."""

import pytest

from farseal_testing.compose import ComposeError
from farseal_testing.container_issuer import token_in
from farseal_testing.issuer import Issuer


@pytest.mark.parametrize("last", ["A", "-", "_", "7"])
def test_a_token_is_read_to_its_last_character(last: str) -> None:
    """One of 64 signatures of 3072 bits ends in a hyphen, which is no letter of a word."""
    token = f"eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhIn0.c2ln-_{last}"
    assert token_in(f"{token}\n") == token
    assert token_in(f"Signed, for alice: {token} (60 s)") == token


def test_a_token_of_an_issuer_is_found_whole(farseal_issuer: Issuer) -> None:
    token = farseal_issuer.mint("https://orders.example")
    assert token_in(f"{token}\n") == token


def test_what_holds_no_token_is_told() -> None:
    with pytest.raises(ComposeError, match="printed no token"):
        token_in("no such person\n")
