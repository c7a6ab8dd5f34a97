"""What verifying a token costs that this process has never seen, next to PyJWT's decode with the same checks."""

import json
import time
from collections.abc import Callable
from typing import Any, Final

import jwt
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from benchmarks.measure import Figure, alternate
from farseal import clock
from farseal.encoding import b64url_decode
from farseal.jwks import parse_jwks
from farseal.trust import IssuerTrust, TrustSnapshot
from farseal.verify import Expectations, Verifier

ISSUER: Final = "https://auth.example"
AUDIENCE: Final = "https://notes.example"
TOKENS: Final = 400
ROUNDS: Final = 25
AIM: Final = 0.60
REQUIRED: Final = ["iss", "sub", "aud", "exp", "iat", "jti", "client_id"]


def prepare(count: int = TOKENS) -> tuple[list[str], rsa.RSAPublicKey, TrustSnapshot, int]:
    """Distinct tokens of the shape that the auth server issues, their key, and a snapshot that trusts it."""
    now = clock.now()
    key = rsa.generate_private_key(65537, 2048)
    member = jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key(), as_dict=True) | {"kid": "K" * 43}
    keys = parse_jwks(json.dumps({"keys": [member]}).encode()).keys
    snapshot = TrustSnapshot().with_issuer(IssuerTrust(ISSUER, keys, now))
    tokens = [
        jwt.encode(  # noqa: TID251 - the peer's own way of making what both then read
            {
                "iss": ISSUER,
                "sub": f"6b1f0d5e-3c1f-4b8a-9f0e-{number:012d}",
                "aud": [AUDIENCE, "https://reports.example"],
                "exp": now + 3600,
                "iat": now,
                "jti": f"q2Zx0mBv1nK8Jc5Rt{number:05d}",
                "client_id": "login",
                "scope": "notes:read notes:write reports:read",
                "roles": ["analyst"],
                "auth_time": now,
                "org_id": "acme",
            },
            key,
            algorithm="RS256",
            headers={"typ": "at+jwt", "kid": "K" * 43},
        )
        for number in range(count)
    ]
    return tokens, key.public_key(), snapshot, now


def contenders() -> dict[str, Callable[[], int]]:
    """The bare signature check, ours, and PyJWT in two ways: with the key in hand, and finding it by kid."""
    tokens, public_key, snapshot, now = prepare()
    verifier = Verifier(Expectations(AUDIENCE, frozenset({ISSUER})))
    by_kid = {"K" * 43: public_key}
    options: Any = {"require": REQUIRED, "verify_iat": True}
    scheme, digest = padding.PKCS1v15(), hashes.SHA256()
    parts = [(b64url_decode(token.rpartition(".")[2]), token.rpartition(".")[0].encode()) for token in tokens]

    def bare() -> int:
        for signature, signing_input in parts:
            public_key.verify(signature, signing_input, scheme, digest)
        return len(parts)

    def ours() -> int:
        for token in tokens:
            verifier.verify(token, snapshot, now=now)
        return len(tokens)

    def peer() -> int:
        for token in tokens:
            jwt.decode(  # noqa: TID251 - the peer
                token, public_key, algorithms=["RS256"], audience=AUDIENCE, issuer=ISSUER, leeway=30, options=options
            )
        return len(tokens)

    def peer_by_kid() -> int:
        for token in tokens:
            header = jwt.get_unverified_header(token)
            if header["typ"] != "at+jwt":
                raise ValueError("not an access token")
            jwt.decode(  # noqa: TID251 - the peer
                token,
                by_kid[header["kid"]],
                algorithms=["RS256"],
                audience=AUDIENCE,
                issuer=ISSUER,
                leeway=30,
                options=options,
            )
        return len(tokens)

    return {
        "RSA-2048 verify alone": bare,
        "farseal Verifier": ours,
        "PyJWT decode": peer,
        "PyJWT decode, key by kid, typ": peer_by_kid,
    }


def measure(rounds: int = ROUNDS) -> dict[str, Figure]:
    """All contenders in one run."""
    return alternate(contenders(), rounds=rounds)


def report(figures: dict[str, Figure], seconds: float) -> str:
    """The table, and the ratio that the aim is about."""
    ours, limit, peer = figures["farseal Verifier"], figures["RSA-2048 verify alone"], figures["PyJWT decode"]
    lines = [
        f"A first-seen token ({TOKENS} distinct tokens, {ROUNDS} alternating rounds, {seconds:.0f} s)",
        "",
        f"{'':32}{'median us':>10}{'lowest':>9}{'highest':>9}{'to PyJWT':>10}",
    ]
    lines += [
        f"{name:32}{figure.median:10.1f}{figure.lowest:9.1f}{figure.highest:9.1f}{figure.median / peer.median:9.2f}x"
        for name, figure in figures.items()
    ]
    ratio = ours.median / peer.median
    verdict = "met" if ratio <= AIM else "NOT met"
    lines.append("")
    lines.append(f"farseal / PyJWT {ratio:.2f}x (aim: at most {AIM:.2f}x, {verdict})")
    lines.append(f"farseal / bare signature check {ours.median / limit.median:.2f}x")
    return "\n".join(lines)


def main() -> None:
    begin = time.perf_counter()
    figures = measure()
    print(report(figures, time.perf_counter() - begin))
