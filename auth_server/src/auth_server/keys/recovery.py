"""A database that was restored from a backup catches up with what was published after the backup was taken.

Verifiers have seen the published key set, and refuse one with a lower sequence. It names keys that this database has
lost, whose tokens are alive, and withdrawals that it has forgotten. Whoever recovers vouches for the document: it is
believed, as verifiers believed it.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from auth_server.keys import lifecycle
from auth_server.keys.lifecycle import Key, KeyState, active, in_state
from auth_server.keys.lost_kek import give_up
from auth_server.keys.opening import Keks, seal_public
from auth_server.keys.policy import MAX_PUBLISHED_KEYS
from auth_server.keys.public_key import PublicKey
from auth_server.keys.requests import Refused
from auth_server.keys.store import Changing, changing
from auth_server.publication.published import PublishedError, PublishedSet, read_published
from auth_server.storage import audit, publication, signing_keys
from auth_server.storage.connection import Connection
from auth_server.storage.signing_keys import StoredKey
from auth_server.terms import ACCESS_TOKEN_SECONDS
from farseal.clock import at
from farseal.encoding import EncodingError, b64url_decode
from farseal.vocabulary import MAX_REVOKED

if TYPE_CHECKING:
    from auth_server.keys.policy import RotationPolicy

MAX_KEYS: Final = 4 * MAX_PUBLISHED_KEYS
"""In a document. They are published beside those that are here, and verifiers take no set of more than 1,024."""

MAX_SEQUENCE: Final = 2**52
"""Of a document. Changes of keys never count so far; above it they would soon be at the end of the numbers, where no
key can be revoked any more."""


@dataclass(frozen=True, slots=True)
class Recovered:
    """What was done.

    ``kept`` are keys that this database had lost, published without a private half until their last token is dead;
    ``given_up`` those that no KEK opens.
    """

    sequence: int
    kept: tuple[str, ...]
    revoked: tuple[str, ...]
    warnings: tuple[str, ...]
    given_up: tuple[str, ...] = ()


async def recover(
    conn: Connection,
    document: bytes,
    keks: Keks,
    policy: "RotationPolicy",
    *,
    actor: str,
    reason: str | None,
    now: int,
    issuer: str | None = None,
    lost_kek: bool = False,
) -> Recovered | Refused:
    """Take over what a published ``jwks.json`` knows and this database does not, in one transaction.

    - Its revoked kids are revoked here, those of unknown keys too.
    - Its keys that are unknown here are published on. Their public halves are sealed under the first KEK, so that who
      can write to the database alone cannot slip in a key of his own.
    - A key that verifiers do not hold any more is published for the full time of announcement before it signs; if it
      was the one that signs and another one here is held by verifiers, that one takes over.
    - The sequence goes above that of the document.
    - With ``lost_kek``, keys that none of the KEKs opens are given up, see `auth_server.keys.lost_kek`.

    Args:
        conn: a connection.
        document: the bytes of the newest published key set.
        keks: the first seals.
        policy: says how long the unknown keys stay.
        actor: of the audit entries.
        reason: why, in words of the actor.
        now: seconds since the epoch.
        issuer: whose document it must be; None where that is not known.
        lost_kek: there is no KEK any more for the keys that do not open.
    """
    try:
        published = read_published(document)
    except PublishedError as error:
        return Refused(f"the document cannot be used: {error}")
    if issuer is not None and published.issuer != issuer:
        return Refused(f"the document is that of the issuer {published.issuer}")
    if (fault := next(_faults(published), None)) is not None:
        return Refused(f"the document cannot be used: {fault}")
    async with changing(conn) as began:
        before, change, given_up = await publication.sequence(conn), began, tuple[str, ...]()
        if lost_kek:
            given_up = await give_up(began, published, keks, policy, actor=actor, reason=reason, now=now)
            change = replace(began, keys=await signing_keys.locked_keys(conn))
        known = {key.kid: key for key in change.keys}
        lost = tuple(key for key in published.keys if key.kid not in known and key.kid not in published.revoked)
        forgotten = tuple(
            sorted(kid for kid in published.revoked if kid not in known or known[kid].state is not KeyState.REVOKED)
        )
        if published.sequence <= before and not lost and not forgotten and not given_up:
            return Refused(f"the database is at sequence {before} and lacks nothing that the document has")
        after, warnings = _caught_up(change.keys, published, policy, now)
        changed = [key for key in after if key != known[key.kid]]
        # The old active key first: the database holds that there is one.
        changed.sort(key=lambda key: key.state is KeyState.ACTIVE)
        await change.note(changed, actor=actor, action="recover", reason=reason, now=now)
        for public in lost:
            await signing_keys.insert(conn, _kept(public, keks, policy, now))
        for kid in forgotten:
            if kid not in known:
                await signing_keys.insert(conn, _withdrawn(kid, now, reason))
        sequence = await publication.raise_above(conn, published.sequence)
        found = Recovered(sequence, tuple(key.kid for key in lost), forgotten, warnings, given_up)
        await _enter(change, found, before, actor=actor, reason=reason, now=now)
    return found


def _caught_up(
    keys: tuple[Key, ...], published: PublishedSet, policy: "RotationPolicy", now: int
) -> tuple[tuple[Key, ...], tuple[str, ...]]:
    """The known keys after it, and what may go wrong."""
    caught_up = tuple(_known(key, published, now) for key in keys)
    signing = active(caught_up)
    if signing is not None and signing.kid in published.kids:
        return caught_up, ()
    held = [key for key in in_state(caught_up, KeyState.ANNOUNCED) if key.kid in published.kids]
    others = in_state(caught_up, KeyState.ANNOUNCED) or in_state(caught_up, KeyState.READY)
    following = held[0] if held else None if signing is not None else next(iter(others), None)
    changes: dict[str, Key] = {}
    if following is not None:
        changes[following.kid] = lifecycle.activated(following, policy, now=now)
        if signing is not None:
            changes[signing.kid] = lifecycle.retired(signing, policy, now=now)
    warnings: tuple[str, ...] = ()
    if not held:
        warnings = (
            (
                "no key that verifiers hold can sign here: they refuse new tokens with 401 until they have learned the "
                f"new one, which takes {policy.verifier_needs_seconds} s at most"
            ),
        )
    return tuple(changes.get(key.kid, key) for key in caught_up), warnings


def _known(key: Key, published: PublishedSet, now: int) -> Key:
    """What the document says of a key that is here."""
    if key.kid in published.revoked:
        return key if key.state is KeyState.REVOKED else lifecycle.found_revoked(key, now=now)
    if key.kid in published.kids:
        # It may have signed in the time that is lost, with the longest life there is.
        published_on = lifecycle.announced(key, now=now) if key.state is KeyState.READY else key
        return replace(published_on, token_seconds=max(key.token_seconds, ACCESS_TOKEN_SECONDS[1]))
    if key.state in (KeyState.ANNOUNCED, KeyState.ACTIVE):
        # It was dropped in the time that is lost: it has to be published and confirmed again.
        return replace(key, published_at=None, activate_after=None)
    return key


def _kept(public: PublicKey, keks: Keks, policy: "RotationPolicy", now: int) -> StoredKey:
    life = ACCESS_TOKEN_SECONDS[1]
    key = Key(
        kid=public.kid,
        state=KeyState.RETIRING,
        created_at=now,
        announced_at=now,
        published_at=now,
        activate_after=now,
        retired_at=now,
        keep_until=now + policy.retirement_seconds(life),
        token_seconds=life,
    )
    return StoredKey(key, public.jwk(), None, keks[0].id, public.bits, sealed_public_key=seal_public(public, keks))


def _withdrawn(kid: str, now: int, reason: str | None) -> StoredKey:
    key = Key(kid=kid, state=KeyState.REVOKED, created_at=now, revoked_at=now)
    return StoredKey(key, {}, None, None, None, revoked_reason=reason)


async def _enter(change: Changing, found: Recovered, before: int, *, actor: str, reason: str | None, now: int) -> None:
    """One entry for the whole, beside those of the keys that were here."""
    await audit.append(
        change.conn,
        at=at(now),
        actor=actor,
        action="recover",
        reason=reason,
        before={"sequence": before},
        after={
            "sequence": found.sequence,
            "kept": list(found.kept),
            "revoked": list(found.revoked),
            "given_up": list(found.given_up),
            "warnings": list(found.warnings),
        },
    )


def _faults(published: PublishedSet) -> Iterator[str]:
    """Why a document that could be read must not be believed all the same: what follows it would be refused."""
    if published.sequence > MAX_SEQUENCE:
        yield "its sequence leaves no room for the changes to come"
    if len(published.kids) != len(published.keys):
        yield "it has a key twice"
    if len(published.keys) > MAX_KEYS or len(published.revoked) > MAX_REVOKED:
        yield f"it has more than {MAX_KEYS} keys, or more than {MAX_REVOKED} that are revoked"
    for key in published.keys:
        if not _is_taken(key):
            yield f"key {key.kid} is of a size, exponent or spelling that verifiers refuse"
    if any(not re.fullmatch(r"[A-Za-z0-9_-]{43}", kid) for kid in published.revoked):
        yield "a revoked kid is none of ours"


def _is_taken(key: PublicKey) -> bool:
    """Whether verifiers take the key (RFC 7518 section 6.3.1: the fewest octets, in base64url of one spelling)."""
    try:
        octets = b64url_decode(key.n)
    except EncodingError:
        return False
    modulus = int.from_bytes(octets)
    return key.e == "AQAB" and octets[:1] != b"\0" and modulus & 1 == 1 and 2048 <= modulus.bit_length() <= 8192
