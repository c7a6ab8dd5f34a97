"""What verifying a token costs that this process has never seen, next to PyJWT's decode with the same checks.

Ours also looks up in a status list of a million sessions whether the token's own has ended, which the peers leave out.
"""

import hashlib
import json
import random
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
from farseal.status_list import StatusList
from farseal.trust import IssuerTrust, TrustSnapshot
from farseal.verify import Expectations, Verifier

ISSUER: Final = "https://auth.example"
AUDIENCE: Final = "https://notes.example"
TOKENS: Final = 400
ROUNDS: Final = 25
SESSIONS: Final = 1 << 20
"""In the status list, one in a hundred of them ended."""
LIST_URI: Final = f"{ISSUER}/.well-known/status/AAAAAAAAAAAAAAAA.jwt"
AIM: Final = 0.60
REQUIRED: Final = ["iss", "sub", "aud", "exp", "iat", "jti", "client_id"]


def status_list(now: int, living: frozenset[int]) -> StatusList:
    """A list as it is in force at a verifier; of these sessions none has ended."""
    data = bytearray(SESSIONS // 8)
    for index in random.Random(1).sample(range(SESSIONS), SESSIONS // 100):  # noqa: S311 - any of them
        data[index >> 3] |= (index not in living) << (index & 7)
    return StatusList(
        uri=LIST_URI,
        issued_at=now,
        expires_at=now + 3600,
        ttl=5,
        bits=1,
        data=bytes(data),
        kid="K" * 43,
        digest=hashlib.sha256(data).digest(),
        version=1,
    )


def prepare(count: int = TOKENS) -> tuple[list[str], rsa.RSAPublicKey, TrustSnapshot, int]:
    """Distinct tokens of the shape that the auth server issues, their key, and a snapshot that trusts it."""
    now = clock.now()
    key = rsa.generate_private_key(65537, 2048)
    member = jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key(), as_dict=True) | {"kid": "K" * 43}
    keys = parse_jwks(json.dumps({"keys": [member]}).encode()).keys
    indexes = random.Random(2).sample(range(SESSIONS), count)  # noqa: S311 - any of them
    lists = {LIST_URI: status_list(now, frozenset(indexes))}
    snapshot = TrustSnapshot().with_issuer(IssuerTrust(ISSUER, keys, now, lists=lists))
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
                "sid": f"01980000-0000-7000-8000-{number:012d}",
                "status": {"status_list": {"idx": index, "uri": LIST_URI}},
            },
            key,
            algorithm="RS256",
            headers={"typ": "at+jwt", "kid": "K" * 43},
        )
        for number, index in enumerate(indexes)
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
    what = f"{TOKENS} distinct tokens, a status list of {SESSIONS:,}, {ROUNDS} alternating rounds, {seconds:.0f} s"
    lines = [
        f"A first-seen token ({what})",
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
