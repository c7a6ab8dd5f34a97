"""The tour's forgeries are what they say, and a verifier tells them apart from honest tokens."""

import json

import pytest

from demo.tour import attacks
from farseal.errors import VerificationError
from farseal.jwks import parse_jwks
from farseal.status_list import StatusPolicy
from farseal.trust import IssuerTrust, TrustSnapshot
from farseal.verify import Expectations, Verifier
from farseal_testing import forge
from tests.support.tokens import ISSUER, NOTES, REPORTS, Issuer

NOW = 1_800_000_000


@pytest.fixture
def issuer() -> Issuer:
    return Issuer(now=NOW)


def judged(issuer: Issuer, token: str, *, now: int = NOW) -> str:
    """The code of the refusal, or nothing."""
    snapshot = TrustSnapshot().with_issuer(IssuerTrust(ISSUER, parse_jwks(issuer.jwks()).keys, NOW))
    try:
        Verifier(Expectations(NOTES, frozenset({ISSUER}), status=StatusPolicy.OFF, leeway=2)).verify(
            token, snapshot, now=now
        )
    except VerificationError as error:
        return error.code
    return ""


def test_the_forgeries_are_refused_for_the_reason_the_tour_expects(issuer: Issuer) -> None:
    """Each reaches the check it aims at; an attack refused by accident proves nothing about that check."""
    honest = issuer.mint()
    assert judged(issuer, honest) == ""
    made = attacks.forgeries(honest, json.loads(issuer.jwks()))
    made["audience of another service"] = issuer.mint(aud=REPORTS)
    got = {name: judged(issuer, token) for name, token in made.items()}
    assert got | {"expired": judged(issuer, honest, now=NOW + 302)} == attacks.EXPECTED


def test_random_kids_are_unknown(issuer: Issuer) -> None:
    """And no two are alike: a cache of refusals would not help against them."""
    kids = {forge.random_kid() for _ in range(100)}
    assert len(kids) == 100
    for kid in kids:
        assert judged(issuer, forge.altered(issuer.mint(), header={"kid": kid})) == attacks.FLOOD_CODE
