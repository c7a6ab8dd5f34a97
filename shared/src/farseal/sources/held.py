"""The key set that is in force as it came from an address, and what an answer makes of it. No I/O."""

import hashlib
from dataclasses import dataclass, replace

from farseal.jwks import KeySet, KeySetError, parse_jwks
from farseal.sources.disk import Copy
from farseal.sources.fetch import Answer, Validators


@dataclass(frozen=True, slots=True)
class Held:
    """A document that the keeper took.

    Args:
        copy: what is kept of it on the disk.
        digest: of the document.
        ours: whether it has the member ``farseal``, and so a publisher who dates it.
    """

    copy: Copy
    digest: bytes
    ours: bool

    @property
    def validators(self) -> Validators:
        """By what its server recognises it."""
        return Validators(self.copy.etag, self.copy.last_modified)

    def confirmed(self, answer: Answer, asked_at: int) -> "Held":
        """The same document after a 304 at ``asked_at``, with what the answer says anew of its dates.

        One of ours that had a date and is given none stays as old as it was: that it is unchanged does not mean that
        its publisher confirmed it since.
        """
        at = self.copy.dated if self.leaves_open(answer) else dated(answer, asked_at, ours=self.ours)
        copy = replace(
            self.copy,
            dated=at,
            fetched=asked_at - answer.age,
            last_modified=answer.validators.last_modified or self.copy.last_modified,
        )
        return replace(self, copy=copy)

    def is_meant_by(self, answer: Answer) -> bool:
        """Whether a 304 is of this document, and not of another by its ``ETag`` (RFC 9110 section 8.8.3.2, weakly)."""
        return self.validators.may_be(answer.validators)

    def leaves_open(self, answer: Answer) -> bool:
        """Whether this 304 hides the age: some servers leave ``Last-Modified`` out of it where there is an ``ETag``."""
        return self.ours and self.copy.last_modified is not None and answer.last_modified is None


@dataclass(frozen=True, slots=True)
class Examined:
    """What a body is: ``keys`` is None where it is the set that was known, and words where it is none."""

    digest: bytes
    keys: KeySet | str | None


def examine(body: bytes, known: bytes = b"", unusable: Examined | None = None) -> Examined:
    """Read a body. Slow for a large one: made for a thread.

    Args:
        body: of a 200, or of a disk copy.
        known: digest of the set in force, which is not parsed again; empty where there is none.
        unusable: what came of the last body that was no key set; the same is not parsed again either.
    """
    digest = hashlib.sha256(body).digest()
    if digest == known:
        return Examined(digest, None)
    if unusable is not None and digest == unusable.digest:
        return unusable
    try:
        return Examined(digest, parse_jwks(body))
    except KeySetError as error:
        return Examined(digest, str(error))


def is_ours(keys: KeySet) -> bool:
    """Whether a set has the member ``farseal``, and anything in it."""
    return keys.sequence is not None or keys.issuer is not None or bool(keys.revoked)


def dated(answer: Answer, asked_at: int, *, ours: bool) -> int:
    """When the set of an answer was published, in seconds since the epoch.

    One of ours at its ``Last-Modified``, even where that is in the future: the keeper counts it from when it was found,
    and the same date again makes nothing younger. One that has none, and any other, when the answer left its server
    (RFC 9111 section 4.2.3): that is how long ago it was known to be the one in force.
    """
    if ours and answer.last_modified is not None:
        return answer.last_modified
    return asked_at - answer.age
