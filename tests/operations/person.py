"""Somebody who logs in at the host of a runbook."""

from dataclasses import dataclass, field

from tests.operations.host import Host
from tests.operations.witness import ask
from tests.support.auth import PASSWORD


@dataclass(frozen=True)
class Tokens:
    """What a login or a refresh gives."""

    access: str = field(repr=False)
    refresh: str = field(repr=False)


@dataclass(frozen=True)
class Person:
    """One of those whom `tests.support.auth.seed` makes."""

    host: Host
    name: str

    def log_in(self) -> Tokens:
        """Begin a session for everything that the person may do."""
        status, said = ask("POST", f"{self.host.url(9000)}/api/tokens", auth=(self.name, PASSWORD))
        assert status == 200, said
        return Tokens(said["access_token"], said["refresh_token"])

    def refresh(self, tokens: Tokens) -> Tokens | None:
        """The next tokens of the session; None where it is refused."""
        wanted = {"grant_type": "refresh_token", "client_id": "login", "refresh_token": tokens.refresh}
        status, said = ask("POST", f"{self.host.url(9000)}/oauth2/token", data=wanted)
        if status == 400:
            assert said["error"] == "invalid_grant"
            return None
        assert status == 200, said
        return Tokens(said["access_token"], said["refresh_token"])
