"""What the OAuth endpoints have in common: parameters that count once, refusals as values, errors in one form."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from aiohttp import web

from auth_server.http.responses import oauth_error
from farseal.service.bodies import read_form
from farseal.service.forms import Form


@dataclass(frozen=True, slots=True)
class OAuthRefused:
    """What is answered instead (RFC 6749 section 5.2). ``description`` may quote what was sent, never a secret."""

    error: str
    description: str
    status: int = 400
    headers: Mapping[str, str] = field(default_factory=dict)

    def answer(self) -> web.Response:
        """The response."""
        return oauth_error(self.error, self.description, status=self.status, headers=self.headers)


async def parameters(request: web.Request, *, once: Collection[str]) -> Form | OAuthRefused:
    """The parameters of a request: those of its body (RFC 6749 section 3.2). The query is never read.

    Args:
        once: the parameters that mean something here and must not be repeated. Others are ignored, however often they
            are sent.

    Raises:
        ProblemError: 400, 408, 413 or 415, as `read_form`; `error_form` renders it.
    """
    form = await read_form(request)
    if repeated := [name for name in form.repeated() if name in once]:
        return OAuthRefused("invalid_request", f"{repeated[0]} is sent more than once")
    return form


def error_form(status: int, code: str, detail: str | None, headers: Mapping[str, str]) -> web.Response:
    """What goes wrong before or around a handler, in the words of RFC 6749 section 5.2.

    The status stays: 413, 415 and 503 say more than 400 would. ``temporarily_unavailable`` and ``server_error`` are
    borrowed from section 4.1.2.1.
    """
    error = "invalid_request" if status < 500 else "temporarily_unavailable" if status == 503 else "server_error"
    return oauth_error(error, detail or code, status=status, headers=headers)
