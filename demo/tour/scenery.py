"""What the tour plays on: the demo's own processes, or containers. An act asks for nothing but what is here."""

from collections.abc import Iterable, Mapping
from typing import Protocol

from demo.services import Urls


class Scenery(Protocol):
    """What runs. Services are named ``auth_server``, ``resource_a`` and ``resource_b``."""

    @property
    def addresses(self) -> Urls:
        """Where it answers."""
        ...

    @property
    def passwords(self) -> Mapping[str, str]:
        """Of the people, by username."""
        ...

    async def stop(self, name: str) -> None:
        """Stop a service as an operator does, and wait for its end."""
        ...

    async def launch(self, name: str) -> None:
        """Start a service that was stopped; it serves when `ready` says so."""
        ...

    async def ready(self, names: Iterable[str]) -> None:
        """Wait until these are ready.

        Raises:
            StackError: they are not in time.
        """
        ...

    async def operate(self, *words: str, private: bool = False) -> tuple[int, str]:
        """Run the operator's command ``farseal-auth`` to its end; give its exit status and what it printed.

        Args:
            words: of the command.
            private: what it prints is a secret, and is kept nowhere.
        """
        ...

    async def operate_program(self, program: str) -> tuple[int, str]:
        """Run a Python program, given as its text, where operator's commands run; give the same of it."""
        ...

    async def operations_page(self, name: str, path: str) -> str:
        """Give a page of a service's ops port, ``/metrics`` or ``/trust``; of every replica, one after the other."""
        ...

    async def client_secret(self, client: str) -> str:
        """Give the secret of a client."""
        ...

    async def connections_to_issuer(self) -> int:
        """Count the resource servers' connections to the auth server at this moment, in whatever state they are.

        Raises:
            InspectionError: nobody lets us look; no answer must not pass for "none".
        """
        ...
