"""A key that a token brings along is never used."""

import pytest

from farseal.errors import SignatureInvalidError
from farseal.jwks import parse_jwks
from farseal.status_list import StatusPolicy
from farseal.trust import AgeLimits, IssuerTrust, TrustSnapshot
from farseal.verify import Expectations, Verifier
from tests.support.tokens import ISSUER, NOTES, Issuer, compact_json, jwk, private_key, sign

NOW = 1_800_000_000
EVIL = private_key("evil")
BROUGHT = {
    "jwk": jwk(EVIL, "first"),
    "jku": "https://evil.example/jwks.json",
    "x5u": "https://evil.example/chain.pem",
    "x5c": ["MIIB"],
    "x5t": "c2hhMQ",
    "x5t#S256": "c2hhMjU2",
}


@pytest.mark.parametrize("member", BROUGHT)
def test_a_key_in_the_header_changes_nothing(member) -> None:
    """Signed by the key that it brings, a token is refused; signed by the published key, it is honoured still."""
    issuer = Issuer(now=NOW)
    trust = IssuerTrust(ISSUER, parse_jwks(issuer.jwks()).keys, NOW, AgeLimits())
    snapshot = TrustSnapshot().with_issuer(trust)
    verifier = Verifier(Expectations(audience=NOTES, issuers=frozenset({ISSUER}), status=StatusPolicy.OFF))
    header = {member: BROUGHT[member]}

    forged = sign(compact_json(issuer.header(**header)), compact_json(issuer.claims()), EVIL)
    with pytest.raises(SignatureInvalidError):
        verifier.verify(forged, snapshot, now=NOW)
    assert verifier.verify(issuer.mint(header=header), snapshot, now=NOW).client_id == "login"
