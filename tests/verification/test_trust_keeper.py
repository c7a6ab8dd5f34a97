"""What becomes of trust as documents come in, told without a file, a thread or a wait."""

import hashlib
import json
import logging
from collections.abc import Iterable
from dataclasses import dataclass, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farseal.jwks import parse_jwks
from farseal.sources.keeper import JUMP_SECONDS, REMINDER_SECONDS, Found, Moment, Refused, TrustKeeper
from farseal.sources.source import IssuerStatus, SourceStatus
from farseal.trust import AgeLimits
from tests.support.tokens import ISSUER, Issuer, compact_json, jwk

NOW = 1_795_000_000
OTHER = "https://other.example"
FIRST, SECOND = Issuer(NOW, kid="first"), Issuer(NOW, kid="second")
BROKEN = Refused("jwks.json: broken")


@dataclass
class Story:
    """A keeper and the time around it. ``age`` passes time, ``set_clock`` does not."""

    keeper: TrustKeeper
    now: int = NOW
    uptime: float = 1_000.0

    @property
    def at(self) -> Moment:
        return Moment(self.now, self.uptime)

    def age(self, seconds: float) -> None:
        self.now += int(seconds)
        self.uptime += seconds
        self.keeper.follow_clock(self.at)

    def set_clock(self, now: int) -> None:
        self.now = now
        self.keeper.follow_clock(self.at)

    def found(self, jwks: bytes, dated: int, issuer: str = ISSUER) -> None:
        digest = hashlib.sha256(jwks).digest()
        keys = None if digest == self.keeper.digest(issuer) else parse_jwks(jwks)
        self.keeper.learn(issuer, Found(digest, dated, keys), self.at)

    def refused(self, *, changed: bool = True, issuer: str = ISSUER) -> None:
        self.keeper.learn(issuer, BROKEN, self.at, changed=changed)

    @property
    def status(self) -> SourceStatus:
        """Of the whole; by issuer it is in ``of``."""
        return replace(self.keeper.status(self.now), issuers={})

    def of(self, issuer: str = ISSUER) -> IssuerStatus:
        return self.keeper.status(self.now).issuers[issuer]

    @property
    def kids(self) -> set[str]:
        return set(self.keeper.snapshot.issuers[ISSUER].keys)


def story(limits: AgeLimits | None = None, issuers: Iterable[str] = (ISSUER,), now: int = NOW) -> Story:
    told = Story(TrustKeeper({issuer: f"/trust/{n}" for n, issuer in enumerate(issuers)}, limits or AgeLimits()), now)
    told.keeper.follow_clock(told.at)
    return told


def test_nothing_is_trusted_before_anything_was_found() -> None:
    """Generation 0, and no digest that a set could equal."""
    told = story()
    assert told.status == SourceStatus(generation=0, loads=0, refused=0, refusal=None, ages={})
    assert told.keeper.digest(ISSUER) == b""


def test_a_set_from_the_future_is_as_old_as_its_discovery() -> None:
    """A publisher's clock may run ahead; from the moment it was found the set ages like any other."""
    told = story()
    told.found(FIRST.jwks(), NOW + 9_000)
    assert told.status.ages == {ISSUER: 0}
    told.age(50)
    assert told.status.ages == {ISSUER: 50}


def test_known_keys_published_again_from_the_future_are_as_old_as_that_discovery() -> None:
    """The rule for a first set holds for its next publication."""
    told = story()
    told.found(FIRST.jwks(), NOW - 5)
    told.found(FIRST.jwks(), NOW + 9_000)
    assert told.status.ages == {ISSUER: 0}
    told.age(50)
    assert told.status.ages == {ISSUER: 50}


@pytest.mark.parametrize("dated", [0, -1, NOW - 100, NOW - 50], ids=["1970", "1969", "at-the-limit", "younger"])
def test_a_date_set_back_does_not_make_known_keys_older(dated) -> None:
    """They were seen to be published later than that; a copy that loses its dates is no outage."""
    told = story(AgeLimits(10, 100))
    told.found(FIRST.jwks(), NOW - 5)
    told.found(FIRST.jwks(), dated)
    assert (told.status.ages, told.status.refusal) == ({ISSUER: 5}, None)


@pytest.mark.parametrize(
    ("dated", "taken"),
    [
        pytest.param(0, False, id="1970"),
        pytest.param(NOW - 100, False, id="at-the-limit"),
        pytest.param(NOW - 99, True, id="last-second"),
    ],
)
def test_keys_past_their_limit_do_not_replace_keys_that_are_not(dated, taken) -> None:
    """A backup laid back, dates and all, leaves the last good set in force; what may still be used is taken."""
    told = story(AgeLimits(10, 100))
    told.found(FIRST.jwks(), NOW - 5)
    told.found(SECOND.jwks(), dated)
    if taken:
        assert (told.kids, told.status.refusal) == ({"second"}, None)
        return
    assert told.kids == {"first"}
    assert told.status.refusal == "jwks.json: dated past the limit of 100 s"
    assert told.status.refused == 1
    told.found(SECOND.jwks(), NOW)
    assert (told.kids, told.status.refusal) == ({"second"}, None)


def test_keys_past_their_limit_replace_keys_that_are_so_too() -> None:
    """Nothing is lost by it, and a clock that is ahead keeps nobody from following the publisher."""
    told = story(AgeLimits(10, 100))
    told.found(FIRST.jwks(), NOW)
    told.age(9_000)
    told.found(SECOND.jwks(), NOW + 10)
    assert told.kids == {"second"}
    assert told.status.ages == {ISSUER: 8_990}


@pytest.mark.parametrize(
    ("started_at", "dated", "age"),
    [
        pytest.param(0, NOW - 40, 40, id="a-machine-that-starts-in-1970"),
        pytest.param(NOW - 86_400, NOW - 40, 40, id="a-day-behind"),
        pytest.param(NOW - 86_400, NOW + 40, 0, id="a-day-behind-and-the-publisher-ahead"),
        pytest.param(NOW + 86_400, NOW - 40, 40, id="a-day-ahead"),
        pytest.param(NOW + 86_400, NOW + 99_999, 0, id="a-day-ahead-and-the-publisher-further"),
    ],
)
def test_a_clock_that_is_set_right_sets_the_age_right(started_at, dated, age) -> None:
    """A service may start before its machine knows the time: that is no outage until the next publication."""
    told = story(now=started_at)
    told.found(FIRST.jwks(), dated)
    told.set_clock(NOW)
    assert told.status.ages == {ISSUER: age}
    assert told.status.generation == 1


@pytest.mark.parametrize("back", [JUMP_SECONDS, 3_600, 100_000, NOW], ids=["jump", "hour", "past-the-limit", "1970"])
def test_a_clock_that_is_set_back_makes_no_set_ageless(back) -> None:
    """What was found before seems to be from the future. It ages from that moment on, and reaches its limit."""
    told = story()
    told.found(FIRST.jwks(), NOW)
    told.set_clock(NOW - back)
    assert told.status.ages == {ISSUER: 0}
    told.age(90_000)
    assert told.status.ages == {ISSUER: 90_000}
    told.set_clock(NOW + 90_000)
    assert told.status.ages == {ISSUER: 90_000}


@pytest.mark.parametrize(("jump", "moved"), [(JUMP_SECONDS - 1, False), (JUMP_SECONDS, True)], ids=["drift", "set"])
def test_a_clock_that_merely_drifts_dates_nothing_again(jump, moved) -> None:
    """Otherwise a set from the future would never age."""
    told = story()
    told.found(FIRST.jwks(), NOW + 9_000)
    told.set_clock(NOW + jump)
    assert told.status.ages == {ISSUER: 0 if moved else jump}


def test_the_same_keys_are_no_new_generation_and_no_load() -> None:
    """A publisher that writes the same set every minute keeps it fresh; no verdict changes."""
    told = story()
    told.found(FIRST.jwks(), NOW - 40)
    told.found(FIRST.jwks(), NOW - 5)
    assert told.status == SourceStatus(generation=1, loads=1, refused=0, refusal=None, ages={ISSUER: 5})


def test_a_fault_is_counted_once_for_each_publication_that_has_it() -> None:
    """Looking again at the same one, even reading it again, is not another."""
    told = story()
    told.found(FIRST.jwks(), NOW)
    before = told.keeper.snapshot
    told.refused()
    told.refused(changed=False)
    told.keeper.learn(ISSUER, None, told.at)
    assert told.status.refused == 1
    told.refused()
    assert (told.status.refused, told.status.refusal) == (2, BROKEN.reason)
    told.keeper.learn(ISSUER, Refused("jwks.json: missing"), told.at, changed=False)
    assert told.status.refused == 3, "another fault is another refusal"
    assert told.keeper.snapshot is before


def test_a_standing_fault_is_logged_again_once_a_minute(caplog) -> None:
    """And said to be over when it is. Whether the same was found or nothing new makes no difference."""
    told = story()
    with caplog.at_level(logging.INFO, "farseal"):
        told.refused()
        told.age(REMINDER_SECONDS - 0.5)
        told.keeper.learn(ISSUER, None, told.at)
        told.refused()
        assert caplog.messages == [
            "published documents in /trust/0 are not taken: jwks.json: broken; there are no keys: every token gets 503"
        ]
        told.age(0.5)
        told.keeper.learn(ISSUER, None, told.at)
        told.age(REMINDER_SECONDS)
        told.refused(changed=False)
        assert len(caplog.messages) == 3
        caplog.clear()
        told.found(FIRST.jwks(), told.now)
        told.keeper.learn(ISSUER, None, told.at)
        assert caplog.messages == ["/trust/0 is usable again", f"generation 1: 1 keys of {ISSUER}"]
        told.refused()
        assert caplog.messages[-1].endswith("the last good keys stay in force")


def test_a_key_that_is_left_out_is_reported(caplog) -> None:
    """The others stay usable; the log says which is not and why, and only what can be printed."""
    told = story()
    told.found(FIRST.jwks({"kty": "EC", "kid": "curve\u001b"}, {"kty": "EC", "kid": "curve"}), NOW)
    assert told.kids == {"first"}
    assert "key 2 of http://127.0.0.1:9000 ('curve') is not used: its kty is not RSA" in caplog.text
    assert "\u001b" not in caplog.text


def test_a_thousand_keys_that_are_left_out_are_no_thousand_lines(caplog) -> None:
    """Each change of the set would write them again."""
    told = story()
    told.found(FIRST.jwks(*({"kty": "EC", "kid": f"curve-{n}"} for n in range(1000))), NOW)
    lines = [record.getMessage() for record in caplog.records if "not used" in record.getMessage()]
    assert len(lines) == 6
    assert lines[-1] == f"995 more keys of {ISSUER} are not used"


def test_issuers_are_kept_apart() -> None:
    """One that breaks neither hides nor harms another; what they share is the generation."""
    told = story(issuers=(ISSUER, OTHER))
    told.found(FIRST.jwks(), NOW - 5)
    told.found(SECOND.jwks(), NOW - 7, OTHER)
    assert told.status == SourceStatus(2, 2, 0, None, {ISSUER: 5, OTHER: 7})
    told.refused(issuer=OTHER)
    told.found(FIRST.jwks(), NOW)
    assert told.status == SourceStatus(2, 2, 1, BROKEN.reason, {ISSUER: 0, OTHER: 7})
    told.keeper.learn(ISSUER, Refused("jwks.json: missing"), told.at)
    assert told.status.refusal == "jwks.json: missing; jwks.json: broken"
    assert told.of(OTHER) == IssuerStatus(1, BROKEN.reason, 0)
    assert set(told.keeper.snapshot.issuers[OTHER].keys) == {"second"}


def test_a_clock_set_right_sets_every_issuer_right() -> None:
    """Those that were dated by it, and no others."""
    told = story(issuers=(ISSUER, OTHER), now=NOW - 86_400)
    told.found(FIRST.jwks(), NOW - 40)
    told.found(SECOND.jwks(), NOW - 90_000, OTHER)
    told.set_clock(NOW)
    assert told.status.ages == {ISSUER: 40, OTHER: 90_000}


@pytest.mark.parametrize(
    ("held", "next_", "refusal"),
    [
        pytest.param(7, 8, None, id="newer"),
        pytest.param(7, 6, "sequence 6 is older than 7, which is in force", id="older"),
        pytest.param(7, 7, "another document under the same sequence 7", id="the-same-number"),
        pytest.param(7, None, "it has no sequence, and what is in force has 7", id="it-stops-counting"),
        pytest.param(None, 1, None, id="it-begins-to-count"),
        pytest.param(None, None, None, id="it-does-not-count"),
    ],
)
def test_a_set_laid_back_never_replaces_a_later_one(held, next_, refusal) -> None:
    """Withdrawn keys would come back with it, however young its file is."""
    told = story()
    told.found(FIRST.jwks(**numbered(held)), NOW)
    told.found(SECOND.jwks(**numbered(next_)), NOW + 1)
    if refusal is None:
        assert (told.kids, told.of()) == ({"second"}, IssuerStatus())
        assert told.keeper.snapshot.issuers[ISSUER].sequence == next_
        return
    assert (told.kids, told.of()) == ({"first"}, IssuerStatus(1, f"jwks.json: {refusal}", 1))
    assert told.status.rollbacks == 1
    told.found(FIRST.jwks(**numbered(held)), NOW + 1)
    assert told.of() == IssuerStatus(1, None, 1), "counted, and over"


def numbered(sequence: int | None) -> dict[str, int]:
    return {} if sequence is None else {"sequence": sequence}


def test_a_set_laid_back_past_the_limit_of_what_is_held_is_refused_all_the_same() -> None:
    """An outage of the publisher is when somebody lays something back."""
    told = story(AgeLimits(10, 100))
    told.found(FIRST.jwks(sequence=7), NOW)
    told.age(9_000)
    told.found(SECOND.jwks(sequence=6), told.now)
    assert told.kids == {"first"}
    assert told.of().rollbacks == 1


def test_the_same_keys_under_the_same_number_may_be_written_otherwise() -> None:
    """A publisher that puts blanks elsewhere after an upgrade is no rollback, and no outage a day later."""
    told = story()
    jwks = FIRST.jwks(sequence=7, revoked=["gone"])
    told.found(jwks, NOW - 50)
    told.found(jwks.replace(b",", b", "), NOW)
    assert (told.status.refusal, told.status.ages) == (None, {ISSUER: 0})
    for other in ([], ["gone", "more"]):
        told.found(FIRST.jwks(sequence=7, revoked=other), NOW)
        assert told.of().refusal == "jwks.json: another document under the same sequence 7"
    stranger = {**json.loads(SECOND.jwks())["keys"][0], "kid": "first"}
    told.found(compact_json({"keys": [stranger], "farseal": {"sequence": 7, "revoked": ["gone"]}}), NOW)
    assert told.of().rollbacks == 3, "another key under the same kid"


def test_a_set_of_another_issuer_is_refused() -> None:
    """By its own account; one that gives none is taken for the issuer's whose place it is in."""
    told = story()
    told.found(FIRST.jwks(issuer=ISSUER), NOW)
    told.found(SECOND.jwks(issuer=OTHER, sequence=3, revoked=["first"]), NOW)
    trust = told.keeper.snapshot.issuers[ISSUER]
    assert (set(trust.keys), trust.revoked) == ({"first"}, frozenset())
    assert told.of() == IssuerStatus(1, f"jwks.json: the key set is of another issuer than {ISSUER}", 0)
    told.found(FIRST.jwks(issuer=ISSUER, sequence=7), NOW)
    told.found(SECOND.jwks(issuer=OTHER, sequence=3), NOW)
    assert told.of().rollbacks == 0, "it is not older: it is somebody else's"


def test_a_set_without_a_usable_key_withdraws_what_it_withdraws() -> None:
    """Refused as a whole it would leave a stolen key in force. The keys stay until others come."""
    told = story()
    told.found(FIRST.jwks(sequence=7), NOW)
    told.found(FIRST.jwks(sequence=8, revoked=["first"]), NOW)
    trust = told.keeper.snapshot.issuers[ISSUER]
    assert (trust.revoked, trust.sequence) == ({"first"}, 7)
    assert (told.status.generation, told.status.refusal) == (2, "jwks.json: no usable key among 1")
    told.found(FIRST.jwks(sequence=8, revoked=["first"]), NOW)
    assert told.status.generation == 2, "once"
    told.found(SECOND.jwks(sequence=9, revoked=["first"]), NOW)
    trust = told.keeper.snapshot.issuers[ISSUER]
    assert (set(trust.keys), trust.revoked, told.status.refusal) == ({"second"}, {"first"}, None)


def test_sets_that_are_refused_leave_nothing_that_grows() -> None:
    """An issuer that publishes ever new withdrawals and no key would fill the memory of its verifiers."""
    told = story()
    told.found(FIRST.jwks(sequence=7), NOW)
    for sequence in range(8, 20):
        told.found(compact_json({"keys": [], "farseal": {"sequence": sequence, "revoked": [f"lost-{sequence}"]}}), NOW)
    assert told.keeper.snapshot.issuers[ISSUER].revoked == set()
    assert (told.status.generation, told.status.refused) == (1, 12)


def test_a_set_dated_past_the_limit_withdraws_what_it_withdraws() -> None:
    """A copy that lost its dates must not keep a revocation from us."""
    told = story(AgeLimits(10, 100))
    told.found(FIRST.jwks(sequence=7), NOW)
    told.found(SECOND.jwks(sequence=8, revoked=["first"]), 0)
    assert told.kids == {"first"}
    assert told.keeper.snapshot.issuers[ISSUER].revoked == {"first"}


@given(
    st.lists(
        st.tuples(
            st.one_of(st.none(), st.integers(1, 4)),
            st.frozensets(st.sampled_from(["first", "second", "lost"])),
            st.sampled_from([ISSUER, OTHER, None]),
            st.sampled_from([NOW, NOW - 50, 0]),
        ),
        max_size=12,
    )
)
def test_whatever_comes_the_number_in_force_never_falls(published) -> None:
    """Nor is a key that was withdrawn good again before a set of a higher number says so; in any order of documents."""
    told = story(AgeLimits(10, 100))
    before = None
    for sequence, revoked, issuer, dated in published:
        said = numbered(sequence) | ({} if issuer is None else {"issuer": issuer})
        told.found(FIRST.jwks(jwk(SECOND.key, "second"), revoked=sorted(revoked), **said), dated)
        now = told.keeper.snapshot.issuers.get(ISSUER)
        if before is not None:
            assert now is not None
            assert (now.sequence or 0) >= (before.sequence or 0)
            if before.sequence is not None and now.sequence == before.sequence:
                assert now.revoked >= before.revoked
        if now is not None:
            assert now.keys
            assert now.published_at <= told.now
        before = now
