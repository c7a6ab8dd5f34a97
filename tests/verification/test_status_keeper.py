"""What becomes of status lists as they come in, told without a file, a thread or a wait."""

import hashlib
import logging
from dataclasses import dataclass

import pytest

from farseal.jwks import parse_jwks
from farseal.sources import lists as lists_module
from farseal.sources.keeper import REMINDER_SECONDS, Found, FoundLists, Moment, Refused, TrustKeeper
from farseal.sources.source import IssuerStatus, ListsStatus
from farseal.status_index import MAX_LISTS
from farseal.status_list import StatusList, read_status_list
from farseal.trust import AgeLimits, Judgement, StatusLimits
from tests.support.tokens import ISSUER, Issuer, jwk, private_key

NOW = 1_795_000_000
OTHER = "https://other.example"
FIRST, SECOND = Issuer(NOW, kid="first"), Issuer(NOW, kid="second")
BOTH = FIRST.jwks(jwk(private_key("second"), "second"))
URI = FIRST.list_uri


@dataclass
class Story:
    """A keeper with the keys of an issuer, and the time around it."""

    keeper: TrustKeeper
    now: int = NOW
    uptime: float = 1_000.0

    @property
    def at(self) -> Moment:
        return Moment(self.now, self.uptime)

    def age(self, seconds: int) -> None:
        self.now += seconds
        self.uptime += seconds
        self.keeper.follow_clock(self.at)

    def set_clock(self, now: int) -> None:
        self.now = now
        self.keeper.follow_clock(self.at)

    def keys(self, jwks: bytes, issuer: str = ISSUER) -> None:
        self.keeper.learn(issuer, Found(hashlib.sha256(jwks).digest(), self.now, parse_jwks(jwks)), self.at)

    def found(self, **lists: StatusList | str | None) -> None:
        """Lists by the first word of their URI's last segment."""
        by_uri = {URI.replace("one", name): each for name, each in lists.items()}
        self.keeper.learn_lists(ISSUER, FoundLists(by_uri), self.at)

    @property
    def in_force(self) -> dict[str, tuple[int | None, bytes]]:
        lists = self.keeper.snapshot.issuers[ISSUER].lists
        return {uri.rpartition("/")[2][:-4]: (one.version, one.data[:1]) for uri, one in lists.items()}

    @property
    def lists(self) -> ListsStatus:
        return self.keeper.status(self.now).issuers[ISSUER].lists

    @property
    def generation(self) -> int:
        return self.keeper.snapshot.generation

    def age_of(self, name: str = "one") -> int:
        return self.now - self.keeper.snapshot.issuers[ISSUER].lists[URI.replace("one", name)].issued_at


def story(limits: StatusLimits | None = None, jwks: bytes = BOTH, now: int = NOW) -> Story:
    told = Story(TrustKeeper({ISSUER: "/trust/0", OTHER: "/trust/1"}, AgeLimits(), limits or StatusLimits()), now)
    told.keeper.follow_clock(told.at)
    told.keys(jwks)
    return told


def listed(
    version: int | None = 1, revoked: tuple[int, ...] = (), *, by: Issuer = FIRST, name: str = "one", **claims
) -> StatusList:
    said = {} if version is None else {"farseal": {"version": version}}
    uri = URI.replace("one", name)
    document = by.status_list(revoked, **({"sub": uri} | said | claims))
    return read_status_list(document, uri, issuer=ISSUER, keys=parse_jwks(BOTH).keys, now=NOW, leeway=10**6)


def test_lists_are_in_force_without_a_new_generation() -> None:
    """The snapshot is another, and no verdict on a signature changes with it."""
    told = story()
    before = told.keeper.snapshot
    told.found(one=listed(1, (0,)), two=listed(3, name="two"))
    assert told.in_force == {"one": (1, b"\1"), "two": (3, b"\0")}
    assert (told.generation, told.lists) == (1, ListsStatus(taken=2))
    assert before.issuers[ISSUER].lists == {}, "a snapshot that somebody still holds does not change"
    assert told.keeper.lists(ISSUER) == {
        one.uri: one.digest for one in told.keeper.snapshot.issuers[ISSUER].lists.values()
    }
    assert told.keeper.lists(OTHER) == {}


def test_the_same_document_stays_and_what_is_not_named_goes() -> None:
    """None says that what is there is what is in force."""
    told = story()
    told.found(one=listed(), two=listed(name="two"))
    before = told.keeper.snapshot
    told.found(one=None, two=None)
    assert told.keeper.snapshot is before
    told.found(two=None)
    assert set(told.in_force) == {"two"}
    told.keeper.learn_lists(ISSUER, None, told.at)
    assert set(told.in_force) == {"two"}
    told.found()
    assert told.in_force == {}


@pytest.mark.parametrize(
    ("held", "next_", "refusal"),
    [
        pytest.param(listed(7), listed(8, (1,)), None, id="newer"),
        pytest.param(listed(7), listed(8, (1,), iat=NOW - 90), None, id="newer-by-its-number-alone"),
        pytest.param(listed(7, (1,)), listed(6), "Its version 6 is older than 7", id="older"),
        pytest.param(
            listed(7, (1,)), listed(6, iat=NOW + 50), "Its version 6 is older than 7", id="older-and-signed-later"
        ),
        pytest.param(
            listed(7, (1,)), listed(7, (2,), iat=NOW + 9), "It is another list under the same version 7", id="same"
        ),
        pytest.param(listed(7, (1,)), listed(None), "It has no version, and the latest has 7", id="it-stops-counting"),
        pytest.param(listed(None), listed(1, (1,), iat=NOW - 9), None, id="it-begins-to-count"),
        pytest.param(listed(None), listed(None, (1,), iat=NOW), None, id="of-the-same-second"),
        pytest.param(listed(None), listed(None, (1,), iat=NOW + 1), None, id="issued-later"),
        pytest.param(
            listed(None), listed(None, iat=NOW - 1), "It was issued before the one that was there", id="issued-before"
        ),
    ],
)
def test_a_list_laid_back_never_replaces_a_later_one(held, next_, refusal) -> None:
    """Revoked tokens would be good again. It is refused also where the later one has left in between."""
    for gone in (False, True):
        told = story()
        told.found(one=held)
        if gone:
            told.found()
        told.found(one=next_)
        told.found(one=next_)
        if refusal is None:
            assert (told.in_force["one"][1], told.lists.refusal) == (next_.data[:1], None)
        elif "same version" not in refusal or not gone:
            assert told.in_force == ({} if gone else {"one": (held.version, held.data[:1])})
            assert told.lists == ListsStatus(1, 1, 1, f"status/one.jwt: {refusal}"), "one and the same is counted once"
            told.found(one=held if gone else None)
            assert (told.lists.refusal, told.in_force["one"][0]) == (None, held.version)


def test_the_slower_of_two_replicas_is_no_rollback() -> None:
    """It signed the same entries a little earlier; the younger stays, and nobody is warned."""
    told = story()
    told.found(one=listed(7, iat=NOW - 3))
    told.found(one=listed(7, iat=NOW - 9))
    assert (told.age_of(), told.lists) == (3, ListsStatus(taken=1))
    told.found(one=listed(7, iat=NOW - 1, by=SECOND))
    assert (told.age_of(), told.lists.taken) == (1, 2)


def test_one_bad_list_is_no_trouble_of_the_others() -> None:
    """Words keep what is in force; a list that never was there is not there."""
    told = story()
    told.found(one=listed(1), two=listed(1, name="two"))
    told.found(one="It has expired", two=listed(2, name="two"), three="missing")
    assert {name: version for name, (version, _) in told.in_force.items()} == {"one": 1, "two": 2}
    assert told.lists == ListsStatus(3, 2, 0, "status/one.jwt: It has expired; status/three.jwt: missing")
    assert told.keeper.status(NOW).issuers[ISSUER] == IssuerStatus(lists=told.lists), "no fault of the keys"
    told.found(one="It has expired", two=None, three="missing")
    assert told.lists.refused == 2, "the same fault is one"
    told.found(one=None, two=None)
    assert told.lists.refusal is None


def test_an_index_that_cannot_be_read_leaves_all_in_force() -> None:
    """Which lists there are is not known; they age."""
    told = story()
    told.found(one=listed())
    told.keeper.learn_lists(ISSUER, Refused("The index is of another issuer"), told.at)
    told.keeper.learn_lists(ISSUER, Refused("The index is of another issuer"), told.at)
    assert set(told.in_force) == {"one"}
    assert told.lists == ListsStatus(1, 1, 0, "status-lists.json: The index is of another issuer")
    told.found(one=None)
    assert told.lists.refusal is None


def test_thousands_of_faults_are_told_in_one_line() -> None:
    """Three of them, and how many more."""
    told = story()
    told.found(**{f"l{number}": "missing" for number in range(1_000)})
    assert told.lists.refusal is not None
    assert told.lists.refusal.endswith("status/l2.jwt: missing; and 997 more lists")


def test_lists_are_carried_over_to_new_keys() -> None:
    """A rotation changes nothing about who was logged out; also where the key that signed is no longer published."""
    told = story()
    told.found(one=listed(7, (1,)))
    told.keys(SECOND.jwks())
    assert told.in_force == {"one": (7, b"\2")}
    assert told.generation == 2
    told.found(one=listed(6, by=SECOND))
    assert told.lists.rollbacks == 1, "what was seen is carried over as well"


@pytest.mark.parametrize("usable", [True, False], ids=["a-good-set", "a-set-without-another-key"])
def test_a_withdrawn_key_takes_its_lists_with_it(usable) -> None:
    """Whoever has it may have said of anybody that he is logged in. What it said of versions is forgotten too."""
    told = story(jwks=BOTH if usable else FIRST.jwks())
    lists = {"one": listed(2**53 - 1)} | ({"two": listed(1, by=SECOND, name="two")} if usable else {})
    told.found(**lists)
    revoking = {"sequence": 2, "revoked": ["first"]}
    told.keys(SECOND.jwks(**revoking) if usable else FIRST.jwks(**revoking))
    assert set(told.in_force) == ({"two"} if usable else set())
    assert URI not in told.keeper.lists(ISSUER)
    told.found(one=listed(3))
    assert told.lists.refusal == "status/one.jwt: Its key has been withdrawn" if not usable else told.lists.refusal
    assert "one" not in told.in_force
    if usable:
        told.found(one=listed(3, by=SECOND), two=None)
        assert told.in_force["one"][0] == 3, "the number that a thief gave keeps nobody out"


def test_a_list_of_keys_that_are_gone_by_now_is_refused() -> None:
    """It was judged in a thread, by those of a moment ago."""
    told = story()
    told.keys(SECOND.jwks())
    told.found(one=listed())
    assert (told.in_force, told.lists.refusal) == ({}, "status/one.jwt: Its key is not one of the issuer")


def test_without_keys_there_are_no_lists() -> None:
    """And no error."""
    told = Story(TrustKeeper({ISSUER: "/trust"}, AgeLimits()))
    told.found(one=listed(), two="missing")
    assert told.keeper.snapshot.issuers == {}
    assert told.lists.refused == 2
    assert told.keeper.lists(ISSUER) == {}


def test_a_list_ages_from_when_it_was_issued() -> None:
    """One a little from the future from when it was found."""
    told = story()
    told.found(one=listed(1, iat=NOW - 40), two=listed(1, iat=NOW + 30, name="two"))
    assert (told.age_of(), told.age_of("two")) == (40, 0)
    told.age(50)
    assert (told.age_of(), told.age_of("two")) == (90, 50)


def test_a_clock_that_is_set_back_makes_no_list_ageless() -> None:
    """It ages from that moment on, and reaches its limit; set right again, it is as old as it is."""
    told = story(StatusLimits(10, 3_600))
    told.found(one=listed(7, iat=NOW - 40))
    told.set_clock(NOW - 86_400)
    assert told.age_of() == 0
    told.age(3_600)
    assert told.keeper.snapshot.issuers[ISSUER].judge_lists(told.now) is Judgement.REFUSE
    told.set_clock(NOW + 3_600)
    assert told.age_of() == 3_640
    told.found(one=listed(None, iat=NOW - 41))
    assert told.lists.rollbacks == 1, "what it said of itself is not what it counts as"


def test_what_is_known_of_lists_that_left_is_bounded() -> None:
    """An issuer that makes lists for ever fills no memory; the latest that left are known the longest."""
    told = story()
    one = listed(7)
    for turn in range(3):
        told.found(**{f"t{turn}-{n}": StatusList(
            URI.replace("one", f"t{turn}-{n}"), NOW, None, None, 1, b"\0", "first", b"d%d" % n, 7
        ) for n in range(MAX_LISTS)})  # fmt: skip
    told.found(one=one)
    assert len(told.keeper._memories[ISSUER].lists._seen) == MAX_LISTS + 1


def test_all_lists_of_an_issuer_are_bounded_together(monkeypatch) -> None:
    """One that is trusted for its own tokens is not trusted with the memory of the service."""
    monkeypatch.setattr(lists_module, "MAX_ALL_LISTS_BYTES", 20)
    told = story()
    told.found(one=listed(), two=listed(name="two"), three=listed(name="three"))
    assert set(told.in_force) == {"one", "two"}
    assert told.lists.refusal == f"status/three.jwt: {lists_module.NO_ROOM}"
    told.found(one=None, three=listed(name="three"))
    assert set(told.in_force) == {"one", "three"}


def test_stale_lists_are_logged_once_a_minute(caplog) -> None:
    """At each look, not at each request."""
    told = story(StatusLimits(10, 100))
    told.found(one=listed())
    with caplog.at_level(logging.WARNING, "farseal"):
        told.age(9)
        told.found(one=None)
        assert caplog.messages == []
        told.age(1)
        for _ in range(3):
            told.found(one=None)
        words = "stale or expired (stale from 10 s, refused from 100 s or exp)"
        assert caplog.messages == [f"status lists of {ISSUER} in /trust/0: {words}"]
        told.age(REMINDER_SECONDS)
        told.keeper.learn_lists(ISSUER, None, told.at)
        assert len(caplog.messages) == 2
        told.found(one="missing")
        assert caplog.messages[-1].startswith(
            f"status lists of {ISSUER} in /trust/0: not taken: status/one.jwt: missing"
        )
