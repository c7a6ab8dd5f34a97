"""Act 8: what verifying a first-seen token costs, next to plain PyJWT with the same checks but for ended sessions."""

import json
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import jwt

from demo.tour.stage import Stage
from demo.tour.verdict import Verdict, faults_of
from farseal.clock import now
from farseal.jwks import VerificationKey, parse_jwks
from farseal.status_list import StatusList, read_status_list
from farseal.trust import IssuerTrust, TrustSnapshot
from farseal.verify import Expectations, Verifier
from farseal.vocabulary import JWKS_FILE, STATUS_DIRECTORY, STATUS_INDEX_FILE

NUMBER: Final = 8
TITLE: Final = "Speed"
ROUNDS: Final = 15
CALLS: Final = 100
MOST: Final = 1.0
"""Ratio above which the claim is broken: strictness must not cost more than what it replaces."""


@dataclass(frozen=True, slots=True)
class Figures:
    """Medians over alternating rounds, in microseconds for one token."""

    farseal_us: float
    pyjwt_us: float
    rsa_bits: int

    @property
    def ratio(self) -> float:
        """Below 1: farseal is faster."""
        return self.farseal_us / self.pyjwt_us


async def play(stage: Stage) -> Figures:
    """Verify alice's own token again and again, in this process, from the published documents; nothing is cached."""
    issuer, audience, token = stage.addresses.issuer, stage.addresses.notes, stage.token
    document = await stage.published(JWKS_FILE)
    moment = now()
    keys = parse_jwks(document).keys
    lists = await lists_of(stage, keys, moment)
    snapshot = TrustSnapshot().with_issuer(IssuerTrust(issuer, keys, moment, lists=lists))
    verifier = Verifier(Expectations(audience, frozenset({issuer})))
    kid = jwt.get_unverified_header(token)["kid"]
    key = next(jwt.PyJWK(member) for member in json.loads(document)["keys"] if member["kid"] == kid)
    peer = jwt.PyJWT({"require": ["iss", "sub", "aud", "exp", "iat", "jti", "client_id"]})  # noqa: TID251 - the peer

    def ours() -> None:
        verifier.verify(token, snapshot, now=moment)

    def theirs() -> None:  # with its key in hand, which ours has to find
        peer.decode(token, key, algorithms=["RS256"], audience=audience, issuer=issuer, leeway=30)

    ours()  # once each, unmeasured: both must accept, and have warmed up
    theirs()
    return measure(ours, theirs, rsa_bits=keys[kid].signature_bytes * 8)


async def lists_of(stage: Stage, keys: Mapping[str, VerificationKey], moment: int) -> dict[str, StatusList]:
    """Read the status lists that are published, by their URIs."""
    lists = {}
    for uri in json.loads(await stage.published(STATUS_INDEX_FILE))["status_lists"]:
        document = await stage.published(f"{STATUS_DIRECTORY}/{uri.rpartition('/')[2]}")
        lists[uri] = read_status_list(document, uri, issuer=stage.addresses.issuer, keys=keys, now=moment)
    return lists


def measure(ours: Callable[[], None], theirs: Callable[[], None], *, rsa_bits: int) -> Figures:
    """Time both in turns, so that whatever else the machine does hits both."""
    rounds: tuple[list[float], list[float]] = ([], [])
    for _ in range(ROUNDS):
        for call, seconds in zip((ours, theirs), rounds, strict=True):
            began = time.perf_counter()
            for _ in range(CALLS):
                call()
            seconds.append((time.perf_counter() - began) / CALLS)
    farseal_us, pyjwt_us = (statistics.median(seconds) * 1e6 for seconds in rounds)
    return Figures(farseal_us, pyjwt_us, rsa_bits)


def judge(figures: Figures) -> Verdict:
    """Hold it against the claim: no more than PyJWT."""
    return Verdict(
        NUMBER,
        TITLE,
        f"a first-seen token takes {figures.farseal_us:.0f} us, plain PyJWT {figures.pyjwt_us:.0f} us "
        f"(RSA {figures.rsa_bits}): ratio {figures.ratio:.2f}",
        faults_of({f"slower than PyJWT by {figures.ratio:.2f}": figures.ratio > MOST}),
    )
