"""The auth server in a compose project, asked for what the issuer in process gives: tokens, rotations, revocations.

    async with Project(root) as project:
        await project.up("auth_gateway", "keys")
        issuer = ContainerIssuer(project)
        token = await issuer.mint("alice", project.url("resource_a"), lifetime=60)

Everything is done by the operator's own commands in a container; there is no other way in.
"""

import asyncio
import json
import re
from typing import Any, Final

from farseal_testing.compose import DOCUMENTS, ComposeError, Project
from farseal_testing.forge import Forgery, forged
from farseal_testing.issuer import claims_of, session_of

TOKEN: Final = re.compile(r"eyJ[\w-]+\.[\w-]+\.[\w-]+", re.ASCII)
PATIENCE_SECONDS: Final = 30.0


class ContainerIssuer:
    """The issuer of a project that is up.

    Args:
        project: with ``auth_server`` running; tokens are for the resources and people that it begins with.
    """

    def __init__(self, project: Project) -> None:
        self.project = project

    async def mint(
        self, person: str, *resources: str, scopes: tuple[str, ...] = (), lifetime: int | None = None
    ) -> str:
        """Sign a token for somebody, with what they would be granted at a login; of a session of its own.

        Args:
            person: username.
            resources: the audiences; all that the person may use when none is named.
            scopes: fewer than the person may have.
            lifetime: seconds; one of 1 is soon an expired one.
        """
        words = ["token", "mint", "--user", person]
        words += [word for resource in resources for word in ("--resource", resource)]
        words += [word for scope in scopes for word in ("--scope", scope)]
        words += [] if lifetime is None else ["--lifetime", str(lifetime)]
        return token_in((await self.project.farseal_auth(*words)).out)

    async def expired(self, person: str, resource: str, *, leeway: int = 2) -> str:
        """Give a token that is dead at a verifier which forgives so many seconds: minted for a second, and outlived."""
        token = await self.mint(person, resource, lifetime=1)
        claims = claims_of(token)
        await asyncio.sleep(claims["exp"] - claims["iat"] + leeway + 1)
        return token

    async def forged(self, forgery: Forgery, token: str) -> str:
        """Make of an honest token what somebody can make who has not the key."""
        return forged(forgery, token, await self.document("jwks.json"))

    async def document(self, name: str) -> Any:
        """Read a published JSON document, as it is in the volume."""
        return json.loads((await self.project.exec("auth_server", "cat", f"{DOCUMENTS}/{name}")).out)

    async def kids(self) -> list[str]:
        """Give the kids that are published."""
        return [key["kid"] for key in (await self.document("jwks.json"))["keys"]]

    async def announce(self) -> str:
        """Publish a further key, which does not sign yet, unless there is such a one already; give its kid."""
        found = await self._keys("announced")
        if found:
            return found[0]
        await self._insist("keys", "announce", "--force", "--yes")
        return (await self._keys("announced"))[0]

    async def activate(self, kid: str, *, force: bool = True) -> None:
        """Let a published key sign; without ``force`` not before every verifier knows it, which is waited for."""
        await self._insist("keys", "activate", kid, "--yes", *(["--force"] if force else []))

    async def rotate(self, *, force: bool = False) -> str:
        """Announce a key and let it sign, by default when every verifier knows it; give its kid."""
        kid = await self.announce()
        await self.activate(kid, force=force)
        return kid

    async def withdraw(self, kid: str) -> None:
        """Withdraw a key as in an emergency."""
        await self._insist("keys", "revoke", kid, "--yes", "--reason", "test")

    async def revoke(self, token_or_sid: str) -> None:
        """End a session: its tokens are refused everywhere within the stated bounds."""
        await self.project.farseal_auth("sessions", "end", session_of(token_or_sid), "--yes")

    async def secret_of(self, client: str) -> str:
        """Make a new secret of a client, and give it."""
        told = await self.project.farseal_auth("client", "rotate-secret", client, "--json")
        secret: str = json.loads(told.out)["secret"]
        return secret

    async def _keys(self, state: str) -> list[str]:
        told = json.loads((await self.project.farseal_auth("keys", "list", "--json")).out)
        keys = told["keys"] if isinstance(told, dict) else told
        return [key["kid"] for key in keys if key["state"] == state]

    async def _insist(self, *words: str) -> None:
        """Give a command that is refused while a key is made, or not known everywhere, again until it is taken."""
        deadline = asyncio.get_running_loop().time() + PATIENCE_SECONDS
        while True:
            done = await self.project.farseal_auth(*words, check=False)
            if done.status == 0:
                return
            if done.status != 1 or asyncio.get_running_loop().time() >= deadline:
                raise ComposeError(f"farseal-auth {' '.join(words)}: {(done.err or done.out).strip()[-500:]}")
            await asyncio.sleep(0.3)


def token_in(printed: str) -> str:
    """Find the token in what a command printed.

    Raises:
        ComposeError: there is none.
    """
    found = TOKEN.search(printed)
    if found is None:
        raise ComposeError("farseal-auth token mint printed no token")
    return found.group()
