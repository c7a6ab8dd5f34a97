"""Writes jwks.json: one key set for each rule of what makes a key usable, with keys that are thrown away."""

import json
from pathlib import Path
from typing import Any

from tests.support.tokens import b64, jwk, private_key

HERE = Path(__file__).parent


def main() -> None:
    good, other = jwk(private_key("good"), "good"), jwk(private_key("other"), "other")
    modulus = private_key("other").public_key().public_numbers().n
    octets = modulus.to_bytes(256, "big")
    vectors: list[dict[str, Any]] = []

    def add(name: str, keys: list[Any], usable: list[str], skipped: list[list[Any]], **members: Any) -> None:
        document = {"keys": keys} | members
        vectors.append({"name": name, "jwks": document, "usable": usable, "skipped": skipped})

    def said(name: str, farseal: Any, revoked: list[str], sequence: int | None, issuer: str | None) -> None:
        """What the set says of itself is taken, and a good key stays good."""
        add(f"said-{name}", [good], ["good"], [], farseal=farseal)
        vectors[-1] |= {"revoked": revoked, "sequence": sequence, "issuer": issuer}

    def refused(name: str, farseal: Any) -> None:
        """What cannot be read condemns the whole set: it may be a revocation."""
        vectors.append({"name": f"refused-{name}", "jwks": {"keys": [good], "farseal": farseal}, "refused": True})

    def bad(name: str, reason: str, kid: str | None = "other", /, **changes: Any) -> None:
        """A good key beside a bad one: the good one stays, the bad one is named."""
        member = {key: value for key, value in (other | changes).items() if value is not None}
        add(name, [member, good], ["good"], [[0, kid, reason]])

    add("two-good-keys", [good, other], ["good", "other"], [])
    add("empty", [], [], [])
    add("unknown-members-of-the-set-are-ignored", [good], ["good"], [], next="x")
    add("no-use-no-alg", [{k: v for k, v in good.items() if k not in {"use", "alg"}}], ["good"], [])
    add("key-ops-verify", [good | {"key_ops": ["verify"]}], ["good"], [])
    add("x5c-is-not-looked-at", [good | {"x5c": ["AAAA"], "x5t": "x"}], ["good"], [])
    add("the-same-key-twice", [good, good], ["good"], [])
    different = "its kid names different keys"
    add(
        "one-kid-two-keys",
        [good, other | {"kid": "good"}, other],
        ["other"],
        [[0, "good", different], [1, "good", different]],
    )
    bits = "its modulus is not of 2048 to 8192 bits"
    private = "it carries private or symmetric members"
    bad("kty-ec", "its kty is not RSA", kty="EC")
    bad("kty-oct", "its kty is not RSA", kty="oct", k="AAAA")
    bad("kty-missing", "its kty is not RSA", kty=None)
    for member in ("d", "p", "q", "dp", "dq", "qi", "oth", "k"):
        bad(f"private-{member}", private, **{member: "AQAB"})
    bad("use-enc", "its use is not sig", use="enc")
    bad("use-a-list", "its use is not sig", use=["sig"])
    bad("key-ops-sign", "its key_ops do not name verify", key_ops=["sign"])
    bad("key-ops-a-string", "its key_ops do not name verify", key_ops="verify")
    bad("alg-rs512", "its alg is not RS256", alg="RS512")
    bad("alg-none", "its alg is not RS256", alg="none")
    for value in ("AQ", "Aw", "EQ", "AQAA", "AQAC"):
        bad(f"e-{value}", "its e is not 65537", e=value)
    bad("e-with-a-leading-zero", "its e is not in the fewest octets", e="AAEAAQ")
    bad("e-empty", "its e is not in the fewest octets", e="")
    bad("e-a-number", "its e is missing, not a string, or too long", e=65537)
    bad("e-missing", "its e is missing, not a string, or too long", e=None)
    bad("n-missing", "its n is missing, not a string, or too long", n=None)
    bad("n-padded", "its n is not canonical base64url", n=b64(octets) + "==")
    bad("n-in-the-standard-alphabet", "its n is not canonical base64url", n="+/" + b64(octets)[2:])
    bad("n-with-a-leading-zero", "its n is not in the fewest octets", n=b64(b"\0" + octets))
    bad("n-of-1024-bits", bits, n=b64(octets[:128]))
    bad("n-of-2047-bits", bits, n=b64((modulus >> 1 | 1).to_bytes(256, "big")))
    bad("n-of-8200-bits", bits, n=b64(b"\xff" * 1025))
    bad("n-of-a-megabyte", "its n is missing, not a string, or too long", n="A" * 10_000)
    bad("n-even", "its modulus is even", n=b64((modulus ^ 1).to_bytes(256, "big")))
    no_kid = "its kid is missing or not a short printable text"
    for name, value in (
        ("missing", None),
        ("empty", ""),
        ("a-number", 1),
        ("long", "k" * 257),
        ("with-a-newline", "a\nb"),
        ("beyond-ascii", "ключ"),
    ):
        bad(f"kid-{name}", no_kid, None, kid=value)
    for name, value in (("a-string", "x"), ("null", None), ("a-list", [])):
        add(f"key-{name}", [value, good], ["good"], [[0, None, "it is not an object"]])
    iss = "https://auth.example.com"
    said("all-three", {"issuer": iss, "sequence": 17, "revoked": ["gone", "other"]}, ["gone", "other"], 17, iss)
    said("nothing", {}, [], None, None)
    said("something-newer", {"sequence": 1, "next": {"a": []}}, [], 1, None)
    said("sequence-least", {"sequence": 1}, [], 1, None)
    said("sequence-most", {"sequence": 2**53 - 1}, [], 2**53 - 1, None)
    said("revoked-none", {"revoked": []}, [], None, None)
    many = [f"kid-{number:04}" for number in range(1024)]
    said("revoked-most", {"revoked": many}, many, None, None)
    said("revoked-the-longest-kid", {"revoked": ["k" * 256]}, ["k" * 256], None, None)
    said("issuer-the-longest", {"issuer": "i" * 512}, [], None, "i" * 512)
    add("revoked-wins", [other, good], ["good"], [[0, "other", "it is revoked"]], farseal={"revoked": ["other"]})
    add(
        "revoked-wins-over-one-kid-two-keys",
        [good, other | {"kid": "good"}, other],
        ["other"],
        [[0, "good", "it is revoked"], [1, "good", "it is revoked"]],
        farseal={"revoked": ["good"]},
    )
    add("revoked-all", [good], [], [[0, "good", "it is revoked"]], farseal={"revoked": ["good"]})
    for name, member in (("null", None), ("a-list", []), ("a-string", "x"), ("a-number", 1)):
        refused(f"member-{name}", member)
    for name, value in (
        ("0", 0),
        ("below-0", -1),
        ("a-string", "1"),
        ("true", True),
        ("null", None),
        ("a-fraction", 1.5),
        ("a-float", 1.0),
        ("above", 2**53),
        ("a-list", [1]),
    ):
        refused(f"sequence-{name}", {"sequence": value})
    for name, value in (
        ("null", None),
        ("a-string", "gone"),
        ("an-object", {"gone": 1}),
        ("too-many", [*many, "one-more"]),
        ("twice", ["gone", "gone"]),
        ("of-a-number", [1]),
        ("of-null", [None]),
        ("of-a-list", [["gone"]]),
        ("of-nothing", [""]),
        ("of-a-long-kid", ["k" * 257]),
        ("with-a-newline", ["a\nb"]),
        ("beyond-ascii", ["ключ"]),
    ):
        refused(f"revoked-{name}", {"revoked": value})
    for name, value in (("null", None), ("a-number", 1), ("empty", ""), ("long", "i" * 513), ("a-list", [iss])):
        refused(f"issuer-{name}", {"issuer": value})
    (HERE / "jwks.json").write_text(json.dumps({"vectors": vectors}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
