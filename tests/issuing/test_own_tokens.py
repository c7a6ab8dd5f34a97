"""Which tokens the auth server takes for its own: exactly those that it writes, of keys that are published."""

import hashlib
import hmac
from collections.abc import Callable, Mapping
from typing import Any
from uuid import UUID

import msgspec
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from auth_server.keys.custody import LocalKey
from auth_server.keys.generation import generate
from auth_server.keys.public_key import PublicKey
from auth_server.keys.signer import Signer
from auth_server.status.entry import StatusEntry
from auth_server.tokens.claims import access_token_payload
from auth_server.tokens.own import MAX_CHARACTERS, OwnToken, OwnTokens
from farseal.encoding import b64url_encode
from farseal.vocabulary import ACCESS_TOKEN_TYPE

ISSUER = "https://auth.example"
NOW = 1_800_000_000
SID = UUID("0190a0b0-c0d0-7000-8000-000000000001")


def local_key() -> LocalKey:
    private = generate(2048)
    return LocalKey(PublicKey.of(private.public_key()).kid, private)


ONE, TWO, STRANGER = local_key(), local_key(), local_key()


class SomeGrant:
    subject = "0190a0b0-c0d0-7000-8000-00000000000a"
    client_id = "login"
    audience = ("https://notes.example", "https://reports.example")
    scopes = ("notes:read", "notes:write")
    roles = ("analyst",)
    claims: Mapping[str, Any] = {"org_id": "acmé", "limits": {"a": [1, 2.5, None]}}
    auth_time = NOW
    session_id = str(SID)
    status = StatusEntry("l" * 16, 5, ISSUER + "/status/x.jwt")


def payload(**changes: Any) -> dict[str, Any]:
    said = access_token_payload(SomeGrant(), issuer=ISSUER, now=NOW, lifetime=300, jti="j")
    return {name: value for name, value in (said | changes).items() if value is not ...}


def own(*keys: LocalKey) -> OwnTokens:
    published = tuple(PublicKey.of(key.private.public_key()) for key in keys)
    return OwnTokens(lambda: published, issuer=ISSUER)


async def written(said: Mapping[str, Any], *, key: LocalKey = ONE, token_type: str = ACCESS_TOKEN_TYPE) -> str:
    """As the server itself writes tokens."""
    signer = Signer(threads=1)
    try:
        return await signer.sign(msgspec.json.encode(said), key, token_type=token_type)
    finally:
        signer.close()


def forged(header: bytes, body: bytes, *, key: LocalKey = ONE) -> str:
    """A good signature of a published key over whatever is given."""
    message = f"{b64url_encode(header)}.{b64url_encode(body)}"
    return f"{message}.{b64url_encode(key.sign(message.encode()))}"


async def test_what_the_server_writes_it_reads_back() -> None:
    """Every member that anything here asks for, whatever attributes of a user stand beside them."""
    found = own(ONE).read(await written(payload()))
    assert found == OwnToken(
        iss=ISSUER, sub=SomeGrant.subject, aud=SomeGrant.audience, exp=NOW + 300, iat=NOW, jti="j",
        client_id="login", sid=SID, scope="notes:read notes:write",
    )  # fmt: skip
    assert found.audience == SomeGrant.audience
    assert found.scopes == {"notes:read", "notes:write"}


async def test_one_audience_is_a_string_and_no_scope_is_none() -> None:
    found = own(ONE).read(await written(payload(aud="https://notes.example", scope=...)))
    assert found is not None
    assert found.audience == ("https://notes.example",)
    assert found.scopes == frozenset()


@pytest.mark.parametrize(
    ("now", "expired"),
    [
        pytest.param(NOW + 299, False, id="a-second-left"),
        pytest.param(NOW + 300, True, id="boundary-is-expired"),
        pytest.param(NOW + 301, True, id="after"),
    ],
)
async def test_exp_decides_when_an_own_token_dies(now: int, expired: bool) -> None:
    """At exp, by the clock that set it: no leeway (RFC 7519 section 4.1.4). It is read back all the same."""
    found = own(ONE).read(await written(payload()))
    assert found is not None
    assert found.has_expired(now) is expired


async def test_every_published_key_is_known_and_no_other() -> None:
    """Announced, active or retiring: what is published may have signed. What is gone, revoked or a stranger's not."""
    tokens = {key.kid: await written(payload(), key=key) for key in (ONE, TWO, STRANGER)}
    both = own(ONE, TWO)
    assert both.read(tokens[ONE.kid]) is not None
    assert both.read(tokens[TWO.kid]) is not None
    assert both.read(tokens[STRANGER.kid]) is None
    assert own().read(tokens[ONE.kid]) is None


async def test_a_key_that_is_withdrawn_is_unknown_at_once() -> None:
    """The keys are asked for at every token: nothing remembers one that is not published any more."""
    published = [PublicKey.of(key.private.public_key()) for key in (ONE, TWO)]
    reader = OwnTokens(lambda: tuple(published), issuer=ISSUER)
    token = await written(payload(), key=ONE)
    assert reader.read(token) is not None
    revoked = published.pop(0)
    assert reader.read(token) is None
    published.append(revoked)
    assert reader.read(token) is not None


def header(**changes: Any) -> bytes:
    return msgspec.json.encode({"alg": "RS256", "kid": ONE.kid, "typ": "at+jwt"} | changes)


BODY = msgspec.json.encode(payload())
GOOD = forged(header(), BODY)
HEAD, MIDDLE, SIGNATURE = GOOD.split(".")
PEM = ONE.private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def hmac_with_the_public_key() -> str:
    message = f"{b64url_encode(header(alg='HS256'))}.{MIDDLE}"
    return f"{message}.{b64url_encode(hmac.digest(PEM, message.encode(), hashlib.sha256))}"


def flipped(text: str, place: int) -> str:
    other = "B" if text[place] == "A" else "A"
    return text[:place] + other + text[place + 1 :]


def stray_bits(text: str) -> str:
    """Another spelling of the same bytes, for a decoder that does not look at the bits that no byte owns."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    last = alphabet[alphabet.index(text[-1]) | 1]
    assert last != text[-1]
    return text[:-1] + last


HOSTILE: dict[str, Callable[[], str]] = {
    "nothing": lambda: "",
    "dots": lambda: "..",
    "two-parts": lambda: f"{HEAD}.{MIDDLE}",
    "four-parts": lambda: GOOD + ".x",
    "jwe": lambda: f"{HEAD}.{MIDDLE}.{SIGNATURE}.x.y",
    "alg-none": lambda: f"{b64url_encode(header(alg='none'))}.{MIDDLE}.",
    "alg-none-signed": lambda: forged(header(alg="none"), BODY),
    "alg-hs256-with-the-public-key": hmac_with_the_public_key,
    "alg-ps256": lambda: forged(header(alg="PS256"), BODY),
    "alg-lower-case": lambda: forged(header(alg="rs256"), BODY),
    "no-signature": lambda: f"{HEAD}.{MIDDLE}.",
    "status-list": lambda: forged(header(typ="statuslist+jwt"), BODY),
    "id-token": lambda: forged(header(typ="JWT"), BODY),
    "proof": lambda: forged(header(typ="dpop+jwt"), BODY),
    "typ-long": lambda: forged(header(typ="application/at+jwt"), BODY),
    "typ-upper-case": lambda: forged(header(typ="AT+JWT"), BODY),
    "no-typ": lambda: forged(msgspec.json.encode({"alg": "RS256", "kid": ONE.kid}), BODY),
    "no-kid": lambda: forged(msgspec.json.encode({"alg": "RS256", "typ": "at+jwt"}), BODY),
    "kid-of-another": lambda: forged(header(kid=TWO.kid), BODY),
    "kid-unknown": lambda: forged(header(kid="x" * 43), BODY),
    "kid-number": lambda: forged(header(kid=7), BODY),
    "extra-member": lambda: forged(header(crit=[]), BODY),
    "jku": lambda: forged(header(jku="https://evil.example/jwks.json"), BODY),
    "jwk": lambda: forged(header(jwk=PublicKey.of(STRANGER.private.public_key()).jwk()), BODY, key=STRANGER),
    "b64-false": lambda: forged(header(b64=False), BODY),
    "zip": lambda: forged(header(zip="DEF"), BODY),
    "member-twice": lambda: forged(header()[:-1] + b',"typ":"at+jwt"}', BODY),
    "other-order": lambda: forged(msgspec.json.encode({"typ": "at+jwt", "alg": "RS256", "kid": ONE.kid}), BODY),
    "spaced": lambda: forged(header().replace(b":", b": "), BODY),
    "escaped": lambda: forged(header().replace(b"at+jwt", b"at\\u002bjwt"), BODY),
    "header-array": lambda: forged(b"[]", BODY),
    "header-garbage": lambda: forged(b"\xff\xfe", BODY),
    "header-padded": lambda: f"{HEAD}=.{MIDDLE}.{SIGNATURE}",
    "body-padded": lambda: f"{HEAD}.{MIDDLE}=.{SIGNATURE}",
    "signature-padded": lambda: f"{GOOD}==",
    "signature-stray-bits": lambda: stray_bits(GOOD),
    "signature-standard-alphabet": lambda: f"{HEAD}.{MIDDLE}.{'+' * len(SIGNATURE)}",
    "signature-flipped": lambda: f"{HEAD}.{MIDDLE}.{flipped(SIGNATURE, 5)}",
    "signature-short": lambda: GOOD[:-4],
    "signature-of-a-stranger": lambda: forged(header(), BODY, key=STRANGER),
    "body-flipped": lambda: f"{HEAD}.{flipped(MIDDLE, 20)}.{SIGNATURE}",
    "space-before": lambda: " " + GOOD,
    "newline-after": lambda: GOOD + "\n",
    "not-ascii": lambda: f"{HEAD}.{MIDDLE}é.{SIGNATURE}",
    "surrogate": lambda: f"{HEAD}.{MIDDLE}\ud800.{SIGNATURE}",
    "nul": lambda: f"{HEAD}.{MIDDLE}\0.{SIGNATURE}",
    "too-long": lambda: forged(header(), msgspec.json.encode(payload(org_id="x" * MAX_CHARACTERS))),
    "body-not-json": lambda: forged(header(), b"\xff"),
    "body-array": lambda: forged(header(), b"[]"),
    "body-utf-16": lambda: forged(header(), BODY.decode().encode("utf-16")),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_spelled_otherwise_is_not_ours(name: str) -> None:
    """Even under a good signature: one header, one spelling, one key."""
    assert own(ONE, TWO).read(HOSTILE[name]()) is None


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"iss": "https://other.example"}, id="another-issuer"),
        pytest.param({"iss": ISSUER + "/"}, id="issuer-and-a-slash"),
        pytest.param({"iss": ...}, id="no-issuer"),
        pytest.param({"sid": ...}, id="no-session"),
        pytest.param({"sid": "x"}, id="session-is-no-uuid"),
        pytest.param({"sid": 7}, id="session-is-a-number"),
        pytest.param({"exp": ...}, id="no-exp"),
        pytest.param({"exp": "9999999999"}, id="exp-is-a-string"),
        pytest.param({"exp": True}, id="exp-is-a-boolean"),
        pytest.param({"exp": 1.5}, id="exp-is-no-integer"),
        pytest.param({"exp": None}, id="exp-is-null"),
        pytest.param({"aud": ...}, id="no-audience"),
        pytest.param({"aud": {"a": 1}}, id="audience-is-an-object"),
        pytest.param({"aud": [1]}, id="audience-of-numbers"),
        pytest.param({"client_id": ...}, id="no-client"),
        pytest.param({"scope": ["notes:read"]}, id="scope-is-a-list"),
        pytest.param({"jti": ...}, id="no-jti"),
        pytest.param({"sub": None}, id="sub-is-null"),
    ],
)
async def test_claims_that_are_never_written_are_not_ours(changes: dict[str, Any]) -> None:
    """Another issuer's, an older version's without a session, or of another type: under our own signature or not."""
    assert own(ONE).read(await written(payload(**changes))) is None


async def test_a_list_of_ours_is_no_token_of_ours() -> None:
    """The same key signs both kinds; neither is ever taken for the other (RFC 8725 section 3.11)."""
    said = {"iss": ISSUER, "sub": ISSUER + "/status/x.jwt", "iat": NOW, "exp": NOW + 60, "ttl": 5,
            "status_list": {"bits": 1, "lst": "eNrbuRgAAhcBXQ"}}  # fmt: skip
    assert own(ONE).read(await written(said, token_type="statuslist+jwt")) is None
    assert own(ONE).read(await written(said)) is None
