"""Asks both resource servers all the time while somebody works on the host, and remembers every answer."""

import base64
import json
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Self

import requests

from tests.operations.host import Host
from tests.support.auth import NOTES, REPORTS, SECRET

PLACES = {NOTES: (9001, "/notes"), REPORTS: (9002, "/reports/mine")}
PAUSE_SECONDS = 0.05


@dataclass
class Witness:
    """Holds a token and shows it at both resources, over and over; ``with`` begins and ends it.

    A fresh token is fetched every second, as long as the auth server gives one. ``answers`` counts ``(audience, status,
    code)``.
    """

    host: Host
    answers: Counter[tuple[str, int, str]] = field(default_factory=Counter)
    kids: set[str] = field(default_factory=set)
    fresh: str | None = None
    _end: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._watch, name="witness")
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        if self._thread is not None:
            self._thread.join()

    def token(self) -> str | None:
        """A fresh token for both resources, or None while the auth server gives none."""
        wanted = [("grant_type", "client_credentials"), *(("resource", audience) for audience in PLACES)]
        status, said = ask("POST", f"{self.host.url(9000)}/oauth2/token", auth=("batch", SECRET), data=wanted)
        if status != 200:
            return None
        token: str = said["access_token"]
        self.kids.add(kid_of(token))
        return token

    def show(self, audience: str, token: str) -> tuple[int, str]:
        """How its resource answers a token: status, and the code of a refusal."""
        port, path = PLACES[audience]
        status, said = ask("GET", f"{self.host.url(port)}{path}", headers={"Authorization": f"Bearer {token}"})
        return status, str(said.get("code", "")) if isinstance(said, dict) else ""

    @property
    def places(self) -> tuple[str, ...]:
        """The audiences that are asked."""
        return tuple(PLACES)

    def wait(self, condition: Callable[[], bool], *, seconds: float = 10) -> bool:
        """Whether it came true in time."""
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                return False
            time.sleep(0.05)
        return True

    @property
    def failures(self) -> dict[tuple[str, int, str], int]:
        """Every answer that was not 200."""
        return {answer: count for answer, count in self.answers.items() if answer[1] != 200}

    def _watch(self) -> None:
        renewed = 0.0
        while not self._end.is_set():
            if time.monotonic() - renewed > 1:
                self.fresh = self.token() or self.fresh
                renewed = time.monotonic()
            if self.fresh is not None:
                for audience in PLACES:
                    self.answers[(audience, *self.show(audience, self.fresh))] += 1
            self._end.wait(PAUSE_SECONDS)


def ask(method: str, url: str, **more: Any) -> tuple[int, Any]:
    """Status and JSON of one request; 0 where nobody answers."""
    try:
        answer = requests.request(method, url, timeout=5, **more)
    except requests.RequestException:
        return 0, None
    try:
        return answer.status_code, answer.json()
    except ValueError:
        return answer.status_code, None


def kid_of(token: str) -> str:
    """The key that a token names."""
    head = token.split(".", 1)[0]
    kid: str = json.loads(base64.urlsafe_b64decode(head + "=" * (-len(head) % 4)))["kid"]
    return kid
