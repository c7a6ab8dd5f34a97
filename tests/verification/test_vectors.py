"""Every vector under tests/vectors has the outcome that it states."""

import base64
import json
from pathlib import Path

import pytest

from farseal.encoding import EncodingError, b64url_decode, b64url_encode, parse_json
from farseal.errors import TrustUnavailableError, VerificationError
from farseal.jwks import KeySetError, parse_jwks
from farseal.status_list import read_status_list
from farseal.trust import IssuerTrust, TrustSnapshot
from farseal.verify import Expectations, Verifier

VECTORS = Path(__file__).parent.parent / "vectors"


def load(name: str) -> dict:
    return json.loads((VECTORS / name).read_text())


def rows(document: dict) -> list:
    return [pytest.param(vector, id=ascii(vector["name"])) for vector in document["vectors"]]


TOKENS = load("tokens.json")
VERIFIER = Verifier(Expectations(TOKENS["audience"], frozenset({TOKENS["issuer"]}), leeway=TOKENS["leeway"]))
KEYS = parse_jwks(json.dumps(TOKENS["jwks"]).encode())
LISTS = {
    uri: read_status_list(
        document.encode(), uri, issuer=TOKENS["issuer"], keys=KEYS.keys, now=TOKENS["vectors"][0]["now"]
    )
    for uri, document in TOKENS["status_lists"].items()
}


@pytest.mark.parametrize("vector", rows(TOKENS))
@pytest.mark.parametrize("form", [str, str.encode], ids=["str", "bytes"])
def test_a_token_is_honoured_or_refused_with_the_code_stated(vector, form) -> None:
    """The code is stable, and the message says nothing that the sender wrote."""
    snapshot = TrustSnapshot().with_issuer(
        IssuerTrust(TOKENS["issuer"], KEYS.keys, vector["now"], revoked=KEYS.revoked, lists=LISTS)
    )
    try:
        claims = VERIFIER.verify(form(vector["token"]), snapshot, now=vector["now"])
    except (VerificationError, TrustUnavailableError) as error:
        outcome = error.code
        assert str(error).isascii()
        assert '"' not in str(error)
        assert "\\" not in str(error)
        for part in vector["token"].split("."):
            assert len(part) < 8 or part not in str(error)
    else:
        outcome = "honoured"
        assert claims.issuer == TOKENS["issuer"]
    assert outcome == vector["outcome"]


@pytest.mark.parametrize("vector", rows(load("base64url.json")))
def test_base64url_has_one_spelling(vector) -> None:
    """A text either is the canonical spelling of its bytes or means nothing (RFC 7515 section 2)."""
    if vector["hex"] is None:
        with pytest.raises(EncodingError):
            b64url_decode(vector["text"])
    else:
        assert b64url_decode(vector["text"]).hex() == vector["hex"]
        assert b64url_encode(bytes.fromhex(vector["hex"])) == vector["text"]


@pytest.mark.parametrize("vector", rows(load("json.json")))
def test_json_has_one_reading(vector) -> None:
    """What two parsers could read differently is refused (RFC 8725 section 3.7)."""
    data = base64.b64decode(vector["base64"])
    if vector["outcome"] == "refused":
        with pytest.raises(EncodingError):
            parse_json(data, max_depth=16)
    else:
        assert parse_json(data, max_depth=16) == json.loads(data)


@pytest.mark.parametrize("vector", rows(load("jwks.json")))
def test_a_bad_key_is_skipped_and_the_others_stay(vector) -> None:
    """Which keys are used and which are left out, with a reason, for each set (RFC 7517); what it says of itself."""
    data = json.dumps(vector["jwks"]).encode()
    if vector.get("refused"):
        with pytest.raises(KeySetError):
            parse_jwks(data)
        return
    keys = parse_jwks(data)
    if "sequence" in vector:
        assert (sorted(keys.revoked), keys.sequence) == (vector["revoked"], vector["sequence"])
        assert keys.issuer == vector["issuer"]
    assert sorted(keys.keys) == vector["usable"]
    assert [[entry.position, entry.kid, entry.reason] for entry in keys.skipped] == vector["skipped"]
