"""What an access token says (RFC 9068 section 2.2), and how it is spelled."""

from typing import Any

import msgspec
import pytest

from auth_server.grants.grant import Grant
from auth_server.keys.custody import LocalKey
from auth_server.keys.generation import generate
from auth_server.keys.signer import Signer
from auth_server.status.entry import StatusEntry
from auth_server.tokens.claims import ReservedClaimError, access_token_payload
from auth_server.tokens.issuer import TokenIssuer
from farseal.encoding import b64url_decode
from farseal.vocabulary import REGISTERED_CLAIMS

NOW = 1_790_000_000
ISSUER = "https://auth.example"
LIST = f"{ISSUER}/.well-known/status/AAAAAAAAAAAAAAAA.jwt"


def grant(**changes: Any) -> Grant:
    said: dict[str, Any] = {
        "subject": "6b1f0d5e-3c1f-4b8a-9f0e-1d2c3b4a5968",
        "client_id": "login",
        "audience": ("https://notes.example",),
        "scopes": ("notes:read", "notes:write"),
        "roles": ("analyst",),
        "claims": {"org_id": "acme"},
        "auth_time": NOW - 5,
        "access_token_seconds": None,
        "session_id": "f8c1a8c0-5f0e-4c5d-9a51-0d5f6a1f2c3b",
        "status": StatusEntry("A" * 16, 7, LIST),
        "deadline": NOW + 86400,
    }
    return Grant(**said | changes)


def payload(**changes: Any) -> dict[str, Any]:
    return access_token_payload(grant(**changes), issuer=ISSUER, now=NOW, lifetime=300, jti="j")


def test_a_person_gets_every_claim_of_the_profile() -> None:
    """Required claims, and those that are known of a login."""
    assert payload() == {
        "iss": ISSUER,
        "sub": "6b1f0d5e-3c1f-4b8a-9f0e-1d2c3b4a5968",
        "aud": "https://notes.example",
        "exp": NOW + 300,
        "iat": NOW,
        "jti": "j",
        "client_id": "login",
        "scope": "notes:read notes:write",
        "roles": ["analyst"],
        "auth_time": NOW - 5,
        "sid": "f8c1a8c0-5f0e-4c5d-9a51-0d5f6a1f2c3b",
        "status": {"status_list": {"idx": 7, "uri": LIST}},
        "org_id": "acme",
    }


def test_what_was_not_granted_is_not_said() -> None:
    """A client without scopes gets the required claims and nothing else."""
    said = payload(subject="batch", client_id="batch", scopes=(), roles=(), claims={}, auth_time=None)
    assert set(said) == {"iss", "sub", "aud", "exp", "iat", "jti", "client_id", "sid", "status"}


def test_several_audiences_are_a_list_and_one_is_a_string() -> None:
    """RFC 7519 section 4.1.3 allows both; the one string is what most readers expect."""
    assert payload()["aud"] == "https://notes.example"
    assert payload(audience=("https://a", "https://b"))["aud"] == ["https://a", "https://b"]


@pytest.mark.parametrize("claim", sorted(REGISTERED_CLAIMS))
def test_an_attribute_never_speaks_as_a_registered_claim(claim: str) -> None:
    """An attribute of a user must not become a scope, a role or another subject."""
    with pytest.raises(ReservedClaimError, match=claim):
        payload(claims={"org_id": "acme", claim: "x"})


def test_a_token_names_an_audience_and_lives_a_while() -> None:
    """Neither a token for nobody nor one that is dead when it is born."""
    with pytest.raises(ValueError, match="audience"):
        payload(audience=())
    with pytest.raises(ValueError, match="second"):
        access_token_payload(grant(), issuer=ISSUER, now=NOW, lifetime=0, jti="j")


@pytest.fixture(scope="module")
def key() -> LocalKey:
    return LocalKey("the-kid", generate(2048))


async def test_tokens_are_told_apart_and_spelled_canonically(key: LocalKey) -> None:
    """Every jti is new and of 128 bits or more; encoding the decoded payload again gives the same bytes."""
    signer = Signer(threads=1)
    issuer = TokenIssuer(signer, lambda: key, issuer=ISSUER, lifetime=300, longest=3600)
    try:
        tokens = [await issuer.issue(grant(claims={"org": "Zoë & Söhne", "n": [1, 2.5, None]}), now=NOW) for _ in "ab"]
    finally:
        signer.close()
    assert tokens[0].token_id != tokens[1].token_id
    for token in tokens:
        raw = b64url_decode(token.access_token.split(".")[1])
        said = msgspec.json.decode(raw)
        assert said["jti"] == token.token_id
        assert len(b64url_decode(said["jti"])) * 8 >= 128
        assert msgspec.json.encode(said) == raw
        assert "Zoë".encode() in raw


@pytest.mark.parametrize(
    ("of_client", "left", "lifetime"),
    [
        pytest.param(None, 86400, 300, id="of-the-server"),
        pytest.param(60, 86400, 60, id="of-the-client"),
        pytest.param(7200, 86400, 3600, id="cut-down-to-the-longest"),
        pytest.param(None, 301, 300, id="the-session-ends-a-second-later"),
        pytest.param(None, 299, 299, id="the-session-ends-before"),
        pytest.param(7200, 1, 1, id="the-session-has-a-second-left"),
    ],
)
async def test_a_client_may_have_a_lifetime_of_its_own(
    key: LocalKey, of_client: int | None, left: int, lifetime: int
) -> None:
    """``expires_in`` and ``exp`` say the same, and no token outlives its session."""
    signer = Signer(threads=1)
    try:
        issuer = TokenIssuer(signer, lambda: key, issuer=ISSUER, lifetime=300, longest=3600)
        token = await issuer.issue(grant(access_token_seconds=of_client, deadline=NOW + left), now=NOW)
    finally:
        signer.close()
    assert token.expires_in == lifetime
    assert msgspec.json.decode(b64url_decode(token.access_token.split(".")[1]))["exp"] == NOW + lifetime


async def test_the_answer_has_the_members_of_rfc_6749(key: LocalKey) -> None:
    """Scope is told, because it may differ from what was asked (section 3.3); without any it is left out."""
    signer = Signer(threads=1)
    try:
        issuer = TokenIssuer(signer, lambda: key, issuer=ISSUER, lifetime=300, longest=3600)
        with_scope = await issuer.issue(grant(), now=NOW)
        without = await issuer.issue(grant(scopes=()), now=NOW)
        refreshable = await issuer.issue(grant(), now=NOW, refresh_token="fsr_secret")
    finally:
        signer.close()
    assert with_scope.body() == {
        "access_token": with_scope.access_token,
        "token_type": "Bearer",
        "expires_in": 300,
        "scope": "notes:read notes:write",
    }
    assert "scope" not in without.body()
    assert with_scope.access_token not in repr(with_scope)
    assert refreshable.body()["refresh_token"] == "fsr_secret"
    assert "fsr_secret" not in repr(refreshable)
