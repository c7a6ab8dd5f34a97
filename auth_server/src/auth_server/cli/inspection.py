"""What a compact token says of itself. Nothing is verified: the auth server issues, `farseal inspect` verifies."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeGuard

from auth_server.cli.sessions.outlook import Outlook, who
from auth_server.cli.times import duration_words, from_now
from auth_server.keys.lifecycle import KeyState
from auth_server.storage.session_list import SessionRow
from auth_server.storage.signing_keys import StoredKey
from farseal.encoding import EncodingError, b64url_decode, parse_json_object
from farseal.vocabulary import STATUS_SUFFIX

SIGNATURE_WORDS: Final = "not checked here; this checks it: farseal inspect --jwks FILE|URL -"

_LAST_TIME: Final = 253_402_300_799
"""The last second of the year 9999 (RFC 3339 has no later one), where verifiers of this project stop too."""

_MEANING: Final[Mapping[KeyState, str]] = {
    KeyState.READY: "published nowhere, so resource servers do not know it",
    KeyState.ANNOUNCED: "published, and signs nothing yet",
    KeyState.RETIRING: "still published, and signs no more",
    KeyState.GONE: "published no more, so resource servers do not know it",
    KeyState.REVOKED: "withdrawn, so resource servers refuse it",
}


class MalformedTokenError(ValueError):
    """The text is no compact JWS with JSON inside. The message never quotes it."""


@dataclass(frozen=True, slots=True)
class Inspected:
    """Header and claims as the sender wrote them. The signature is not kept, so that nothing can print it."""

    header: Mapping[str, Any]
    claims: Mapping[str, Any]


def inspect_token(text: str) -> Inspected:
    """Take a compact JWS apart (RFC 7515 section 7.1), strictly.

    Raises:
        MalformedTokenError: it has not three parts of canonical base64url with JSON objects in the first two.
    """
    parts = text.split(".")
    if len(parts) != 3:
        count = "1 part" if len(parts) == 1 else f"{len(parts)} parts"
        raise MalformedTokenError(f"it has {count} instead of 3, separated by dots")
    try:
        header, claims = (parse_json_object(b64url_decode(part)) for part in parts[:2])
        b64url_decode(parts[2])
    except EncodingError as error:
        raise MalformedTokenError(str(error)) from None
    return Inspected(header, claims)


def key_words(header: Mapping[str, Any], keys: Sequence[StoredKey] | None) -> str:
    """Which of these keys the header names; None stands for keys that could not be read.

    Anybody can write a kid into a header: that it is ours does not say that we signed.
    """
    kid = header.get("kid")
    if kid is None:
        return "the header names none"
    if keys is None:
        return "unknown: the database cannot be asked"
    named = next((key for key in keys if key.kid == kid), None)
    if named is None:
        return "none of ours has this kid"
    meaning = _MEANING.get(named.state)
    return f"ours, {named.state}: {named.kid}" + (f", {meaning}" if meaning else "")


@dataclass(frozen=True, slots=True)
class SessionSeen:
    """A session as it stood at ``now``; without a row there is none of ours."""

    row: SessionRow | None
    outlook: Outlook | None = None
    now: int = 0


def session_words(claims: Mapping[str, Any], seen: SessionSeen | None) -> str:
    """How the session stands that the claims name; None stands for a database that cannot be asked.

    As with a key, anybody can write one into a token.
    """
    if "sid" not in claims:
        return "the token names none"
    if seen is None:
        return "unknown: the database cannot be asked"
    row, found = seen.row, seen.outlook
    if row is None or found is None:
        return "none of ours has this sid, or it has been forgotten"
    of = f"ours, of {who(row)}" if row.user_id is not None else "ours, a client's own"
    end = found.ends_at if row.ended_at is None else int(row.ended_at.timestamp())
    stands = {"living": "living, ends", "ended": "ended"}.get(found.standing, f"{found.standing}, ended")
    words = f"{of}, through {row.client_id}: {stands} {from_now(end, seen.now)}"
    if row.ended_by is not None:
        words += f" ({row.ended_by})"
    return f"{words}; entry {row.status_index} of the status list {row.status_list}{_elsewhere(claims, row)}"


def _elsewhere(claims: Mapping[str, Any], row: SessionRow) -> str:
    """Whether the token says something else of where its end is published."""
    status = claims.get("status")
    said = status.get("status_list") if isinstance(status, Mapping) else None
    uri, index = (said.get("uri"), said.get("idx")) if isinstance(said, Mapping) else (None, None)
    same = isinstance(uri, str) and uri.endswith(f"/{row.status_list}{STATUS_SUFFIX}") and index == row.status_index
    return "" if same else ", and the token names another entry"


def lifetime_words(claims: Mapping[str, Any], *, now: int) -> str:
    """How a token stands in its life at ``now`` (seconds since the epoch), without any leeway."""
    expires, issued = claims.get("exp"), claims.get("iat")
    if expires is None:
        return "it has no exp, so no resource server takes it"
    if not _is_time(expires):
        return "its exp is no time in whole seconds, so no resource server takes it"
    whole = f", {duration_words(expires - issued)} in all" if _is_time(issued) else ""
    if now >= expires:
        return f"expired {duration_words(now - expires)} ago{whole}"
    return f"expires in {duration_words(expires - now)}{whole}"


def _is_time(value: object) -> TypeGuard[int]:
    # An exact type: bool is an int to Python.
    return type(value) is int and 0 <= value <= _LAST_TIME
