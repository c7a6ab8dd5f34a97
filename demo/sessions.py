"""What a client does with a session: log in, refresh, log out. Over `Wire`, which tells no answer from a bad one."""

import base64
import json
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlencode

from demo.seed import PASSWORDS
from demo.wire import Reply, Wire

LOGIN_CLIENT: Final = "login"
"""In whose name people log in at ``/api/tokens``. It is public: it has no secret."""
FORM: Final = {"Content-Type": "application/x-www-form-urlencoded"}
LOGGED_OUT: Final = "204"
INVALID_GRANT: Final = "400 invalid_grant"
"""What a refresh token is answered that is not, or no longer, good (RFC 6749 section 5.2)."""


@dataclass(frozen=True, slots=True)
class Pair:
    """What a login and a refresh answer."""

    access: str = field(repr=False)
    refresh: str = field(repr=False)


async def log_in(wire: Wire, username: str, *, password: str | None = None, address: str | None = None) -> Pair | str:
    """Log in; give the pair, or how it was refused.

    Args:
        wire: to the auth server.
        username: of the demo's people.
        password: the one that they have in the demo when not given.
        address: from which the person seems to come, where the auth server takes us for its proxy.

    Raises:
        WireError: no answer came.
    """
    known = base64.b64encode(f"{username}:{PASSWORDS[username] if password is None else password}".encode()).decode()
    headers = {"Authorization": f"Basic {known}"}
    if address is not None:
        headers["X-Forwarded-For"] = address
    return pair_in(await wire.post("/api/tokens", b"", headers=headers))


async def refresh(wire: Wire, token: str) -> Pair | str:
    """Exchange a refresh token; give the new pair, or how it was refused.

    Raises:
        WireError: no answer came.
    """
    form = {"grant_type": "refresh_token", "client_id": LOGIN_CLIENT, "refresh_token": token}
    return pair_in(await wire.post("/oauth2/token", urlencode(form).encode(), headers=FORM))


async def log_out(wire: Wire, access: str) -> str:
    """End the session of an access token; give the answer's kind, `LOGGED_OUT` when it has ended.

    Raises:
        WireError: no answer came.
    """
    reply = await wire.post("/api/logout", b"", headers={"Authorization": f"Bearer {access}"})
    return reply.kind


def pair_in(reply: Reply) -> Pair | str:
    """Read an answer: the pair, or the kind of the refusal.

    An answer of 200 without both tokens is a refusal too, and says so.
    """
    if reply.status != 200:
        return reply.kind
    try:
        body = json.loads(reply.body)
        access, renewed = body["access_token"], body["refresh_token"]
    except (ValueError, LookupError, TypeError):
        return "200 without both tokens"
    return Pair(str(access), str(renewed))
