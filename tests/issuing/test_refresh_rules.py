"""What a refresh token does: the table of verdicts, and a machine that plays owner, second tab and thief."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, multiple, rule

from auth_server.grants.refresh_rules import (
    MAX_RECENT_USES,
    Again,
    ClientTerms,
    Extend,
    RefreshRefused,
    Replay,
    Rotate,
    SessionDefaults,
    SessionState,
    Terms,
    Verdict,
    deadline,
    judge,
    over,
    terms_of,
)

NOW = 1_800_000_000
TERMS = Terms("rotate", idle=600, absolute=3600, grace=30)
SESSION = SessionState(
    created_at=NOW - 1000,
    expires_at=NOW + 2600,
    last_used_at=NOW - 10,
    ended=False,
    refreshable=True,
    generation=3,
    recent_uses=(NOW - 31, NOW - 29),
)


@pytest.mark.parametrize(
    ("session", "terms", "generation", "verdict"),
    [
        pytest.param({}, {}, 3, Rotate(4, (NOW - 29, NOW)), id="the-good-one-rotates-and-what-is-too-old-is-forgotten"),
        pytest.param({}, {"policy": "extend"}, 3, Extend(), id="extend-keeps-it"),
        pytest.param({}, {"policy": "none"}, 3, RefreshRefused("policy"), id="no-refresh-tokens-any-more"),
        pytest.param({}, {"policy": "none"}, 1, RefreshRefused("policy"), id="nor-is-an-old-one-a-replay-then"),
        pytest.param({}, {}, 2, Again(), id="used-29-s-ago"),
        pytest.param({}, {}, 1, Replay(), id="used-31-s-ago"),
        pytest.param({}, {}, 0, Replay(), id="used-so-long-ago-that-it-is-forgotten"),
        pytest.param({"recent_uses": (NOW - 30,)}, {}, 2, Replay(), id="the-end-of-the-window-is-outside"),
        pytest.param({"recent_uses": (NOW,)}, {}, 2, Again(), id="used-this-second"),
        pytest.param({"recent_uses": (NOW + 5,)}, {}, 2, Again(), id="used-in-the-future-of-another-clock"),
        pytest.param({"recent_uses": (NOW + 5,)}, {"grace": 0}, 2, Replay(), id="no-window-forgives-nothing"),
        pytest.param({}, {"policy": "extend"}, 2, Again(), id="an-old-one-leads-on-under-extend-too"),
        pytest.param({}, {"policy": "extend"}, 1, Replay(), id="and-is-replayed"),
        pytest.param({}, {}, 4, RefreshRefused("unknown"), id="of-a-time-before-the-database-was-restored"),
        pytest.param({}, {}, -1, RefreshRefused("unknown"), id="no-generation"),
        pytest.param({"ended": True}, {}, 3, RefreshRefused("ended"), id="ended"),
        pytest.param({"ended": True}, {}, 1, RefreshRefused("ended"), id="ended-and-replayed"),
        pytest.param({"expires_at": NOW + 1}, {}, 3, Rotate(4, (NOW - 29, NOW)), id="one-second-left"),
        pytest.param({"expires_at": NOW}, {}, 3, RefreshRefused("expired"), id="the-absolute-deadline-is-past"),
        pytest.param({}, {"absolute": 1001}, 3, Rotate(4, (NOW - 29, NOW)), id="one-second-left-as-set-now"),
        pytest.param({}, {"absolute": 1000}, 3, RefreshRefused("expired"), id="the-deadline-as-set-now-is-past"),
        pytest.param({}, {"absolute": 1000}, 1, RefreshRefused("expired"), id="expired-and-replayed"),
        pytest.param({}, {"idle": 11}, 3, Rotate(4, (NOW - 29, NOW)), id="one-second-left-to-be-idle"),
        pytest.param({}, {"idle": 10}, 3, RefreshRefused("idle"), id="the-idle-deadline-is-past"),
        pytest.param(
            {"refreshable": False}, {"idle": 1}, 3, RefreshRefused("policy"), id="one-without-any-is-not-idle"
        ),
    ],
)
def test_what_a_token_does(session: Any, terms: Any, generation: int, verdict: Verdict) -> None:
    """Every row, at its boundary."""
    assert judge(replace(SESSION, **session), replace(TERMS, **terms), generation, NOW) == verdict


def test_the_absolute_deadline_is_the_earlier_one() -> None:
    """What was set when it began is not made longer later on; a session without refresh tokens has only that."""
    assert deadline(SESSION, TERMS) == NOW + 2600
    assert deadline(SESSION, replace(TERMS, absolute=10_000)) == NOW + 2600
    assert deadline(SESSION, replace(TERMS, absolute=2000)) == NOW + 1000
    assert deadline(replace(SESSION, refreshable=False), replace(TERMS, absolute=2000)) == NOW + 2600


def test_a_client_has_terms_of_its_own_or_the_servers() -> None:
    """Each of the three by itself; 0 is a value."""
    server = SessionDefaults(idle=1, absolute=2, grace=3, history=4, access_token=5, max_token=6)
    assert terms_of(ClientTerms(), server) == Terms("rotate", 1, 2, 3)
    assert terms_of(ClientTerms("extend", 60, 70, 0), server) == Terms("extend", 60, 70, 0)


def test_clocks_that_disagree_never_shift_the_generations() -> None:
    """A use in between that looks older than the one before it is not forgotten alone."""
    uses = (NOW - 5, NOW - 40, NOW - 4)
    session = replace(SESSION, generation=9, recent_uses=uses)
    assert judge(session, TERMS, 9, NOW) == Rotate(10, (*uses, NOW))
    assert [type(judge(session, TERMS, generation, NOW)) for generation in (6, 7, 8)] == [Again, Replay, Again]


def test_what_is_remembered_is_bounded() -> None:
    """Whoever rotates without end fills no row."""
    session = replace(SESSION, generation=0, recent_uses=())
    for _ in range(MAX_RECENT_USES + 5):
        verdict = judge(session, TERMS, session.generation, NOW)
        assert isinstance(verdict, Rotate)
        session = replace(session, generation=verdict.generation, recent_uses=verdict.recent_uses)
    assert len(session.recent_uses) == MAX_RECENT_USES
    assert judge(session, TERMS, 5, NOW) == Again()
    assert judge(session, TERMS, 4, NOW) == Replay()


TERMS_SEEN = st.builds(
    Terms,
    policy=st.sampled_from(["rotate", "rotate", "rotate", "extend", "none"]),
    idle=st.sampled_from([600, 600, 60, 20]),
    absolute=st.sampled_from([3600, 3600, 300, 60]),
    grace=st.sampled_from([30, 30, 10, 1, 0]),
)


SELDOM = st.sampled_from([False, False, False, False, True])


class Sessions(RuleBasedStateMachine):
    """One session whose tokens are in several hands. A token is its generation, as each has one only.

    The machine applies verdicts as the server does: read, judge, and one compare-and-set that decides a race. Its own
    record of who used what when is complete, where the session forgets.
    """

    tokens = Bundle("tokens")

    @initialize(target=tokens, terms=TERMS_SEEN)
    def begin(self, terms: Terms) -> int:
        self.now = NOW
        self.terms = terms
        self.promised = NOW + terms.absolute
        self.session = SessionState(NOW, self.promised, NOW, False, True, 0, ())
        self.used_at: dict[int, int] = {}
        self.forgettable: set[int] = set()
        self.last_use = NOW
        return 0

    def _use(self, token: int, seen: SessionState) -> int | None:
        """One caller with a token, who read the session as ``seen``; the token they go away with."""
        verdict = judge(seen, self.terms, token, self.now)
        match verdict:
            case Rotate() | Extend() if (seen.generation, seen.ended) != (self.session.generation, self.session.ended):
                return self._use(token, self.session)  # the statement changed no row: read again
            case Rotate(generation, uses):
                assert token == self.session.generation == generation - 1
                for older, used in self.used_at.items():
                    if max(0, self.now - used) >= self.terms.grace:
                        self.forgettable.add(older)
                self.used_at[token] = self.now
                self._moved(replace(self.session, generation=generation, recent_uses=uses))
                return generation
            case Extend():
                assert token == self.session.generation
                self._moved(self.session)
                return token
            case Again():
                assert not seen.ended
                assert max(0, self.now - self.used_at[token]) < self.terms.grace
                return seen.generation
            case Replay():
                outside = max(0, self.now - self.used_at[token]) >= self.terms.grace
                forgotten = token in self.forgettable or seen.generation - token > MAX_RECENT_USES
                assert outside or forgotten
                self.session = replace(self.session, ended=True)
                return None
        assert isinstance(verdict, RefreshRefused)
        assert seen.ended or self._past() or self.terms.policy == "none"
        return None

    def _moved(self, session: SessionState) -> None:
        assert not self._past()
        self.last_use = max(self.last_use, self.now)
        self.session = replace(session, last_used_at=self.last_use)

    def _past(self) -> bool:
        absolute = min(self.promised, NOW + self.terms.absolute)
        return self.now >= absolute or self.now >= self.last_use + self.terms.idle

    def _usable(self, token: int) -> bool:
        return isinstance(judge(self.session, self.terms, token, self.now), Rotate | Extend)

    @rule(target=tokens, token=tokens, pause=st.sampled_from([0, 1, 10]))
    def refresh(self, token: int, pause: int) -> Any:
        """The owner, a second tab or a thief: nobody can tell."""
        self.now += pause
        given = self._use(token, self.session)
        if given is None:
            return multiple()
        assert self._usable(given)
        return given

    @rule(target=tokens, token=consumes(tokens))
    def refresh_and_forget_the_old_one(self, token: int) -> Any:
        """A well-behaved client."""
        return self.refresh(token, pause=0)

    @rule(target=tokens, token=tokens, before=st.integers(0, 1))
    def refresh_at_the_end_of_the_window(self, token: int, before: int) -> Any:
        """To the second, or to the one before."""
        if token in self.used_at:
            self.now = max(self.now, self.used_at[token] + self.terms.grace - before)
        return self.refresh(token, pause=0)

    @rule(token=tokens)
    def refresh_and_lose_the_answer(self, token: int) -> None:
        """And have what one had."""
        self._use(token, self.session)

    @rule(target=tokens, token=tokens, callers=st.integers(2, 5))
    def refresh_at_once(self, token: int, callers: int) -> Any:
        """All of them read the session before any of them writes."""
        seen = self.session
        given = [self._use(token, seen) for _ in range(callers)]
        held = [one for one in given if one is not None]
        in_window = self.terms.grace > 0 and not self.session.ended
        if held and in_window:
            assert len(held) == callers
            assert set(held) == {self.session.generation}
            assert self._usable(held[0])
        return multiple(*set(held)) if not self.session.ended else multiple()

    @rule(seconds=st.sampled_from([1, 2, 9, 11, 29, 31, 60, 300]))
    def wait(self, seconds: int) -> None:
        self.now += seconds

    @rule(absolute=st.booleans(), before=st.integers(0, 1), really=SELDOM)
    def wait_for_a_deadline(self, absolute: bool, before: int, really: bool) -> None:
        """To the second, or to the one before."""
        end = min(self.promised, NOW + self.terms.absolute) if absolute else self.last_use + self.terms.idle
        self.now = max(self.now, end - before) if really else self.now

    @rule(seconds=st.integers(1, 3))
    def ask_a_replica_whose_clock_is_behind(self, seconds: int) -> None:
        self.now -= seconds

    @rule(terms=TERMS_SEEN, really=SELDOM)
    def change_the_terms(self, terms: Terms, really: bool) -> None:
        self.terms = terms if really else self.terms

    @rule(really=SELDOM)
    def log_out(self, really: bool) -> None:
        self.session = replace(self.session, ended=self.session.ended or really)

    @invariant()
    def one_token_at_most_is_good(self) -> None:
        good = [token for token in range(self.session.generation + 2) if self._usable(token)]
        assert good in ([], [self.session.generation])

    @invariant()
    def nothing_of_an_ended_session_is_given(self) -> None:
        if self.session.ended:
            for token in range(self.session.generation + 2):
                assert judge(self.session, self.terms, token, self.now) == RefreshRefused("ended")

    @invariant()
    def deadlines_hold(self) -> None:
        if self._past() and not self.session.ended:
            assert over(self.session, self.terms, self.now) in (RefreshRefused("expired"), RefreshRefused("idle"))


TestSessions = Sessions.TestCase
TestSessions.settings = settings(max_examples=300, stateful_step_count=30, deadline=None)
