"""Clients that never stop asking: fresh tokens from the auth server, and requests with them at resource servers.

What is measured here is what a deployment's own clients would see: whether every request is answered, whichever key
signed its token, and how long that takes.
"""

import asyncio
import json
import random
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlencode

from demo.wire import Reply, Wire, WireError
from farseal_testing import forge

GOOD: Final = "200"
FORM: Final = {"Content-Type": "application/x-www-form-urlencoded"}
RETRY_SECONDS: Final = 0.02
"""Between two tries of a token request when no replica answers."""


@dataclass(frozen=True, slots=True)
class Held:
    """A token in flight: which key signed it, and until when it is used (``time.monotonic``)."""

    token: str
    kid: str
    until: float


class Shelf:
    """The tokens that clients have at the moment: every second request uses the newest, the others all of them in turn.

    So a key is asked for at every server within milliseconds of its first signature, and for as long as its last token
    lives.

    Args:
        most: tokens that are kept; the oldest goes first.
    """

    def __init__(self, *, most: int) -> None:
        self._held: deque[Held] = deque(maxlen=most)
        self._turn = 0
        self.signed: Counter[str] = Counter()
        """Tokens by the key that signed them, in the order of their first ones."""

    def put(self, token: str, *, until: float) -> None:
        """Take a new token."""
        kid = kid_of(token)
        self.signed[kid] += 1
        self._held.append(Held(token, kid, until))

    def pick(self, now: float) -> Held | None:
        """Give a token to use now, None when there is none that lives."""
        held = self._held
        while held and held[0].until <= now:
            held.popleft()
        if not held:
            return None
        self._turn += 1
        if self._turn % 2:
            return held[-1]
        return held[(self._turn // 2) % len(held)]


Note = Callable[[str, str, str, float, float], None]
"""Called after every request: server, kid, kind (`GOOD` or the failure), when it began and how long it took."""


@dataclass(slots=True)
class Desk:
    """Where tokens come from: any replica of the auth server that answers.

    A replica that does not answer is no failure of a token or a resource server; another one is asked, and the retry is
    counted.
    """

    replicas: Sequence[str]
    client: str
    secret: str
    wires: dict[str, Wire] = field(default_factory=dict)
    retries: Counter[str] = field(default_factory=Counter)
    """Why another replica had to be asked."""

    async def fetch(self) -> str:
        """Get a token by ``client_credentials``, however often it takes."""
        body = urlencode(
            {"grant_type": "client_credentials", "client_id": self.client, "client_secret": self.secret}
        ).encode()
        order = random.sample(self.replicas, len(self.replicas))
        while True:
            for replica in order:
                wire = self.wires.setdefault(replica, Wire(replica))
                try:
                    reply = await wire.post("/oauth2/token", body, headers=FORM)
                except WireError as error:
                    self.retries[str(error)] += 1
                    continue
                if reply.status == 200:
                    return str(json.loads(reply.body)["access_token"])
                self.retries[reply.kind] += 1
            await asyncio.sleep(RETRY_SECONDS)

    def close(self) -> None:
        """Close every connection."""
        for wire in self.wires.values():
            wire.close()


async def keep_fetching(desk: Desk, shelf: Shelf, *, every: float, use_seconds: float) -> None:
    """Put a fresh token on the shelf again and again, until cancelled.

    Args:
        every: seconds between two, at least.
        use_seconds: for which a token is used: its life, less what a request may take.
    """
    while True:
        began = time.monotonic()
        shelf.put(await desk.fetch(), until=began + use_seconds)
        await asyncio.sleep(max(0.0, every - (time.monotonic() - began)))


async def keep_asking(
    server: str, url: str, path: str, shelf: Shelf, note: Note, *, pace: Callable[[], float] | None = None
) -> None:
    """Send one request after the other on one connection, until cancelled.

    Args:
        server: its name in the notes.
        url: its address.
        path: what is asked for.
        shelf: of the tokens.
        note: told of every request.
        pace: gives the moment (``time.monotonic``) at which the next one is due; without it that is at once. A request
            that had to wait for the one before it took that long too: a server that stalls must not hide behind the
            requests that were never sent.
    """
    with Wire(url) as wire:
        while True:
            began = time.monotonic()
            if pace is not None:
                due = pace()
                await asyncio.sleep(max(0.0, due - began))
                began = due
            while (held := shelf.pick(time.monotonic())) is None:
                await asyncio.sleep(RETRY_SECONDS)
                began = time.monotonic()
            try:
                kind = kind_of(await wire.get(path, token=held.token))
            except WireError as error:
                kind = str(error)
            note(server, held.kid, kind, began, time.monotonic() - began)


def kind_of(reply: Reply) -> str:
    """Name what came back: `GOOD`, or the status and the code of the problem."""
    return GOOD if reply.status == 200 else reply.kind


def kid_of(token: str) -> str:
    """Give the kid of a token's header, unverified: for counting only."""
    return str(forge.decode(token.partition(".")[0])["kid"])
