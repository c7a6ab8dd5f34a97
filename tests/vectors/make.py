"""Writes tokens.json: one token for each rule, signed with a key that is thrown away."""

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import hashes, hmac, serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.support.tokens import ISSUER, NOTES, REPORTS, Issuer, b64, compact_json, jwk, private_key, sign

NOW = 1_800_000_000
HERE = Path(__file__).parent


def main() -> None:
    issuer = Issuer(now=NOW, kid="key-1", entry=0)
    weak = rsa.generate_private_key(65537, 2048)
    good_header, good_claims = issuer.header(), issuer.claims()
    good = issuer.mint()
    header, payload, signature = good.split(".")
    vectors: list[dict[str, Any]] = []

    def add(name: str, token: str, outcome: str, *, now: int = NOW) -> None:
        vectors.append({"name": name, "token": token, "now": now, "outcome": outcome})

    def with_header(name: str, outcome: str, /, **changes: Any) -> None:
        add(name, issuer.mint(header=changes), outcome)

    def with_claims(name: str, outcome: str, /, **changes: Any) -> None:
        add(name, issuer.mint(**changes), outcome)

    def with_payload(name: str, outcome: str, raw: bytes) -> None:
        add(name, sign(compact_json(good_header), raw, issuer.key), outcome)

    def with_raw_header(name: str, outcome: str, raw: bytes) -> None:
        add(name, sign(raw, compact_json(good_claims), issuer.key), outcome)

    add("good", good, "honoured")
    with_claims("one-audience-as-a-string", "honoured", aud=NOTES)
    with_header("typ-in-its-long-form", "honoured", typ="application/at+jwt")
    with_header("typ-in-another-case", "honoured", typ="AT+JWT")
    with_claims("no-scope-claim", "honoured", scope=None)
    with_payload(
        "white-space-and-another-order", "honoured", json.dumps(good_claims, indent=1, sort_keys=True).encode()
    )
    with_claims("text-beyond-ascii", "honoured", name="Zoë 雪 \U0001f600")
    with_header("jku-and-jwk-are-not-looked-at", "honoured", jku="https://evil.example/jwks", jwk=jwk(weak, "key-1"))

    # RFC 8725 3.1, 3.2: one algorithm
    add("alg-none", f"{b64(compact_json(good_header | {'alg': 'none'}))}.{payload}.", "algorithm_refused")
    add(
        "alg-none-in-another-case",
        f"{b64(compact_json(good_header | {'alg': 'nOnE'}))}.{payload}.",
        "algorithm_refused",
    )
    for label, encoding in (("pem", serialization.Encoding.PEM), ("der", serialization.Encoding.DER)):
        public = issuer.key.public_key().public_bytes(encoding, serialization.PublicFormat.SubjectPublicKeyInfo)
        signing_input = f"{b64(compact_json(good_header | {'alg': 'HS256'}))}.{payload}"
        mac = hmac.HMAC(public, hashes.SHA256())
        mac.update(signing_input.encode())
        add(f"hs256-with-the-public-key-{label}", f"{signing_input}.{b64(mac.finalize())}", "algorithm_refused")
    for alg in ("RS384", "RS512", "PS256", "ES256", "rs256", "", None, 256, ["RS256"]):
        with_header(f"alg-{alg!r}", "algorithm_refused", alg=alg)

    # RFC 9068 4, RFC 8725 3.11: kinds of JWT are not exchanged
    for typ in ("JWT", "statuslist+jwt", "dpop+jwt", "id+jwt", "at+jwt ", "at+jwT\u0130", "", None, 1, ["at+jwt"]):
        with_header(f"typ-{typ!r}", "type_refused", typ=typ)

    # RFC 7515 4.1.11, RFC 7797
    with_header("crit-unknown", "critical_refused", crit=["exp"], exp=NOW + 9)
    with_header("crit-empty", "critical_refused", crit=[])
    with_header("b64-false", "critical_refused", b64=False, crit=["b64"])
    with_header("b64-false-without-crit", "critical_refused", b64=False)
    with_header("zip", "token_malformed", zip="DEF")
    with_header("enc", "token_malformed", enc="A256GCM")

    # kid is hostile input
    with_header("kid-unknown", "key_unknown", kid="key-2")
    with_header("kid-withdrawn", "key_revoked", kid="key-8")
    with_header("kid-withdrawn-and-published-still", "key_revoked", kid="key-9")
    with_header("kid-missing", "key_unknown", kid=None)
    with_header("kid-a-path", "key_unknown", kid="../../key-1")
    with_header("kid-with-a-null", "key_unknown", kid="key-1\0")
    with_header("kid-long", "key_unknown", kid="k" * 5000)
    with_header("kid-a-number", "key_unknown", kid=1)
    with_header("kid-a-list", "key_unknown", kid=["key-1"])

    # signatures
    add("signed-by-another-key", sign(compact_json(good_header), compact_json(good_claims), weak), "signature_invalid")
    add(
        "payload-exchanged",
        f"{header}.{b64(compact_json(issuer.claims(sub='admin')))}.{signature}",
        "signature_invalid",
    )
    add(
        "header-exchanged",
        f"{b64(compact_json(issuer.header(x=1)))}.{payload}.{signature}",
        "signature_invalid",
    )
    add("signature-empty", f"{header}.{payload}.", "signature_invalid")
    raw = base64.urlsafe_b64decode(signature + "==")
    add("signature-one-byte-short", f"{header}.{payload}.{b64(raw[:-1])}", "signature_invalid")
    add("signature-one-byte-long", f"{header}.{payload}.{b64(raw + b'x')}", "signature_invalid")
    add("signature-zeros", f"{header}.{payload}.{b64(bytes(256))}", "signature_invalid")
    add("signature-one-bit-off", f"{header}.{payload}.{b64(bytes([raw[0] ^ 1]) + raw[1:])}", "signature_invalid")

    # one spelling (RFC 8725 2.4 and the cache keyed on the text)
    add("padding-after-the-signature", good + "==", "token_malformed")
    add("padding-in-the-header", f"{header}=.{payload}.{signature}", "token_malformed")
    last = "AQgw" if len(signature) % 4 == 2 else "AEIMQUYcgkosw048"
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    stray = alphabet[alphabet.index(signature[-1]) + 1]
    assert signature[-1] in last
    assert stray not in last
    add("stray-bits-in-the-signature", good[:-1] + stray, "token_malformed")
    add("standard-alphabet", good.replace("-", "+").replace("_", "/"), "token_malformed")
    add("newline-at-the-end", good + "\n", "token_malformed")
    add("space-inside", f"{header}. {payload}.{signature}", "token_malformed")
    add("non-ascii", good + "é", "token_malformed")
    add("null-byte", good + "\0", "token_malformed")
    add("two-parts", f"{header}.{payload}", "token_malformed")
    add("four-parts", good + ".", "token_malformed")
    add("five-parts-like-a-jwe", good + ".x.y", "token_malformed")
    add("empty", "", "token_malformed")
    add("two-dots", "..", "token_malformed")
    add(
        "json-serialization",
        json.dumps({"payload": payload, "protected": header, "signature": signature}),
        "token_malformed",
    )
    add("too-large", good + "A" * 16_384, "token_too_large")

    # strict JSON, before any signature work
    body = compact_json(good_claims)
    with_payload("utf-8-bom", "token_malformed", b"\xef\xbb\xbf" + body)
    with_payload("utf-16", "token_malformed", body.decode().encode("utf-16"))
    with_payload("invalid-utf-8", "token_malformed", body[:-1] + b',"x":"\xff"}')
    with_payload("lone-surrogate", "token_malformed", body[:-1] + b',"x":"\\ud800"}')
    with_payload("duplicate-member", "token_malformed", body[:-1] + b',"sub":"admin"}')
    with_payload("duplicate-member-by-escape", "token_malformed", body[:-1] + b',"\\u0073ub":"admin"}')
    with_payload("duplicate-member-inside", "token_malformed", body[:-1] + b',"x":{"a":1,"a":2}}')
    with_payload("nan", "token_malformed", body[:-1] + b',"x":NaN}')
    with_payload("infinity", "token_malformed", body[:-1] + b',"x":-Infinity}')
    with_payload("beyond-a-double", "token_malformed", body[:-1] + b',"x":1e999}')
    with_payload("trailing-data", "token_malformed", body + b"{}")
    with_payload("not-an-object", "token_malformed", b"[1]")
    with_payload("empty-payload", "token_malformed", b"")
    with_payload("deep", "token_malformed", body[:-1] + b',"x":' + b"[" * 200 + b"]" * 200 + b"}")
    with_raw_header("header-duplicate-alg", "token_malformed", b'{"alg":"none",' + compact_json(good_header)[1:])
    with_raw_header("header-not-an-object", "token_malformed", b'"RS256"')

    # issuer and audience: equality
    for iss in (ISSUER + "/", ISSUER.upper(), ISSUER[:-1], "http://127.0.0.1", "", None, 1, [ISSUER]):
        with_claims(f"iss-{iss!r}", "issuer_unknown", iss=iss)
    with_claims("audience-of-another-service", "audience_mismatch", aud=REPORTS)
    with_claims("audience-a-prefix", "audience_mismatch", aud=NOTES[:-1])
    with_claims("audience-with-a-slash", "audience_mismatch", aud=[NOTES + "/"])
    for aud in (None, "", [], [1], {"a": 1}, [[NOTES]], True, [NOTES] * 257):
        with_claims(f"aud-{str(aud)[:12]}", "claims_malformed", aud=aud)

    # times: [max(nbf, iat) - leeway, exp + leeway)
    add("exp-one-second-left-of-the-leeway", good, "honoured", now=NOW + 300 + 29)
    add("exp-boundary-is-expired", good, "token_expired", now=NOW + 300 + 30)
    add("iat-in-the-future-within-the-leeway", issuer.mint(iat=NOW + 30), "honoured")
    add("iat-in-the-future", issuer.mint(iat=NOW + 31), "token_not_yet_valid")
    add("nbf-within-the-leeway", issuer.mint(nbf=NOW + 30), "honoured")
    add("nbf-in-the-future", issuer.mint(nbf=NOW + 31), "token_not_yet_valid")
    for claim in ("exp", "iat"):
        with_claims(f"{claim}-missing", "claims_malformed", **{claim: None})
    for claim in ("exp", "iat", "nbf", "auth_time"):
        for value in (str(NOW), f" {NOW} ", "+1", True, NOW + 0.5, -1, 2**63, 10**12, [NOW], {}, 1e300):
            with_claims(f"{claim}-{value!r}", "claims_malformed", **{claim: value})
        with_payload(f"{claim}-null", "claims_malformed", compact_json(good_claims | {claim: None}))

    # the other required claims, and types
    for claim in ("sub", "jti", "client_id"):
        for value in (None, "", 1, True, ["x"], "a\0b", "a\nb", "x" * 1025):
            with_claims(f"{claim}-{str(value)[:8]!r}", "claims_malformed", **{claim: value})
    for scope in ("a  b", " a", "a ", "a\tb", "a\u00a0b", 'a"b', "a\\b", ["a"], 1, True, "é", "a\n"):
        with_claims(f"scope-{scope!r}", "claims_malformed", scope=scope)
    with_claims("scope-empty", "honoured", scope="")
    for roles in ("admin", [1], {"a": 1}, True, ["a"] * 257):
        with_claims(f"roles-{str(roles)[:12]}", "claims_malformed", roles=roles)
    with_claims("sid-a-number", "claims_malformed", sid=1)

    lists = statuses(issuer, with_claims)
    add("a-status-list-is-no-token", lists[issuer.list_uri].decode(), "type_refused")

    document = {
        "issuer": ISSUER,
        "audience": NOTES,
        "leeway": 30,
        "jwks": {
            "keys": [jwk(private_key("key-1"), "key-1"), jwk(private_key("key-9"), "key-9")],
            "farseal": {"issuer": ISSUER, "sequence": 4, "revoked": ["key-8", "key-9"]},
        },
        "status_lists": {uri: document.decode() for uri, document in lists.items()},
        "vectors": vectors,
    }
    (HERE / "tokens.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def statuses(issuer: Issuer, with_claims: Callable[..., None]) -> dict[str, bytes]:
    """Token Status List 6.1, 8.3: the status is asked last, of the lists that are known, which it gives."""
    two_bits = f"{ISSUER}/.well-known/status/two-bits.jwt"
    lists = {
        issuer.list_uri: issuer.status_list([1, 63]),
        two_bits: issuer.status_list(sub=two_bits, status_list={"bits": 2, "lst": "eNo76fITAAPfAgc"}),
    }
    for index, outcome in ((0, "honoured"), (1, "token_revoked"), (62, "honoured"), (63, "token_revoked")):
        with_claims(f"status-{index}", outcome, status=issuer.status(index))
    for index in (64, 2**31, 2**53, 2**63, 2**64):
        with_claims(f"status-{index}-of-64", "status_index_invalid", status=issuer.status(index))
    # The draft's own example: 1, 2, 0, 3, 0, 1, 0, 1, 1, 2, 3, 3.
    for index, outcome in ((0, "token_revoked"), (1, "token_revoked"), (2, "honoured"), (3, "token_revoked")):
        with_claims(f"status-{index}-in-two-bits", outcome, status=issuer.status(index, two_bits))
    with_claims("status-12-of-12-in-two-bits", "status_index_invalid", status=issuer.status(12, two_bits))
    with_claims("status-missing", "status_missing", status=None)
    with_claims("status-of-other-means", "status_missing", status={"other": {}})
    with_claims("status-of-an-unknown-list", "status_unavailable", status=issuer.status(0, f"{ISSUER}/x.jwt"))
    with_claims("status-revoked-and-expired", "token_expired", status=issuer.status(1), exp=NOW - 30)
    for index in (-1, 0.0, 1.5, True, "0", None, [0], {}):
        with_claims(
            f"status-index-{index!r}", "claims_malformed", status={"status_list": {"idx": index, "uri": two_bits}}
        )
    for uri in ("", 0, True, [two_bits], "a b", "a\n", "é", "x" * 1025):
        with_claims(f"status-uri-{str(uri)[:8]!r}", "claims_malformed", status={"status_list": {"idx": 0, "uri": uri}})
    for status in ("VALID", 0, True, [], {"status_list": None}, {"status_list": []}, {"status_list": {}}):
        with_claims(f"status-{status!r}", "claims_malformed", status=status)
    return lists


if __name__ == "__main__":
    main()
