"""The notes API: decode, ask, encode."""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Final
from uuid import UUID

import msgspec
from aiohttp import web

from farseal.clock import Clock
from farseal.problems import ProblemError
from farseal.service.bodies import read_json
from farseal.web import principal
from resource_a.callers import Caller, UnusableClaims, caller_of
from resource_a.cursor import CursorError, decode_cursor, encode_cursor
from resource_a.notes import MAX_BODY_CHARACTERS, MAX_TITLE_CHARACTERS, Note, Refusal
from resource_a.preconditions import PreconditionSyntaxError, Tags, entity_tag, parse_tags
from resource_a.service import DEFAULT_LIMIT, MAX_LIMIT, Notes

NOTES: Final = web.AppKey("NOTES", Notes)
CLOCK: Final[web.AppKey[Clock]] = web.AppKey("CLOCK")

LIST_PARAMETERS: Final = frozenset({"limit", "cursor", "owner"})

OWN_VIEW: Final = {"Cache-Control": "private, no-cache"}
"""An answer is for its caller alone, and a kept copy is asked about before use: that is what the entity tag is for."""

_UUID: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.IGNORECASE)
_LIMIT: Final = re.compile(r"[1-9][0-9]{0,2}")

_Title = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_TITLE_CHARACTERS)]
_Body = Annotated[str, msgspec.Meta(max_length=MAX_BODY_CHARACTERS)]


class NewNote(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """The body of a POST."""

    title: _Title
    body: _Body = ""


class ReplacedNote(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """The body of a PUT, which is whole: a forgotten member must not erase a text."""

    title: _Title
    body: _Body


async def post_note(request: web.Request) -> web.Response:
    """Create a note."""
    caller = _caller(request)
    new = await read_json(request, NewNote)
    note = await request.app[NOTES].create(caller, title=new.title, body=new.body, now=request.app[CLOCK]())
    return _note_response(note, status=201, headers={"Location": f"/notes/{note.id}"})


async def get_notes(request: web.Request) -> web.Response:
    """List the notes the caller may read, newest first."""
    caller = _caller(request)
    query = _query(request)
    limit, before = _limit(query.get("limit")), _before(query.get("cursor"))
    if query.get("owner", "me") != "me":
        raise ProblemError(400, "parameter_invalid", "owner: only 'me' is known")
    page = await request.app[NOTES].page(caller, before=before, limit=limit, only_own="owner" in query)
    cursor = None if page.next_position is None else encode_cursor(page.next_position)
    return _json({"notes": page.notes, "next_cursor": cursor}, headers=OWN_VIEW)


async def get_note(request: web.Request) -> web.Response:
    """Read a note, or learn that the copy at hand is current (RFC 9110 section 13.1.2)."""
    caller, note_id = _caller(request), _note_id(request)
    known = _tags(request, "If-None-Match")
    match await request.app[NOTES].read(caller, note_id):
        case Refusal() as refusal:
            raise _problem(refusal)
        case Note() as note:
            if known is not None and known.match_weakly(note.version):
                return web.Response(status=304, headers={"ETag": entity_tag(note.version), **OWN_VIEW})
            return _note_response(note)


async def put_note(request: web.Request) -> web.Response:
    """Replace a note in the version that the caller has read.

    If-Match is required (428, RFC 6585 section 3): without it the second of two writers would undo the first unseen.
    """
    caller, note_id = _caller(request), _note_id(request)
    expected = _tags(request, "If-Match")
    if expected is None:
        raise ProblemError(
            428, "precondition_required", "Send If-Match with the ETag of the note as you have read it, or *."
        )
    new = await read_json(request, ReplacedNote)
    answer = await request.app[NOTES].replace(
        caller, note_id, expected=expected, title=new.title, body=new.body, now=request.app[CLOCK]()
    )
    match answer:
        case Refusal() as refusal:
            raise _problem(refusal)
        case Note() as note:
            return _note_response(note)


async def delete_note(request: web.Request) -> web.Response:
    """Delete a note; with If-Match only in the version it names."""
    caller, note_id = _caller(request), _note_id(request)
    expected = _tags(request, "If-Match")
    if refusal := await request.app[NOTES].delete(caller, note_id, expected=expected):
        raise _problem(refusal)
    return web.Response(status=204)


def _caller(request: web.Request) -> Caller:
    match caller_of(principal(request)):
        case UnusableClaims(claim, fault):
            raise ProblemError(403, "claims_unusable", f"The claim {claim} of this token {fault}.")
        case Caller() as caller:
            return caller


def _note_id(request: web.Request) -> UUID:
    """The id in the path; what is no UUID names no note."""
    text = request.match_info["id"]
    if not _UUID.fullmatch(text):
        raise _problem(Refusal.NOT_FOUND)
    return UUID(text)


def _tags(request: web.Request, header: str) -> Tags | None:
    try:
        return parse_tags(request.headers.getall(header, ()))
    except PreconditionSyntaxError as error:
        raise ProblemError(400, "header_invalid", f"{header}: {error}") from error


def _query(request: web.Request) -> Mapping[str, str]:
    """The parameters, each known and given once: a misspelt cursor would otherwise list the first page for ever."""
    for name in request.query:
        if name not in LIST_PARAMETERS:
            raise ProblemError(400, "parameter_unknown", "Known are limit, cursor and owner.")
        if len(request.query.getall(name)) > 1:
            raise ProblemError(400, "parameter_repeated", f"{name}: given more than once")
    return request.query


def _limit(text: str | None) -> int:
    if text is None:
        return DEFAULT_LIMIT
    if not _LIMIT.fullmatch(text) or int(text) > MAX_LIMIT:
        raise ProblemError(400, "parameter_invalid", f"limit: must be 1 to {MAX_LIMIT}")
    return int(text)


def _before(text: str | None) -> int | None:
    if text is None:
        return None
    try:
        return decode_cursor(text)
    except CursorError as error:
        raise ProblemError(400, "parameter_invalid", f"cursor: {error}") from error


_PROBLEMS: Final = {
    Refusal.NOT_FOUND: (404, "There is no such note, or it is not yours to see."),
    Refusal.NOT_OWNER: (403, "Only the owner of a note may change it."),
    Refusal.STALE: (412, "The note has changed since you read it; read it again."),
}


def _problem(refusal: Refusal) -> ProblemError:
    status, detail = _PROBLEMS[refusal]
    return ProblemError(status, refusal.value, detail)


def _note_response(note: Note, *, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    return _json(note, status=status, headers={"ETag": entity_tag(note.version), **OWN_VIEW, **(headers or {})})


def _json(value: Any, *, status: int = 200, headers: Mapping[str, str]) -> web.Response:
    return web.Response(
        status=status, body=msgspec.json.encode(value), content_type="application/json", headers=headers
    )
