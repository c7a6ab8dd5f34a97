"""Act 7: forged and misused tokens are refused, each for its own reason, and none makes anybody ask the auth server."""

import asyncio
import json
import time
from collections import Counter
from dataclasses import dataclass
from typing import Any, Final

from demo.services import LEEWAY_SECONDS, POLL_SECONDS
from demo.tour.stage import Answer, Stage, StageError
from demo.tour.verdict import Verdict, faults_of
from farseal.clock import now
from farseal_testing import forge
from farseal_testing.forge import Forgery, forged
from farseal_testing.issuer import claims_of

NUMBER: Final = 7
TITLE: Final = "Attacks"
RANDOM_KIDS: Final = 2000
"""Shown to resource_a, which reads a directory, and to resource_b, which polls a host, in turn."""
HINTED_LOOKS: Final = 3
"""The most looks that unknown kids can bring about at once, as `farseal.sources.HttpOptions` has it."""
HONEST_EVERY: Final = 20
"""One honest request to this many of the flood: it must not starve anybody."""

FORGERIES: Final = tuple(forgery for forgery in Forgery if forgery is not Forgery.UNKNOWN_KEY)
"""The flood is of unknown keys."""
EXPECTED: Final = {
    **{forgery.value: forgery.code for forgery in FORGERIES},
    "audience of another service": "audience_mismatch",
    "expired": "token_expired",
}
FLOOD_CODE: Final = "key_unknown"


@dataclass(frozen=True, slots=True)
class Figures:
    """How they answered, and what the auth server noticed of it."""

    answers: dict[str, tuple[int, str]]
    """Status and code for each attack."""
    flood: Counter[tuple[int, str]]
    """Status and code for tokens with kids that nobody publishes."""
    flood_seconds: float
    fetches: int
    """Looks of resource_b at the host that it polls meanwhile, by its own count."""
    honest: Counter[int]
    """Statuses of the honest requests sent during the flood and after it."""
    counted: int
    """Requests that the auth server counted meanwhile."""
    sockets: int


async def play(stage: Stage) -> Figures:
    """Forge, present, flood."""
    for_reports = await stage.login("alice", resources=[stage.addresses.reports])
    await outlive(stage.short_lived)
    jwks = await stage.request("GET", f"{stage.addresses.issuer}/.well-known/jwks.json")
    tokens = forgeries(stage.token, jwks.body) | {
        "audience of another service": for_reports,
        "expired": stage.short_lived,
    }
    before = await stage.issuer_requests()
    answers = {name: outcome(await present(stage, token)) for name, token in tokens.items()}
    flood: Counter[tuple[int, str]] = Counter()
    honest: Counter[int] = Counter()
    looked = await looks(stage)
    began = time.perf_counter()
    kids = [forge.random_kid() for _ in range(RANDOM_KIDS)]

    async def attack() -> None:
        while kids:
            token = forge.altered(stage.token, header={"kid": kids.pop()})
            turn = len(kids) % HONEST_EVERY == 0
            flood[outcome(await present(stage, token, reports=len(kids) % 2 == 0))] += 1
            if turn:
                honest[(await present(stage, stage.token)).status] += 1

    await asyncio.gather(*(attack() for _ in range(12)))
    seconds = time.perf_counter() - began
    fetches = await looks(stage) - looked
    honest[(await present(stage, stage.token)).status] += 1
    sockets = await stage.scenery.connections_to_issuer()
    return Figures(answers, flood, seconds, fetches, honest, await stage.issuer_requests() - before, sockets)


def judge(figures: Figures) -> Verdict:
    """Hold it against the claim: each refused with 401 for its reason, no fetch, honest callers unharmed."""
    refused = {name: (401, code) for name, code in EXPECTED.items()}
    wrong = {name: figures.answers.get(name) for name in EXPECTED if figures.answers.get(name) != refused[name]}
    flood_total = figures.flood.total()
    flood_wrong = flood_total - figures.flood[(401, FLOOD_CODE)]
    rate = flood_total / figures.flood_seconds if figures.flood_seconds else 0.0
    # The regular ones with their jitter, one that was under way at either end, and those of the bucket.
    most = int(figures.flood_seconds / (0.8 * POLL_SECONDS)) + 2 + HINTED_LOOKS
    return Verdict(
        NUMBER,
        TITLE,
        f"{len(EXPECTED) - len(wrong)} of {len(EXPECTED)} forgeries refused for their reason; "
        f"{flood_total - flood_wrong:,} of {flood_total:,} random kids refused ({rate:,.0f}/s), "
        f"fetches of keys {figures.fetches}, requests at the auth server {figures.counted}; "
        f"honest requests meanwhile {figures.honest.total()}, "
        f"failures {figures.honest.total() - figures.honest[200]}",
        faults_of(
            {f"{name}: answered {answer}, not {refused[name]}": True for name, answer in wrong.items()}
            | {
                f"only {flood_total} random kids were tried": flood_total < RANDOM_KIDS,
                f"{flood_wrong} random kids were not refused as {FLOOD_CODE}": flood_wrong > 0,
                f"resource_b looked {figures.fetches} times for keys, {most} at the most": figures.fetches > most,
                "no honest request was sent": figures.honest.total() == 0,
                f"honest requests failed: {dict(figures.honest)}": figures.honest.total() != figures.honest[200],
                f"the auth server was asked {figures.counted} times": figures.counted != 0,
                f"{figures.sockets} sockets to the auth server were seen": figures.sockets > 0,
            }
        ),
    )


def forgeries(token: str, jwks: dict[str, Any]) -> dict[str, str]:
    """Make what an attacker makes of one honest token and the published keys."""
    return {forgery.value: forged(forgery, token, jwks) for forgery in FORGERIES}


async def mint_short_lived(stage: Stage) -> str:
    """Have the auth server's operator command mint a token for alice at resource_a that lives a second.

    Raises:
        StageError: what it printed is no token.
    """
    words = ("token", "mint", "--user", "alice", "--resource", stage.addresses.notes, "--lifetime", "1")
    _, printed = await stage.scenery.operate(*words, private=True)
    tokens = [word for word in printed.split() if word.startswith("eyJ")]
    if not tokens:
        raise StageError("the auth server's `token mint` printed no token")
    return tokens[-1]


async def outlive(token: str) -> None:
    """Wait until a token is dead: at exp + leeway."""
    await asyncio.sleep(claims_of(token)["exp"] + LEEWAY_SECONDS - now())


async def present(stage: Stage, token: str, *, reports: bool = False) -> Answer:
    """Show a token to resource_a, or to resource_b."""
    path = f"{stage.addresses.reports}/reports/mine" if reports else f"{stage.addresses.notes}/notes?limit=1"
    return await stage.request("GET", path, token=token)


async def looks(stage: Stage) -> int:
    """How often resource_b has asked the host of the published documents since it started."""
    (issuer,) = json.loads(await stage.scenery.operations_page("resource_b", "/trust"))["issuers"]
    return int(issuer["attempts"])


def outcome(answer: Answer) -> tuple[int, str]:
    """Give what is compared of an answer."""
    return answer.status, answer.code
