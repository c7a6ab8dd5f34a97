"""The reports API: decode, ask, encode."""

from typing import Any, Final

import msgspec
from aiohttp import web

from farseal.bearer import bearer_token
from farseal.errors import VerificationError
from farseal.problems import ProblemError
from farseal.service.requests import request_id
from farseal.web import principal, requires
from resource_b.notes_client import Failure, NotesClient
from resource_b.reports import SeenNotes, org_report, organisation_of, personal_report

NOTES_CLIENT: Final = web.AppKey("NOTES_CLIENT", NotesClient)

RETRY_SECONDS: Final = 1
"""After an overload: the places are held for the notes service's timeout at most."""

OWN_VIEW: Final = {"Cache-Control": "private, no-store"}
"""A report is computed for one caller and one moment."""

_PROBLEMS: Final = {
    Failure.REFUSED: (403, "The notes service does not let this token read notes: it must hold notes:read."),
    Failure.UNREACHABLE: (502, "The notes service cannot be reached."),
    Failure.TIMEOUT: (502, "The notes service did not answer in time."),
    Failure.FAILED: (502, "The notes service answered with an error of its own."),
    Failure.INVALID: (502, "The notes service answered something that is no page of notes."),
    Failure.OVERLOADED: (503, "Too many reports are being made."),
}


class UpstreamTokenRefusedError(VerificationError):
    """The notes service does not honour the caller's token. To the caller that is as if this service did not: 401 with
    a challenge, so that a client gets another token or logs in again."""

    code = Failure.UNAUTHENTICATED.value


@requires("reports:read")
async def get_my_report(request: web.Request) -> web.Response:
    """Report on the caller: what the token says, and what the caller has written."""
    seen = await _notes(request, only_own=True)
    return _json(personal_report(principal(request), seen))


@requires("reports:read", role="analyst")
async def get_org_report(request: web.Request) -> web.Response:
    """Report on the caller's organisation, from the notes that the notes service lets the caller see."""
    org_id = organisation_of(principal(request))
    if org_id is None:
        raise ProblemError(403, "organisation_missing", "This token names no organisation (claim org_id).")
    return _json(org_report(org_id, await _notes(request, only_own=False)))


async def _notes(request: web.Request, *, only_own: bool) -> SeenNotes:
    """The notes, read with the very token that this request was let in with."""
    token = bearer_token(request.headers.getall("Authorization", ()))
    if token is None:
        raise RuntimeError("a report was asked for without a token: its access rule is missing")
    answer = await request.app[NOTES_CLIENT].read(token, only_own=only_own, request_id=request_id(request))
    match answer:
        case Failure.UNAUTHENTICATED:
            raise UpstreamTokenRefusedError(
                "The notes service does not accept this token: it must be in force and name that service in aud"
            )
        case Failure() as failure:
            status, detail = _PROBLEMS[failure]
            headers = {"Retry-After": str(RETRY_SECONDS)} if status == 503 else None
            raise ProblemError(status, failure.value, detail, headers)
        case SeenNotes() as seen:
            return seen


def _json(value: Any) -> web.Response:
    return web.Response(body=msgspec.json.encode(value), content_type="application/json", headers=OWN_VIEW)
