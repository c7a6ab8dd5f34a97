"""Act 3: the auth server is gone; requests go on, and even a resource server that restarts still verifies."""

import asyncio
import time
from dataclasses import dataclass
from typing import Final

from demo.tour.load import Tally, one, send_until
from demo.tour.stage import Stage
from demo.tour.verdict import Verdict, faults_of

NUMBER: Final = 3
TITLE: Final = "Unplugged"
RESTARTED: Final = "resource_b"
OUTAGE_SECONDS: Final = 2.0
"""At least; the restart may take longer on a slow machine."""
LEAST: Final = 200
"""Requests during the outage below which nothing is proved."""


@dataclass(frozen=True, slots=True)
class Figures:
    """What happened while the auth server was down."""

    refused: bool
    """It did not answer at the beginning, and not at the end."""
    load: Tally
    restart_seconds: float
    after_restart: Tally
    """Requests to the service that was restarted meanwhile."""
    login_after: bool


async def play(stage: Stage) -> Figures:
    """Stop the auth server, keep asking resource_a, restart resource_b and ask it too, start the auth server again."""
    notes = f"{stage.addresses.notes}/notes?limit=1"
    report = f"{stage.addresses.reports}/reports/mine"
    await stage.scenery.stop("auth_server")
    refused_first = not await stage.issuer_answers()
    stop = asyncio.Event()
    load, after_restart = Tally(), Tally()
    began = time.perf_counter()
    workers = [
        asyncio.create_task(send_until(stage, [notes], stop=stop, token=stage.token, tally=load)) for _ in range(4)
    ]
    try:
        await stage.scenery.stop(RESTARTED)
        restart_began = time.perf_counter()
        await stage.scenery.launch(RESTARTED)
        await stage.scenery.ready([RESTARTED])
        restart_seconds = time.perf_counter() - restart_began
        for _ in range(50):
            await one(stage, report, token=stage.token, tally=after_restart)
        await asyncio.sleep(OUTAGE_SECONDS - (time.perf_counter() - began))
        refused_last = not await stage.issuer_answers()
    finally:
        stop.set()
        await asyncio.gather(*workers)
    load.seconds = time.perf_counter() - began
    await stage.scenery.launch("auth_server")
    await stage.scenery.ready(["auth_server"])
    login_after = bool(await stage.login("alice"))
    return Figures(refused_first and refused_last, load, restart_seconds, after_restart, login_after)


def judge(figures: Figures) -> Verdict:
    """Hold it against the claim: nobody listened, nothing failed, the restarted service verified."""
    load, restarted = figures.load, figures.after_restart
    return Verdict(
        NUMBER,
        TITLE,
        f"auth server down for {load.seconds:.1f} s, {load.sent + restarted.sent:,} requests meanwhile, "
        f"failures {load.failed + restarted.failed}; {RESTARTED} restarted in {figures.restart_seconds:.1f} s "
        f"without it and verified {restarted.statuses[200]}",
        faults_of(
            {
                "the auth server answered": not figures.refused,
                f"only {load.sent} requests were sent": load.sent < LEAST,
                f"{load.failed} requests failed: {dict(load.statuses)}": load.failed > 0,
                f"{RESTARTED} was not asked after its restart": restarted.sent == 0,
                f"{RESTARTED} refused after its restart: {dict(restarted.statuses)}": restarted.failed > 0,
                "nobody can log in after the auth server came back": not figures.login_after,
            }
        ),
    )
