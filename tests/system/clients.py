"""Clients whose requests must not be lost: some write numbered notes, some ask for tokens and try nothing again."""

import asyncio
import itertools
import time
from abc import ABC, abstractmethod
from collections import Counter
from typing import Self
from uuid import uuid4

import aiohttp

from demo.sessions import LOGGED_OUT, Pair, log_out, refresh
from demo.wire import Wire, WireError
from farseal_testing.compose import Project
from tests.system.traffic import LoginError, answer, ask, log_in, request

PATIENCE_SECONDS = 20.0


class Clients(ABC):
    """So many clients that work for as long as the context lasts."""

    def __init__(self, project: Project, *, count: int) -> None:
        self._project = project
        self._count = count
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        self._tasks = [asyncio.create_task(self._work(number)) for number in range(self._count)]
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @abstractmethod
    async def _work(self, number: int) -> None:
        """What one of them does, without end."""


class Writers(Clients):
    """Clients that write numbered notes, one after the other, and know which were acknowledged."""

    def __init__(self, project: Project, token: str, *, count: int = 2) -> None:
        super().__init__(project, count=count)
        self._token = token
        self._run = uuid4().hex
        self.acknowledged: list[str] = []
        self.failures: Counter[str] = Counter()
        self.unfit: set[str] = set()
        """What answers 503 lacked."""

    async def _work(self, number: int) -> None:
        for note in itertools.count():
            title = f"{self._run} {number} {note}"
            try:
                got = await answer(
                    self._project, "resource_a", self._token, "/notes", method="POST", json={"title": title}
                )
            except (aiohttp.ClientError, TimeoutError) as error:
                self.failures[type(error).__name__] += 1
            else:
                if got.status == 201:
                    self.acknowledged.append(title)
                else:
                    self.failures[got.kind] += 1
                    self.unfit |= {got.unfit} - {""}
            await asyncio.sleep(0.03)

    async def wrote(self, least: int, *, seconds: float = 60.0) -> None:
        """Wait until so many more notes were acknowledged."""
        wanted = len(self.acknowledged) + least
        try:
            async with asyncio.timeout(seconds):
                while len(self.acknowledged) < wanted:  # noqa: ASYNC110 - a condition of the outside
                    await asyncio.sleep(0.02)
        except TimeoutError:
            raise AssertionError(f"no {least} notes in {seconds:.0f} s: {dict(self.failures)}") from None

    async def lost_or_doubled(self) -> dict[str, int]:
        """Acknowledged notes that are there another number of times than once."""
        found: Counter[str] = Counter()
        path = "/notes?limit=100"
        while path:
            status, page = await ask(self._project, "resource_a", self._token, path)
            assert status == 200, page
            found.update(note["title"] for note in page["notes"])
            cursor = page["next_cursor"]
            path = f"/notes?limit=100&cursor={cursor}" if cursor else ""
        return {title: found[title] for title in self.acknowledged if found[title] != 1}


class Askers(Clients):
    """Clients that ask for a token again and again, each time on a connection of its own; nothing is tried again."""

    def __init__(self, project: Project, secret: str, *, count: int = 2) -> None:
        super().__init__(project, count=count)
        self._url = f"{project.url('auth_server')}/oauth2/token"
        self._form = {"grant_type": "client_credentials", "client_id": "nightly", "client_secret": secret}
        self.answers: Counter[str] = Counter()
        self.took: list[float] = []
        self.unfit: set[str] = set()
        """What answers 503 lacked."""

    async def _work(self, number: int) -> None:  # noqa: ARG002 - they are all alike
        while True:
            began = time.monotonic()
            try:
                got = await request("POST", self._url, data=self._form, patience=PATIENCE_SECONDS)
            except (aiohttp.ClientError, TimeoutError) as error:
                kind = type(error).__name__
            else:
                kind = got.kind
                self.unfit |= {got.unfit} - {""}
            self.answers[kind] += 1
            self.took.append(time.monotonic() - began)
            await asyncio.sleep(0.05)

    def of(self, status: str) -> int:
        """Answers with a status, whatever the code."""
        return sum(count for kind, count in self.answers.items() if kind.split()[0] == status)

    async def saw(self, status: str, *, least: int, seconds: float = 60.0) -> None:
        """Wait until so many answers had a status."""
        try:
            async with asyncio.timeout(seconds):
                while self.of(status) < least:  # noqa: ASYNC110 - a condition of the outside
                    await asyncio.sleep(0.02)
        except TimeoutError:
            raise AssertionError(f"no {least} answers {status} in {seconds:.0f} s: {dict(self.answers)}") from None

    async def until(self, status: str) -> float:
        """Wait for a further answer with a status; give the seconds until it came."""
        began = time.monotonic()
        await self.saw(status, least=self.of(status) + 1)
        return time.monotonic() - began


class Visitors(Clients):
    """Somebody who logs in again and again, and out again every second time; knows what was acknowledged."""

    def __init__(self, project: Project, person: str = "carol") -> None:
        super().__init__(project, count=1)
        self._person = person
        self.living: list[Pair] = []
        self.ended: list[Pair] = []
        self.failures: Counter[str] = Counter()
        self.took: list[float] = []
        """Seconds until each login was answered, whatever the answer."""

    async def _work(self, number: int) -> None:  # noqa: ARG002 - there is one
        stays = True
        while True:
            began = time.monotonic()
            try:
                try:
                    pair = await log_in(self._project, self._person, patience=2 * PATIENCE_SECONDS)
                finally:
                    self.took.append(time.monotonic() - began)
                stays = not stays
                if stays:
                    self.living.append(pair)
                else:
                    with Wire(self._project.url("auth_server"), patience=2 * PATIENCE_SECONDS) as wire:
                        told = await log_out(wire, pair.access)
                    if told == LOGGED_OUT:
                        self.ended.append(pair)
                    else:  # nobody knows whether it has ended
                        self.failures[told] += 1
            except (WireError, LoginError) as error:
                self.failures[str(error)] += 1
            await asyncio.sleep(0.1)

    async def came(self, least: int, *, seconds: float = 60.0) -> None:
        """Wait until so many more logins were acknowledged."""
        wanted = len(self.living) + len(self.ended) + least
        async with asyncio.timeout(seconds):
            while len(self.living) + len(self.ended) < wanted:  # noqa: ASYNC110 - a condition of the outside
                await asyncio.sleep(0.02)

    async def lost(self) -> list[str]:
        """Acknowledged sessions that are no more, and acknowledged ends of sessions that live."""
        wrong = []
        with Wire(self._project.url("auth_server"), patience=PATIENCE_SECONDS) as wire:
            for number, pair in enumerate(self.living):
                if not isinstance(got := await refresh(wire, pair.refresh), Pair):
                    wrong.append(f"session {number} is gone: {got}")
            for number, pair in enumerate(self.ended):
                if isinstance(await refresh(wire, pair.refresh), Pair):
                    wrong.append(f"session {number} was ended and lives")
        return wrong
