"""Act 4: the signing key is replaced twice while clients ask at full speed, and nobody notices."""

import asyncio
import json
import time
from collections import Counter
from dataclasses import dataclass
from typing import Final

from demo.tour import operator
from demo.tour.clients import Clients, Observed
from demo.tour.stage import Stage, StageError
from demo.tour.verdict import Verdict, faults_of
from farseal.clock import now

NUMBER: Final = 4
TITLE: Final = "Rotation under load"
ROTATIONS: Final = 2
LEAST: Final = 2000
"""Requests below which nothing is proved."""
PATIENCE_SECONDS: Final = 30
"""A refusal that names a later moment than this is not the demo's policy."""
CONFIRM_SECONDS: Final = 0.1
"""A publication that is not confirmed yet will be soon."""
AFTERWARDS_SECONDS: Final = 1.5
"""The load goes on after the last change: longer than a verifier takes to look again."""
LOGINS: Final = 3


@dataclass(frozen=True, slots=True)
class Figures:
    """What the clients saw, and what the operator was told."""

    seen: Observed
    rotations: int
    too_early: int
    """Activations that were refused until a moment that the refusal named."""
    signing: tuple[str, ...]
    """The key that signed after each rotation."""
    published: frozenset[str]
    """The keys of the document at the end."""
    logins: Counter[int]
    """Requests with tokens of people who logged in meanwhile, by their status."""


async def play(stage: Stage) -> Figures:
    """Start the clients; twice: ask for an activation, wait for the moment that the refusal names, ask again."""
    too_early = 0
    signing: list[str] = []
    logins: Counter[int] = Counter()
    async with Clients(stage) as clients:
        signer = await clients.settle()
        for _ in range(ROTATIONS):
            too_early += await activate_in_time(stage)
            signer = await clients.signer_after(signer)
            signing.append(signer)
            logins[await log_in_and_ask(stage)] += 1
        while logins.total() < LOGINS:
            logins[await log_in_and_ask(stage)] += 1
        await asyncio.sleep(AFTERWARDS_SECONDS)
        seen = clients.observed()
    published = frozenset(key["kid"] for key in json.loads(await stage.published("jwks.json"))["keys"])
    return Figures(seen, len(signing), too_early, tuple(signing), published, logins)


async def activate_in_time(stage: Stage) -> int:
    """Sign with the next key as soon as that is allowed; give how often it was refused as too early.

    Raises:
        StageError: the commands want more time than the policy has.
    """
    deadline = time.monotonic() + PATIENCE_SECONDS
    refused = 0
    while True:
        match await operator.activate(stage.scenery):
            case None:
                return refused
            case operator.TooEarly(allowed_at):
                refused += allowed_at is not None
                wait = max(CONFIRM_SECONDS, allowed_at - now() if allowed_at is not None else 0)
                if time.monotonic() + wait > deadline:
                    raise StageError(f"the activation is allowed in {wait:.0f} s only")
                await asyncio.sleep(wait)


async def log_in_and_ask(stage: Stage) -> int:
    """Log in as alice and use the token at once; give the status, 0 when there was no token."""
    try:
        token = await stage.login("alice")
    except StageError:
        return 0
    return (await stage.request("GET", f"{stage.addresses.notes}/notes?limit=1", token=token)).status


def judge(figures: Figures) -> Verdict:
    """Hold it against the claim: two rotations, tokens of all keys in use together, no failure of any kind."""
    seen = figures.seen
    by_kid = " + ".join(f"{count:,}" for count in seen.signed.values())
    return Verdict(
        NUMBER,
        TITLE,
        f"{figures.rotations} rotations, {seen.sent:,} requests ({seen.per_second:,.0f}/s), failures {seen.failed}; "
        f"tokens by key {by_kid}, {seen.overlapping:,} requests with one of an older key; asked too early "
        f"{figures.too_early}, refused until the moment told; p99 {seen.p99_ms:.0f} ms",
        faults_of(
            {
                f"{figures.rotations} rotations, not {ROTATIONS}": figures.rotations != ROTATIONS,
                "no activation was asked too early, so no promise was seen to be kept": figures.too_early == 0,
                f"only {seen.sent} requests were sent": seen.sent < LEAST,
                f"requests failed: {dict(seen.failures)}": seen.failed > 0,
                f"logins failed: {dict(figures.logins)}": set(figures.logins) != {200},
                f"tokens of {len(seen.signed)} keys, not {ROTATIONS + 1}": len(seen.signed) != ROTATIONS + 1,
                "the key that signs did not change each time": len(set(figures.signing)) != ROTATIONS,
                "no token of an older key was in use after a newer one had signed": seen.overlapping == 0,
                "a key whose tokens live is not published any more": not set(seen.signed) <= figures.published,
                f"a server was not asked: {dict(seen.by_server)}": len(seen.by_server) < 2,
            }
        ),
    )
