"""What every act plays on: the running stack, an HTTP client, alice's token."""

import asyncio
import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

from demo.tour.scenery import Scenery


class StageError(Exception):
    """The stack did not do what an act needs before it can measure anything."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A response: its status and its JSON, None when it is no JSON."""

    status: int
    body: Any

    @property
    def code(self) -> str:
        """Give the ``code`` of a problem, or nothing."""
        return str(self.body.get("code", "")) if isinstance(self.body, dict) else ""


class Stage:
    """Shared by the acts of one tour.

    Args:
        scenery: running and ready.
        session: without connection reuse between acts that stop a service.
    """

    def __init__(self, scenery: Scenery, session: aiohttp.ClientSession) -> None:
        self.scenery = scenery
        self.session = session
        self.addresses = scenery.addresses
        self.token = ""
        """alice's, of act 1."""
        self.short_lived = ""
        """A real token for resource_a that dies while the tour goes on."""
        self.left_behind: list[str] = []
        """URLs of what the acts have made."""

    async def request(
        self,
        method: str,
        url: str,
        *,
        token: str | None = None,
        body: Any = None,
        basic: tuple[str, str] | None = None,
    ) -> Answer:
        """Send one request, with a token or with a name and a password."""
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        if basic is not None:
            headers["Authorization"] = f"Basic {base64.b64encode(':'.join(basic).encode()).decode()}"
        async with self.session.request(method, url, json=body, headers=headers) as response:
            text = await response.read()
            try:
                return Answer(response.status, json.loads(text))
            except ValueError:
                return Answer(response.status, None)

    async def clear_up(self) -> None:
        """Delete what the acts have made: the visitor begins with a clean list."""
        while self.left_behind:
            await self.request("DELETE", self.left_behind.pop(), token=self.token)

    async def login(self, username: str, *, resources: Sequence[str] = ()) -> str:
        """Log in with a password; give the access token.

        Raises:
            StageError: no token came.
        """
        url = f"{self.addresses.issuer}/api/tokens"
        password = self.scenery.passwords[username]
        if resources:
            body = {"username": username, "password": password, "resource": list(resources)}
            answer = await self.request("POST", url, body=body)
        else:
            answer = await self.request("POST", url, basic=(username, password))
        if answer.status != 200 or not isinstance(answer.body, dict) or "access_token" not in answer.body:
            raise StageError(f"{username} cannot log in: status {answer.status} {answer.body}")
        return str(answer.body["access_token"])

    async def issuer_requests(self) -> int:
        """Give how many requests the auth server's API has answered since its start, by its own count."""
        return count_requests(await self.scenery.operations_page("auth_server", "/metrics"))

    async def issuer_answers(self) -> bool:
        """Tell whether the auth server can be reached."""
        try:
            return (await self.request("GET", f"{self.addresses.issuer}/.well-known/jwks.json")).status == 200
        except (aiohttp.ClientError, TimeoutError):
            return False

    async def published(self, path: str) -> bytes:
        """Give a published document as the auth server serves it, by its path below ``/.well-known/``.

        Raises:
            StageError: there is none.
        """
        async with self.session.get(f"{self.addresses.issuer}/.well-known/{path}") as response:
            if response.status != 200:
                raise StageError(f"{path} is not published: status {response.status}")
            return await response.read()

    async def watch_sockets(self, seen: list[int], *, every: float = 0.2) -> None:
        """Look at their connections until cancelled; each look adds a count."""
        while True:
            seen.append(await self.scenery.connections_to_issuer())
            await asyncio.sleep(every)


def count_requests(exposition: str) -> int:
    """Add up ``http_requests_total`` over all labels."""
    total = 0.0
    for family in text_string_to_metric_families(exposition):
        total += sum(sample.value for sample in family.samples if sample.name == "http_requests_total")
    return int(total)
