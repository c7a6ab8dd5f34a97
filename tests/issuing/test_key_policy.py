"""The sums behind a rotation that fails nobody, and what is said of a policy in which one does not come out."""

import pytest

from auth_server.keys.policy import MAX_PUBLISHED_KEYS
from tests.support.keys import POLICY, RETIREMENT, policy


def test_what_a_verifier_needs_is_the_way_of_a_document_to_it() -> None:
    """Publication, cache, refresh, and the clock by which it is told."""
    assert POLICY.verifier_needs_seconds == 300 + 60 + 30 + 20


@pytest.mark.parametrize(
    ("token_seconds", "kept"),
    [
        pytest.param(0, RETIREMENT, id="signed-nothing-is-not-believed"),
        pytest.param(899, RETIREMENT, id="shorter-than-the-policy"),
        pytest.param(900, RETIREMENT, id="as-long-as-the-policy"),
        pytest.param(901, RETIREMENT + 1, id="longer-before-the-policy-was-shortened"),
    ],
)
def test_a_retiring_key_stays_until_its_longest_token_is_dead(token_seconds: int, kept: int) -> None:
    """The longer of what it signed and of what the policy allows, on top of lease, leeway, cache and four clocks."""
    assert POLICY.retirement_seconds(token_seconds) == kept == max(token_seconds, 900) + 45 + 120 + 60 + 120


@pytest.mark.parametrize(
    ("part", "seconds"),
    [
        pytest.param("lease_seconds", 1, id="a-replica-that-learns-of-it-last"),
        pytest.param("max_token_seconds", 1, id="the-token"),
        pytest.param("leeway_seconds", 1, id="what-a-verifier-forgives"),
        pytest.param("cache_seconds", 1, id="a-cache"),
        pytest.param("clock_skew_seconds", 4, id="four-clocks-are-read"),
        pytest.param("verifier_refresh_seconds", 0, id="a-slow-verifier-only-holds-it-longer"),
        pytest.param("publication_seconds", 0, id="a-slow-publication-too"),
    ],
)
def test_each_second_of_a_part_makes_the_retirement_longer(part: str, seconds: int) -> None:
    """Two clocks stamp and judge a token, two others retire and drop its key: all four may err to the wrong side."""
    longer = policy(**{part: getattr(POLICY, part) + 1})
    assert longer.retirement_seconds(0) - POLICY.retirement_seconds(0) == seconds


def test_a_policy_in_which_every_sum_comes_out_has_no_fault() -> None:
    """Twice what the slowest verifier needs, and a rotation as long as that, are enough to the second."""
    needs = 300 + 60 + 30 + 20
    assert list(policy(announce_seconds=2 * needs, rotation_seconds=2 * needs).faults()) == []


@pytest.mark.parametrize(
    ("changes", "faults"),
    [
        pytest.param(
            {"announce_seconds": 819},
            [
                (
                    "announce_seconds",
                    (
                        "must be at least twice what the slowest verifier needs to learn a key: 2 x (300 refresh + 60 "
                        "cache + 30 clock skew + 20 publication) = 820 s, and is 819 s"
                    ),
                )
            ],
            id="announced-a-second-too-short",
        ),
        pytest.param(
            {"rotation_seconds": 1_999},
            [
                (
                    "rotation_seconds",
                    "must be at least the time for which the next key is announced, 2000 s, and is 1999 s",
                )
            ],
            id="rotated-a-second-too-soon",
        ),
        pytest.param({"rotation_seconds": 2_000}, [], id="rotated-as-soon-as-announced"),
        pytest.param(
            {"max_token_seconds": 300_000},
            [
                (
                    "rotation_seconds",
                    (
                        "leads to 33 published keys at once, 32 are the most: a key stays for 45 lease + 300000 "
                        "longest token + 120 leeway + 60 cache + 4 x 30 clock skew = 300345 s after it was replaced"
                    ),
                )
            ],
            id="a-key-more-than-may-be-published",
        ),
        pytest.param({"max_token_seconds": 300_000 - 345}, [], id="as-many-keys-as-may-be-published"),
        pytest.param({"max_token_seconds": 300_000 - 344}, ["rotation_seconds"], id="a-second-longer-is-a-key-more"),
        pytest.param(
            {"announce_seconds": 819, "rotation_seconds": 0},
            ["announce_seconds", "rotation_seconds", "rotation_seconds"],
            id="all-faults-at-once-and-no-division-by-nothing",
        ),
    ],
)
def test_a_fault_names_the_time_and_shows_the_sum(changes: dict[str, int], faults: list[object]) -> None:
    """Each says which time is too short, what it must be and what it is made of; none hides another."""
    found = list(policy(**changes).faults())
    assert [
        fault if isinstance(expected, tuple) else fault[0] for fault, expected in zip(found, faults, strict=True)
    ] == (faults)


def test_the_most_keys_that_a_policy_may_lead_to() -> None:
    """A document of keys is read by everybody all the time: 32 keys of 4096 bits are some 25 kB."""
    assert MAX_PUBLISHED_KEYS == 32
