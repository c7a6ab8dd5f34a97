"""Act 2: thousands of requests, and the auth server's own counter shows none of them."""

import asyncio
import contextlib
from dataclasses import dataclass
from typing import Final

from demo.tour.load import Tally, send
from demo.tour.stage import Stage
from demo.tour.verdict import Verdict, faults_of

NUMBER: Final = 2
TITLE: Final = "No call back"
EACH: Final = 1500
"""Requests to each service; those to resource_b reach resource_a as well."""


@dataclass(frozen=True, slots=True)
class Figures:
    """The load, and what the auth server noticed of it."""

    load: Tally
    counted: int
    """By the auth server, while the load ran."""
    counted_control: int
    """By the auth server, for one request of our own afterwards: shows that its counter can move."""
    looks: int
    sockets: int
    """Connections of the resource servers to the auth server, seen in all looks together."""


async def play(stage: Stage) -> Figures:
    """Send the load, looking at the resource servers' sockets meanwhile; then ask the auth server for its keys once."""
    urls = (f"{stage.addresses.notes}/notes?limit=1", f"{stage.addresses.reports}/reports/mine")
    before = await stage.issuer_requests()
    seen: list[int] = []
    watcher = asyncio.create_task(stage.watch_sockets(seen))
    try:
        load = await send(stage, urls, each=EACH, token=stage.token)
    finally:
        watcher.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await watcher
    after = await stage.issuer_requests()
    await stage.request("GET", f"{stage.addresses.issuer}/.well-known/jwks.json")
    control = await stage.issuer_requests()
    return Figures(load, after - before, control - after, len(seen), sum(seen))


def judge(figures: Figures) -> Verdict:
    """Hold it against the claim: all requests answered, none of them noticed by the auth server."""
    load = figures.load
    return Verdict(
        NUMBER,
        TITLE,
        f"{load.sent:,} requests ({load.per_second:,.0f}/s), failures {load.failed}; "
        f"the auth server counted {figures.counted} (and {figures.counted_control} when we asked it ourselves); "
        f"sockets to it {figures.sockets} in {figures.looks} looks",
        faults_of(
            {
                f"only {load.sent} requests were sent": load.sent < 2 * EACH,
                f"{load.failed} requests failed: {dict(load.statuses)}": load.failed > 0,
                f"the auth server was called {figures.counted} times": figures.counted != 0,
                "the auth server's counter does not move, so it proves nothing": figures.counted_control != 1,
                "nobody looked at the sockets": figures.looks == 0,
                f"{figures.sockets} sockets to the auth server were seen": figures.sockets > 0,
            }
        ),
    )
