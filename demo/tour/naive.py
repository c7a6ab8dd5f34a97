"""Act 4b: the same done naively. The failures are the claim: they show that those of act 4 would have been counted."""

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


@dataclass(frozen=True, slots=True)
class Figures:
    """What the clients saw of a key that signed in the moment in which it was published."""

    seen: Observed
    signs: bool
    """The new key is the one that signs."""
    healed_seconds: float | None
    """From the activation to the last failure; None when they did not end."""
    after: Observed
    """What the same clients saw from then on."""


async def play(stage: Stage) -> Figures:
    """Start the clients, announce a key and sign with it at once, wait until nothing fails any more."""
    async with Clients(stage) as clients:
        signer = await clients.settle()
        kid = await operator.announce_and_activate(stage.stack)
        activated = time.monotonic()
        signs = await clients.signer_after(signer) == kid
        while time.monotonic() - max(activated, clients.notes.last_failure or 0.0) < QUIET_SECONDS:
            if time.monotonic() - activated > PATIENCE_SECONDS:
                seen = clients.begin_anew()
                return Figures(seen, signs, None, seen)
            await asyncio.sleep(0.05)
        healed = max(0.0, (clients.notes.last_failure or activated) - activated)
        seen = clients.begin_anew()
        await asyncio.sleep(AFTERWARDS_SECONDS)
        return Figures(seen, signs, healed, clients.observed())


def judge(figures: Figures) -> Verdict:
    """Hold it against the claim: it fails, in the way foretold and in no other; then everything answers again."""
    seen, after = figures.seen, figures.after
    kinds: Counter[str] = Counter()
    for (_, kind), count in seen.failures.items():
        kinds[kind] += count
    others = {kind: count for kind, count in kinds.items() if kind != EXPECTED}
    healed = "never" if figures.healed_seconds is None else f"{figures.healed_seconds:.1f} s later"
    return Verdict(
        NUMBER,
        TITLE,
        f"announced and activated at once: {kinds[EXPECTED]:,} of {seen.sent:,} requests failed ({EXPECTED}), so the "
        f"counter can fail; the last one {healed}, then {after.sent:,} requests, failures {after.failed}",
        faults_of(
            {
                "nothing failed, so the counter of act 4 proves nothing": kinds[EXPECTED] == 0,
                f"it failed in other ways too: {others}": bool(others),
                "the new key does not sign": not figures.signs,
                "it does not heal": figures.healed_seconds is None,
                f"after it had healed, requests failed: {after.failures}": after.failed > 0,
                f"not every server was asked afterwards: {dict(after.by_server)}": len(after.by_server) < 2,
            }
        ),
    )
