"""What every act plays on: the running stack, an HTTP client, alice's token."""

import asyncio
import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

from demo.inspection import remote_ports
from demo.seed import PASSWORDS
from demo.services import OPS_OFFSET, Addresses
from demo.stack import Stack

RESOURCES: Final = ("resource_a", "resource_b")


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
        stack: running and ready.
        session: without connection reuse between acts that stop a service.
    """

    def __init__(self, stack: Stack, session: aiohttp.ClientSession) -> None:
        self.stack = stack
        self.session = session
        self.addresses: Addresses = stack.addresses
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
        auth: aiohttp.BasicAuth | None = None,
    ) -> Answer:
        """Send one request."""
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        async with self.session.request(method, url, json=body, headers=headers, auth=auth) as response:
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
        password = PASSWORDS[username]
        if resources:
            body = {"username": username, "password": password, "resource": list(resources)}
            answer = await self.request("POST", url, body=body)
        else:
            answer = await self.request("POST", url, auth=aiohttp.BasicAuth(username, password))
        if answer.status != 200 or not isinstance(answer.body, dict) or "access_token" not in answer.body:
            raise StageError(f"{username} cannot log in: status {answer.status} {answer.body}")
        return str(answer.body["access_token"])

    async def issuer_requests(self) -> int:
        """Give how many requests the auth server's API has answered since its start, by its own count."""
        async with self.session.get(f"{self.addresses.ops(0)}/metrics") as response:
            return count_requests(await response.text())

    def sockets_to_issuer(self) -> int:
        """Count the resource servers' connections to any port of the auth server at this moment."""
        issuer_ports = {self.addresses.port, self.addresses.port + OPS_OFFSET}
        pids = [pid for name in RESOURCES for pid in self.stack.pids(name)]
        return len(remote_ports(pids) & issuer_ports)

    async def watch_sockets(self, seen: list[int], *, every: float = 0.2) -> None:
        """Look at their connections until cancelled; each look adds a count."""
        while True:
            seen.append(await asyncio.to_thread(self.sockets_to_issuer))
            await asyncio.sleep(every)


def count_requests(exposition: str) -> int:
    """Add up ``http_requests_total`` over all labels."""
    total = 0.0
    for family in text_string_to_metric_families(exposition):
        total += sum(sample.value for sample in family.samples if sample.name == "http_requests_total")
    return int(total)


def token_payload(token: str) -> dict[str, Any]:
    """Give the claims of a token of our own, unverified: for show only."""
    part = token.split(".")[1]
    payload: dict[str, Any] = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return payload
