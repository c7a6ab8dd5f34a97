"""Requests that never stop, counted, from this machine through the published ports."""

import asyncio
import re
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final, Self

import aiohttp

from demo import sessions
from demo.sessions import Pair
from demo.traffic import GOOD, Shelf, keep_asking
from demo.wire import Wire, WireError, named
from farseal_testing.compose import Project

PATHS = {"resource_a": "/notes?limit=1", "resource_b": "/reports/mine"}
SERVERS = tuple(PATHS)
FAILED_LOOKS: Final = re.compile(r"^farseal_trust_look_failures_total\{[^}]*\} (\S+)$", re.MULTILINE)


class Load:
    """As long as the context lasts, clients ask both resource servers with the tokens of a shelf.

    Args:
        project: that is up.
        tokens: that are shown, in turn; more can be put on the `shelf`.
        servers: that are asked.
        each: clients for each server.
        every: seconds from one request of a client to its next.
    """

    def __init__(
        self, project: Project, *tokens: str, servers: Sequence[str] = SERVERS, each: int = 3, every: float = 0.02
    ) -> None:
        self.shelf = Shelf(most=1000)
        for token in tokens:
            self.shelf.put(token, until=float("inf"))
        self.answers: Counter[tuple[str, str]] = Counter()
        self.took: list[tuple[float, float]] = []
        """When each answer came (``time.monotonic``), and the seconds that it took."""
        self.failed_at: list[float] = []
        self._project = project
        self._servers = servers
        self._each = each
        self._every = every
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        for server in self._servers:
            for _ in range(self._each):
                asking = keep_asking(
                    server, self._project.url(server), PATHS[server], self.shelf, self._note, pace=paced(self._every)
                )
                self._tasks.append(asyncio.create_task(asking))
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        ended = await asyncio.gather(*self._tasks, return_exceptions=True)
        broken = [end for end in ended if isinstance(end, Exception) and not isinstance(end, asyncio.CancelledError)]
        assert not broken, broken

    @property
    def sent(self) -> int:
        """All requests."""
        return self.answers.total()

    @property
    def failures(self) -> dict[str, int]:
        """How often which server answered otherwise than 200, and how."""
        return {f"{server}: {kind}": count for (server, kind), count in self.answers.items() if kind != GOOD}

    def good(self, server: str) -> int:
        """Requests that a server answered with 200."""
        return self.answers[server, GOOD]

    async def flows(self, *, least: int = 50, seconds: float = 30.0) -> None:
        """Wait until every server has answered so many more requests with 200."""
        wanted = {server: self.good(server) + least for server in self._servers}
        async with asyncio.timeout(seconds):
            while any(self.good(server) < count for server, count in wanted.items()):  # noqa: ASYNC110 - of the outside
                await asyncio.sleep(0.02)

    def percentile(self, percent: int, since: float = 0.0, until: float = float("inf")) -> float:
        """Milliseconds within which so many of a hundred answers came, in some time."""
        took = sorted(seconds for at, seconds in self.took if since <= at < until)
        return took[min(len(took) - 1, len(took) * percent // 100)] * 1000 if took else 0.0

    def _note(self, server: str, _kid: str, kind: str, began: float, took: float) -> None:
        self.answers[server, kind] += 1
        self.took.append((began + took, took))
        if kind != GOOD:
            self.failed_at.append(began + took)


def paced(every: float) -> Callable[[], float]:
    """Moments that lie so many seconds apart; where one is late, the next ones are counted from then."""
    due = time.monotonic()

    def following() -> float:
        nonlocal due
        due = max(due + every, time.monotonic() - every)
        return due

    return following


@dataclass(frozen=True, slots=True)
class Answer:
    """What a request got: status, JSON, headers."""

    status: int
    body: Any
    headers: Mapping[str, str]

    @property
    def kind(self) -> str:
        """The status, and the code of a problem or of OAuth's error."""
        return named(self.status, self.body)

    @property
    def unfit(self) -> str:
        """What an answer 503 lacks: the time to come again, or the reason in one of our two forms; else nothing."""
        if self.status != 503:
            return ""
        when = self.headers.get("Retry-After", "")
        problem = self.headers.get("Content-Type", "").startswith("application/problem+json") and "code" in self.body
        oauth = isinstance(self.body, dict) and "error" in self.body
        return "" if when.isdecimal() and (problem or oauth) else f"Retry-After {when!r}, {self.body}"


async def request(method: str, url: str, *, patience: float = 20.0, **more: Any) -> Answer:
    """Send one request, on a connection of its own.

    Raises:
        aiohttp.ClientError: no answer came.
        TimeoutError: none in time.
    """
    async with (
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=patience)) as session,
        session.request(method, url, **more) as response,
    ):
        body = await response.json(content_type=None) if await response.read() else None
        return Answer(response.status, body, response.headers.copy())


async def answer(project: Project, server: str, token: str, path: str | None = None, **more: Any) -> Answer:
    """Ask a resource server once with a token; give the whole answer."""
    method = more.pop("method", "GET")
    headers = {"Authorization": f"Bearer {token}"} | more.pop("headers", {})
    return await request(method, project.url(server) + (path or PATHS[server]), headers=headers, **more)


async def ask(project: Project, server: str, token: str, path: str | None = None, **more: Any) -> tuple[int, Any]:
    """Ask a resource server once with a token; give the status and the JSON."""
    got = await answer(project, server, token, path, **more)
    return got.status, got.body


async def access_token(project: Project, person: str = "alice", **more: Any) -> str:
    """Log in, in whatever way the requests go and whether or not a refresh token comes too; give the access token."""
    known = {"Authorization": aiohttp.encode_basic_auth(person, project.password(person))}
    got = await request("POST", f"{project.url('auth_server')}/api/tokens", headers=known, **more)
    assert got.status == 200, got.kind
    return str(got.body["access_token"])


async def failed_looks(project: Project) -> float:
    """How often resource_b did not get the documents."""
    return sum(map(float, FAILED_LOOKS.findall(await project.metrics("resource_b"))))


def now() -> float:
    """The right time, that of this machine, in seconds since the epoch."""
    return time.time()  # noqa: TID251 - what containers are compared with


async def until_answered(
    project: Project, server: str, token: str, status: int = 200, *, seconds: float = 30.0
) -> float:
    """Wait until a server answers a token so; give the seconds that it took."""
    began = time.monotonic()
    seen: Any = None
    try:
        async with asyncio.timeout(seconds):
            while True:
                try:
                    seen = await ask(project, server, token)
                except (aiohttp.ClientError, TimeoutError) as error:
                    seen = (0, repr(error))
                if seen[0] == status:
                    return time.monotonic() - began
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise AssertionError(f"{server} does not answer {status} within {seconds:.0f} s but {seen}") from None


async def until_true(check: Callable[[], Awaitable[bool]], *, seconds: float = 60.0, every: float = 0.2) -> float:
    """Wait until a condition holds; give the seconds that it took."""
    began = time.monotonic()
    async with asyncio.timeout(seconds):
        while not await check():  # noqa: ASYNC110 - a condition of the outside
            await asyncio.sleep(every)
    return time.monotonic() - began


class LoginError(Exception):
    """The auth server refused, and said how."""


async def log_in(project: Project, person: str = "alice", *, patience: float = 15) -> Pair:
    """Log in through the gateway.

    Raises:
        WireError: no answer came.
        LoginError: it was none with tokens.
    """
    with Wire(project.url("auth_server"), patience=patience) as wire:
        got = await sessions.log_in(wire, person, password=project.password(person))
    if isinstance(got, str):
        raise LoginError(got)
    return got


async def login_refused(project: Project) -> str | None:
    """Try to log in; give what was said where it failed, status first."""
    try:
        await log_in(project)
    except LoginError as error:
        return str(error)
    return None


async def log_in_again(project: Project, *, seconds: float = 30.0) -> tuple[Pair, float]:
    """Log in as soon as that works again; give the pair and the seconds until it did."""
    began = time.monotonic()
    error: Exception | None = None
    try:
        async with asyncio.timeout(seconds):
            while True:
                try:
                    return await log_in(project), time.monotonic() - began
                except (WireError, LoginError) as failed:
                    error = failed
                    await asyncio.sleep(0.1)
    except TimeoutError:
        raise AssertionError(f"nobody can log in within {seconds:.0f} s: {error!r}") from None


@asynccontextmanager
async def gone(project: Project, how: str, *services: str):
    """Services that are stopped, killed or paused for a while, all at once; what comes back is healthy afterwards."""
    try:
        await getattr(project, how)(*services)
        yield
    finally:
        await (project.unpause if how == "pause" else project.start)(*services)
        await project.healthy(*services)
