"""Act 4b: the same done naively. The failures are the claim: they show that those of act 4 would have been counted.

They are few. A verifier that meets a kid it does not know looks again at once, and here the way is short: it is wrong
for a moment. A key that was announced in time fails nobody at all.
"""

import asyncio
import time
from collections import Counter
from dataclasses import dataclass
from typing import Final

from demo.tour import operator
from demo.tour.clients import Clients, Observed
from demo.tour.stage import Stage
from demo.tour.verdict import Verdict, faults_of

NUMBER: Final = "4b"
TITLE: Final = "The naive way"
EXPECTED: Final = "401 key_unknown"
"""What a verifier says of a key that it has not been told of."""
QUIET_SECONDS: Final = 1.5
"""Without a failure, until it counts as healed: longer than a verifier takes to look again."""
PATIENCE_SECONDS: Final = 10.0
AFTERWARDS_SECONDS: Final = 1.0
MOST: Final = 12
"""Rotations. Some six in seven fail somebody; in the others every verifier happened to look between the publication and
the first token, a few tenths of a second later. That is luck, and what act 4 claims is no luck. On a machine that is
busy with other things the first token comes later, and luck is commoner: five in a row have been seen."""


@dataclass(frozen=True, slots=True)
class Figures:
    """What the clients saw of keys that signed in the moment in which they were published."""

    rotations: int
    """Until one failed somebody."""
    seen: Observed
    signs: bool
    """Each time the new key was the one that signed."""
    healed_seconds: float | None
    """From the first failure to the last; None when they did not end."""
    after: Observed
    """What the same clients saw from then on."""


async def play(stage: Stage) -> Figures:
    """Start the clients, announce a key and sign with it at once, wait until nothing fails any more."""
    rotations, signs, quiet = 0, True, False
    async with Clients(stage) as clients:
        signer = await clients.settle()
        while rotations < MOST and clients.notes.last_failure is None:
            kid = await operator.announce_and_activate(stage.scenery)
            activated = time.monotonic()
            rotations += 1
            signer = await clients.signer_after(signer)
            signs = signs and signer == kid
            quiet = await until_quiet(clients, activated)
        first, last = clients.notes.first_failure or 0.0, clients.notes.last_failure or 0.0
        seen = clients.begin_anew()
        await asyncio.sleep(AFTERWARDS_SECONDS)
        return Figures(rotations, seen, signs, last - first if quiet else None, clients.observed())


async def until_quiet(clients: Clients, since: float) -> bool:
    """Wait until nothing has failed for a while; False when that does not come, counted from a moment."""
    while time.monotonic() - since < PATIENCE_SECONDS:
        if time.monotonic() - max(since, clients.notes.last_failure or 0.0) >= QUIET_SECONDS:
            return True
        await asyncio.sleep(0.05)
    return False


def judge(figures: Figures) -> Verdict:
    """Hold it against the claim: it fails, in the way foretold and in no other; then everything answers again."""
    seen, after = figures.seen, figures.after
    kinds: Counter[str] = Counter()
    for (_, kind), count in seen.failures.items():
        kinds[kind] += count
    others = {kind: count for kind, count in kinds.items() if kind != EXPECTED}
    within = "and went on failing" if figures.healed_seconds is None else f"within {figures.healed_seconds:.1f} s"
    return Verdict(
        NUMBER,
        TITLE,
        f"{figures.rotations} x announced and activated at once: {kinds[EXPECTED]:,} of {seen.sent:,} requests failed "
        f"({EXPECTED}) {within}, so the counter can fail; then {after.sent:,} requests, failures {after.failed}",
        faults_of(
            {
                "nothing failed, so the counter of act 4 proves nothing": kinds[EXPECTED] == 0,
                f"it failed in other ways too: {others}": bool(others),
                "another key signs": not figures.signs,
                "it does not heal": figures.healed_seconds is None,
                f"after it had healed, requests failed: {after.failures}": after.failed > 0,
                f"not every server was asked afterwards: {dict(after.by_server)}": len(after.by_server) < 2,
            }
        ),
    )
