"""What operators and the plan may ask to be done to the keys, and what they are told when it is refused or forced."""

import pytest

from auth_server.keys.lifecycle import Key, KeyState
from auth_server.keys.requests import NONE_ANNOUNCED, Changed, Outcome, Refused, activate, announce, retire, revoke
from tests.support.keys import NOW, POLICY, RETIREMENT, key

READY, ANNOUNCED, ACTIVE = KeyState.READY, KeyState.ANNOUNCED, KeyState.ACTIVE
RETIRING, GONE, REVOKED = KeyState.RETIRING, KeyState.GONE, KeyState.REVOKED

SIGNS, SPARE = key("signs", ACTIVE), key("spare", READY)
NEXT = key("next", ANNOUNCED, published_at=NOW - 2_000, activate_after=NOW)
"""Held by every verifier from `NOW` on."""
LATE = key("late", ANNOUNCED, published_at=NOW - 1_999, activate_after=NOW + 1)
"""Held by every verifier a second after `NOW`."""
UNSEEN = key("unseen", ANNOUNCED, published_at=None, activate_after=None)
"""No publication that holds it is confirmed."""

UNKNOWN = Refused("there is no key nobody")


def _states(outcome: Outcome) -> list[tuple[str, KeyState]]:
    """The changed keys, in the order in which they are to be stored."""
    assert isinstance(outcome, Changed), outcome
    return [(one.kid, one.state) for one in outcome.keys]


class TestAnnounce:
    """Publish a key that does not sign yet."""

    @pytest.mark.parametrize("kid", [None, "spare"])
    def test_a_ready_key_is_announced(self, kid: str | None) -> None:
        """The named one, or the oldest."""
        outcome = announce([key("young", READY, created_at=NOW), SPARE, SIGNS], kid, now=NOW)
        assert _states(outcome) == [("spare", ANNOUNCED)]

    @pytest.mark.parametrize(
        ("keys", "kid", "refusal"),
        [
            pytest.param(
                [SIGNS], None, Refused("no key is ready; a running server makes one, ask again in a moment"), id="empty"
            ),
            pytest.param([SIGNS, SPARE], "nobody", UNKNOWN, id="unknown"),
            pytest.param(
                [SIGNS], "signs", Refused("key signs is active; only a ready key can be announced"), id="not-ready"
            ),
            pytest.param(
                [SIGNS, NEXT, SPARE],
                None,
                Refused("key next is announced already", forceable=True),
                id="another-one-is-announced",
            ),
        ],
    )
    def test_it_is_refused(self, keys: list[Key], kid: str | None, refusal: Refused) -> None:
        """With the reason, in words for people."""
        assert announce(keys, kid, now=NOW) == refusal

    def test_another_one_may_be_forced(self) -> None:
        """It breaks nothing, and nobody is warned."""
        outcome = announce([SIGNS, NEXT, SPARE], None, now=NOW, force=True)
        assert _states(outcome) == [("spare", ANNOUNCED)]
        assert isinstance(outcome, Changed)
        assert outcome.warnings == ()

    def test_force_does_not_make_a_key_ready(self) -> None:
        """What cannot be is refused whoever asks."""
        assert announce([SIGNS], "signs", now=NOW, force=True) == announce([SIGNS], "signs", now=NOW)


class TestActivate:
    """Sign with another key."""

    @pytest.mark.parametrize("kid", [None, "next"])
    def test_the_old_one_retires_first(self, kid: str | None) -> None:
        """In the moment in which every verifier holds the new one: the database forbids two that sign."""
        outcome = activate([NEXT, SIGNS], kid, POLICY, now=NOW)
        assert _states(outcome) == [("signs", RETIRING), ("next", ACTIVE)]
        assert isinstance(outcome, Changed)
        assert outcome.warnings == ()
        assert outcome.keys[0].keep_until == NOW + RETIREMENT
        assert outcome.keys[1].activated_at == NOW

    @pytest.mark.parametrize(
        ("keys", "kid", "refusal"),
        [
            pytest.param(
                [SIGNS, SPARE],
                None,
                Refused(NONE_ANNOUNCED),
                id="none-is-announced",
            ),
            pytest.param([SIGNS, NEXT], "nobody", UNKNOWN, id="unknown"),
            pytest.param(
                [SIGNS, SPARE],
                "spare",
                Refused("key spare is ready; only an announced key can be activated; announce it first"),
                id="ready-while-one-signs",
            ),
            pytest.param(
                [SIGNS, NEXT],
                "signs",
                Refused("key signs is active; only an announced key can be activated"),
                id="signs",
            ),
            pytest.param(
                [SIGNS, key("g", GONE)],
                "g",
                Refused("key g is gone; only an announced key can be activated"),
                id="gone",
            ),
            pytest.param(
                [key("r", REVOKED)],
                "r",
                Refused("key r is revoked; only an announced key can be activated"),
                id="revoked",
            ),
            pytest.param(
                [SIGNS, LATE],
                None,
                Refused("some verifiers may not hold key late yet: they are sure to in 1 s", NOW + 1, forceable=True),
                id="a-second-early",
            ),
            pytest.param(
                [SIGNS, UNSEEN],
                None,
                Refused(
                    "verifiers do not hold key unseen yet: no publication that holds it is confirmed", forceable=True
                ),
                id="not-confirmed",
            ),
            pytest.param(
                [LATE, SPARE],
                "spare",
                Refused(
                    "verifiers do not hold key spare yet: no publication that holds it is confirmed", forceable=True
                ),
                id="the-first-to-sign-is-the-one-that-was-announced",
            ),
            pytest.param(
                [LATE, UNSEEN],
                "unseen",
                Refused(
                    "verifiers do not hold key unseen yet: no publication that holds it is confirmed", forceable=True
                ),
                id="of-two-announced-the-one-that-verifiers-hold-first",
            ),
        ],
    )
    def test_it_is_refused(self, keys: list[Key], kid: str | None, refusal: Refused) -> None:
        """With the reason and, where time alone decides, the moment from which it is allowed."""
        assert activate(keys, kid, POLICY, now=NOW) == refusal

    @pytest.mark.parametrize(
        ("keys", "kid"),
        [
            pytest.param([SPARE], "spare", id="a-ready-one"),
            pytest.param([SPARE, key("young", READY, created_at=NOW)], "young", id="any-ready-one"),
            pytest.param([LATE, SPARE], None, id="the-announced-one-early"),
            pytest.param([UNSEEN, LATE], "late", id="the-one-that-is-next"),
            pytest.param([UNSEEN, SPARE], "unseen", id="the-announced-one-unconfirmed"),
        ],
    )
    def test_the_first_key_of_all_signs_at_once(self, keys: list[Key], kid: str | None) -> None:
        """A verifier that holds any key holds that one, so nothing can break and nobody is warned."""
        outcome = activate(keys, kid, POLICY, now=NOW)
        assert [state for _, state in _states(outcome)] == [ACTIVE]
        assert isinstance(outcome, Changed)
        assert outcome.warnings == ()

    @pytest.mark.parametrize(
        ("keys", "kid", "why"),
        [
            pytest.param(
                [SIGNS, LATE], None, "some verifiers may not hold key late yet: they are sure to in 1 s", id="early"
            ),
            pytest.param(
                [SIGNS, UNSEEN],
                None,
                "verifiers do not hold key unseen yet: no publication that holds it is confirmed",
                id="not-confirmed",
            ),
            pytest.param(
                [NEXT, SPARE],
                "spare",
                "verifiers do not hold key spare yet: no publication that holds it is confirmed",
                id="another-one-is-announced",
            ),
        ],
    )
    def test_what_is_forced_comes_with_a_warning(self, keys: list[Key], kid: str | None, why: str) -> None:
        """That says what will break; the caller keeps it with the change."""
        outcome = activate(keys, kid, POLICY, now=NOW, force=True)
        assert isinstance(outcome, Changed)
        assert outcome.warnings == (f"{why}; until they do they refuse every new token with 401",)
        assert outcome.keys[-1].state is ACTIVE

    def test_force_does_not_activate_a_ready_key(self) -> None:
        """While another one signs; it can be announced and forced then."""
        assert isinstance(activate([SIGNS, SPARE], "spare", POLICY, now=NOW, force=True), Refused)

    def test_force_where_nothing_breaks_warns_of_nothing(self) -> None:
        """The audit trail tells what broke something from what only might have."""
        assert activate([SIGNS, NEXT], None, POLICY, now=NOW, force=True) == activate(
            [SIGNS, NEXT], None, POLICY, now=NOW
        )


class TestRetire:
    """Publish a key no more."""

    @pytest.mark.parametrize(
        ("keys", "kid"),
        [
            pytest.param([SIGNS, SPARE], "spare", id="ready"),
            pytest.param([SPARE], "spare", id="ready-before-any-signs"),
            pytest.param([SIGNS, NEXT], "next", id="announced-nothing-was-signed-with-it"),
            pytest.param([SIGNS, key("old", RETIRING, retired_at=NOW - RETIREMENT, keep_until=NOW)], "old", id="dead"),
        ],
    )
    def test_it_goes(self, keys: list[Key], kid: str) -> None:
        """At the moment at which its last token is dead, or before it signed any."""
        outcome = retire(keys, kid, POLICY, now=NOW)
        assert _states(outcome) == [(kid, GONE)]
        assert isinstance(outcome, Changed)
        assert outcome.warnings == ()
        assert outcome.keys[0].gone_at == NOW

    @pytest.mark.parametrize(
        ("keys", "kid", "refusal"),
        [
            pytest.param([SIGNS], "nobody", UNKNOWN, id="unknown"),
            pytest.param(
                [SIGNS], "signs", Refused("key signs signs; it retires when another one is activated"), id="active"
            ),
            pytest.param([SIGNS, key("g", GONE)], "g", Refused("key g is gone already"), id="gone"),
            pytest.param([SIGNS, key("r", REVOKED)], "r", Refused("key r is revoked already"), id="revoked"),
            pytest.param(
                [NEXT, SPARE],
                "next",
                Refused("no key signs yet and key next is published; activate it"),
                id="announced-before-any-signs",
            ),
            pytest.param(
                [SIGNS, key("old", RETIRING, retired_at=NOW - RETIREMENT + 1, keep_until=NOW + 1)],
                "old",
                Refused("tokens that key old signed may be alive", NOW + 1, forceable=True),
                id="a-second-early",
            ),
            pytest.param(
                [SIGNS, key("old", RETIRING, retired_at=None, keep_until=None)],
                "old",
                Refused("tokens that key old signed may be alive", forceable=True),
                id="nobody-knows-when-it-stopped",
            ),
        ],
    )
    def test_it_is_refused(self, keys: list[Key], kid: str, refusal: Refused) -> None:
        """With the reason and, where time alone decides, the moment from which it is allowed."""
        assert retire(keys, kid, POLICY, now=NOW) == refusal

    def test_what_is_forced_comes_with_a_warning(self) -> None:
        """Its tokens are refused by whoever reads the next document."""
        outcome = retire([SIGNS, key("old", RETIRING)], "old", POLICY, now=NOW, force=True)
        assert _states(outcome) == [("old", GONE)]
        assert isinstance(outcome, Changed)
        assert outcome.warnings == ("tokens that key old signed may be alive; they are refused with 401 from now on",)

    @pytest.mark.parametrize(
        ("keys", "kid"),
        [
            pytest.param([SIGNS], "signs", id="the-one-that-signs"),
            pytest.param([NEXT], "next", id="the-only-one-that-is-published"),
        ],
    )
    def test_force_does_not_empty_the_published_set(self, keys: list[Key], kid: str) -> None:
        """Every token would be refused, and nothing could be signed."""
        assert retire(keys, kid, POLICY, now=NOW, force=True) == retire(keys, kid, POLICY, now=NOW)


class TestRevoke:
    """Withdraw a key because somebody else may be able to sign with it."""

    @pytest.mark.parametrize(
        "withdrawn",
        [
            pytest.param(NEXT, id="announced"),
            pytest.param(key("old", RETIRING), id="retiring"),
            pytest.param(key("old", GONE), id="gone-its-holder-may-still-sign"),
        ],
    )
    def test_a_key_that_does_not_sign_is_withdrawn_alone(self, withdrawn: Key) -> None:
        """At once, and nothing else changes."""
        outcome = revoke([SIGNS, withdrawn], withdrawn.kid, POLICY, now=NOW)
        assert _states(outcome) == [(withdrawn.kid, REVOKED)]
        assert isinstance(outcome, Changed)
        assert outcome.warnings == ()
        assert outcome.keys[0].revoked_at == NOW

    def test_another_key_signs_in_the_same_moment(self) -> None:
        """The one that is next; held by every verifier, it needs no warning."""
        outcome = revoke([SIGNS, SPARE, NEXT], "signs", POLICY, now=NOW)
        assert _states(outcome) == [("signs", REVOKED), ("next", ACTIVE)]
        assert isinstance(outcome, Changed)
        assert outcome.warnings == ()

    @pytest.mark.parametrize(
        ("rest", "signs", "why"),
        [
            pytest.param(
                [SPARE, LATE],
                "late",
                "some verifiers may not hold key late yet: they are sure to in 1 s",
                id="announced-of-late",
            ),
            pytest.param(
                [SPARE, UNSEEN],
                "unseen",
                "verifiers do not hold key unseen yet: no publication that holds it is confirmed",
                id="announced-and-not-confirmed",
            ),
            pytest.param(
                [SPARE],
                "spare",
                "verifiers do not hold key spare yet: no publication that holds it is confirmed",
                id="none-is-announced",
            ),
        ],
    )
    def test_an_emergency_does_not_wait_for_verifiers(self, rest: list[Key], signs: str, why: str) -> None:
        """They are told apart from those that hold the key by a warning."""
        outcome = revoke([SIGNS, *rest], "signs", POLICY, now=NOW)
        assert _states(outcome) == [("signs", REVOKED), (signs, ACTIVE)]
        assert isinstance(outcome, Changed)
        assert outcome.warnings == (f"{why}; until they do they refuse new tokens with 401",)

    def test_the_first_key_of_all_is_replaced_before_it_signs(self) -> None:
        """Verifiers may hold it and nothing else, so the one that signs instead comes with a warning."""
        outcome = revoke([NEXT, SPARE], "next", POLICY, now=NOW)
        assert _states(outcome) == [("next", REVOKED), ("spare", ACTIVE)]
        assert isinstance(outcome, Changed)
        assert len(outcome.warnings) == 1

    def test_what_is_gone_needs_no_replacement(self) -> None:
        """Even where no key signs: it was not what verifiers hold."""
        assert _states(revoke([key("old", GONE), SPARE], "old", POLICY, now=NOW)) == [("old", REVOKED)]

    @pytest.mark.parametrize(
        ("keys", "kid", "refusal"),
        [
            pytest.param([SIGNS], "nobody", UNKNOWN, id="unknown"),
            pytest.param([SIGNS, key("r", REVOKED)], "r", Refused("key r is revoked already"), id="revoked"),
            pytest.param(
                [SIGNS, SPARE], "spare", Refused("key spare was never published; retire it instead"), id="ready"
            ),
            pytest.param(
                [SIGNS, key("old", RETIRING)],
                "signs",
                Refused("no other key is there to sign with; a running server makes one, ask again in a moment"),
                id="no-other-key-is-there",
            ),
            pytest.param(
                [NEXT],
                "next",
                Refused("no other key is there to sign with; a running server makes one, ask again in a moment"),
                id="no-other-key-is-there-before-any-signs",
            ),
        ],
    )
    def test_it_is_refused(self, keys: list[Key], kid: str, refusal: Refused) -> None:
        """With the reason."""
        assert revoke(keys, kid, POLICY, now=NOW) == refusal
