"""How long each stage of a key's life lasts, and why that is long enough (pure).

Rotation fails nobody when two sentences hold. Every verifier has a key before the first token of it arrives; and every
verifier has it still when the last one dies. Both are sums of the times below, and `RotationPolicy.faults` refuses a
policy in which a sum does not come out, with the sum shown.

A policy says what is so. A time is lengthened here before anybody takes longer, and shortened here after everybody has
become faster: replicas, caches and verifiers, and what they hold from before.
"""

from collections.abc import Iterator
from dataclasses import dataclass

MAX_PUBLISHED_KEYS = 32
"""That a policy may lead to at once. A document of keys is read by everybody all the time."""

CLOCKS = 4
"""Clocks that are read between the retirement of a key and its end, see `RotationPolicy.retirement_seconds`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RotationPolicy:
    """All times in whole seconds.

    Args:
        rotation_seconds: how long a key signs before the next one takes over.
        announce_seconds: how long a key is published before it signs.
        max_token_seconds: the longest life of any access token; a longer one that is asked for is cut down to it.
        verifier_refresh_seconds: longest time between two looks of the slowest verifier at the published documents.
        leeway_seconds: the most that a verifier forgives at ``exp``.
        clock_skew_seconds: the most by which any clock is off the right time, for which the database's stands: who
            plans checks its own against that. Two clocks differ by twice as much.
        cache_seconds: how long a cache between may keep a document (``Cache-Control: max-age``).
        publication_seconds: longest time from a change in the database until it can be read where verifiers look.
        lease_seconds: how long a replica signs with what it last read; one that cannot read any more stops then.
        pool: keys that are made in advance.
    """

    rotation_seconds: int
    announce_seconds: int
    max_token_seconds: int
    verifier_refresh_seconds: int
    leeway_seconds: int
    clock_skew_seconds: int
    cache_seconds: int
    publication_seconds: int
    lease_seconds: int
    pool: int = 1

    @property
    def verifier_needs_seconds(self) -> int:
        """Until the slowest verifier holds a key that was just announced.

        The skew of one clock is in it. One clock dates the publication and another one tells when the wait is over: the
        skew of both is in the double of this that `faults` asks for.
        """
        return self.verifier_refresh_seconds + self.cache_seconds + self.clock_skew_seconds + self.publication_seconds

    def retirement_seconds(self, token_seconds: int) -> int:
        """How long a key stays published after another one took over.

        ``lease_seconds`` of them for the replica that learns of it last and signs on meanwhile. Four clocks are read,
        and each may err to the wrong side: of who retires the key, of that replica, of who asks whether its token is
        dead, and of who drops the key.

        Args:
            token_seconds: longest life of a token that the key may have signed.
        """
        life = max(token_seconds, self.max_token_seconds)
        return self.lease_seconds + life + self.leeway_seconds + self.cache_seconds + CLOCKS * self.clock_skew_seconds

    def faults(self) -> Iterator[tuple[str, str]]:
        """Why a verifier could miss a key under this policy: the name of the time that is too short, and the sum."""
        needs = self.verifier_needs_seconds
        if self.announce_seconds < 2 * needs:
            yield (
                "announce_seconds",
                (
                    f"must be at least twice what the slowest verifier needs to learn a key: 2 x ("
                    f"{self.verifier_refresh_seconds} refresh + {self.cache_seconds} cache + {self.clock_skew_seconds} "
                    f"clock skew + {self.publication_seconds} publication) = {2 * needs} s, and is "
                    f"{self.announce_seconds} s"
                ),
            )
        if self.rotation_seconds < self.announce_seconds:
            yield (
                "rotation_seconds",
                (
                    f"must be at least the time for which the next key is announced, {self.announce_seconds} s, and is "
                    f"{self.rotation_seconds} s"
                ),
            )
        retirement = self.retirement_seconds(0)
        published = 2 + -(-retirement // max(1, self.rotation_seconds))
        if published > MAX_PUBLISHED_KEYS:
            yield (
                "rotation_seconds",
                (
                    f"leads to {published} published keys at once, {MAX_PUBLISHED_KEYS} are the most: a key stays for "
                    f"{self.lease_seconds} lease + {self.max_token_seconds} longest token + {self.leeway_seconds} "
                    f"leeway + {self.cache_seconds} cache + {CLOCKS} x {self.clock_skew_seconds} clock skew = "
                    f"{retirement} s after it was replaced"
                ),
            )
