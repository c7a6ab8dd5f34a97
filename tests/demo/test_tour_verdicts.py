"""Every act can fail: each is given the figures of a stack that breaks its claim."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from demo.asking import Ending
from demo.tour import attacks, logout, naive, no_call_back, one_token, rotation, speed, stolen, unplugged
from demo.tour.clients import Observed
from demo.tour.load import Tally
from demo.tour.stage import count_requests
from demo.tour.verdict import Verdict

ONE_TOKEN = one_token.Figures(
    logins=1, audiences=2, created=201, listed=200, note_in_list=True, reported=200, report_is_hers=True
)
NO_CALL_BACK = no_call_back.Figures(
    load=Tally(Counter({200: 3000}), seconds=2.0), counted=0, counted_control=1, looks=8, sockets=0
)
UNPLUGGED = unplugged.Figures(
    refused=True,
    load=Tally(Counter({200: 900}), seconds=2.0),
    restart_seconds=0.8,
    after_restart=Tally(Counter({200: 50})),
    login_after=True,
)
GOOD = Counter({("resource_a", "200"): 9000, ("resource_b", "200"): 3000})
UNKNOWN = Counter({("resource_a", "401 key_unknown"): 20, ("resource_b", "401 key_unknown"): 80})
OBSERVED = Observed(
    answers=GOOD, signed=Counter({"one": 90, "two": 70, "three": 40}), overlapping=5000, seconds=9.0, p99_ms=9.0
)
ROTATION = rotation.Figures(
    seen=OBSERVED,
    rotations=2,
    too_early=1,
    signing=("two", "three"),
    published=frozenset({"one", "two", "three", "four"}),
    logins=Counter({200: 3}),
)
NAIVE = naive.Figures(
    rotations=1, seen=replace(OBSERVED, answers=GOOD + UNKNOWN), signs=True, healed_seconds=1.1, after=OBSERVED
)
ENDINGS = {
    "resource_a": Ending(bound=1.0, let_in_before=True, refused_after=0.21, let_in_after=0.2, turned=0, others={}),
    "resource_b": Ending(bound=2.0, let_in_before=True, refused_after=1.11, let_in_after=1.1, turned=0, others={}),
}
LOGOUT = logout.Figures(logout="204", endings=ENDINGS, refreshed="400 invalid_grant", living=Counter({"200": 2000}))
STOLEN = stolen.Figures(
    tabs=("200", "200"),
    tabs_again=("200", "200"),
    thief="400 invalid_grant",
    owner="400 invalid_grant",
    endings=ENDINGS,
    living=Counter({"200": 2000}),
)
ATTACKS = attacks.Figures(
    answers={name: (401, code) for name, code in attacks.EXPECTED.items()},
    flood=Counter({(401, "key_unknown"): 2000}),
    flood_seconds=1.0,
    fetches=4,
    honest=Counter({200: 100}),
    counted=0,
    sockets=0,
)


def at_b(**changes: Any) -> dict[str, Ending]:
    """What resource_b did otherwise."""
    return ENDINGS | {"resource_b": replace(ENDINGS["resource_b"], **changes)}


SPEED = speed.Figures(farseal_us=60.0, pyjwt_us=110.0, rsa_bits=3072)


@pytest.mark.parametrize(
    ("judge", "figures"),
    [
        pytest.param(one_token.judge, ONE_TOKEN, id="one-token"),
        pytest.param(no_call_back.judge, NO_CALL_BACK, id="no-call-back"),
        pytest.param(unplugged.judge, UNPLUGGED, id="unplugged"),
        pytest.param(rotation.judge, ROTATION, id="rotation"),
        pytest.param(naive.judge, NAIVE, id="naive"),
        pytest.param(logout.judge, LOGOUT, id="logout"),
        pytest.param(stolen.judge, STOLEN, id="stolen"),
        pytest.param(attacks.judge, ATTACKS, id="attacks"),
        pytest.param(speed.judge, SPEED, id="speed"),
    ],
)
def test_good_figures_hold(judge: Callable[[Any], Verdict], figures: Any) -> None:
    """An act that can only fail would prove as little as one that cannot."""
    verdict = judge(figures)
    assert verdict.holds, verdict.faults
    assert verdict.figures


@pytest.mark.parametrize(
    ("judge", "good", "change"),
    [
        pytest.param(one_token.judge, ONE_TOKEN, {"logins": 2}, id="a-service-asks-for-a-login-of-its-own"),
        pytest.param(one_token.judge, ONE_TOKEN, {"audiences": 1}, id="a-token-for-one-service"),
        pytest.param(one_token.judge, ONE_TOKEN, {"created": 403}, id="she-may-not-write"),
        pytest.param(one_token.judge, ONE_TOKEN, {"listed": 401}, id="resource_a-does-not-know-her"),
        pytest.param(one_token.judge, ONE_TOKEN, {"note_in_list": False}, id="the-note-is-lost"),
        pytest.param(one_token.judge, ONE_TOKEN, {"reported": 502}, id="resource_b-does-not-answer"),
        pytest.param(one_token.judge, ONE_TOKEN, {"report_is_hers": False}, id="somebody-elses-report"),
        pytest.param(no_call_back.judge, NO_CALL_BACK, {"counted": 1}, id="one-call-to-the-auth-server"),
        pytest.param(no_call_back.judge, NO_CALL_BACK, {"counted_control": 0}, id="a-counter-that-never-moves"),
        pytest.param(no_call_back.judge, NO_CALL_BACK, {"sockets": 1}, id="a-socket-to-the-auth-server"),
        pytest.param(no_call_back.judge, NO_CALL_BACK, {"looks": 0}, id="nobody-looked"),
        pytest.param(no_call_back.judge, NO_CALL_BACK, {"load": Tally(Counter({200: 9}))}, id="hardly-any-load"),
        pytest.param(
            no_call_back.judge, NO_CALL_BACK, {"load": Tally(Counter({200: 3000, 503: 1}))}, id="a-request-failed"
        ),
        pytest.param(
            no_call_back.judge, NO_CALL_BACK, {"load": Tally(Counter({200: 3000}), broken=1)}, id="no-answer-at-all"
        ),
        pytest.param(unplugged.judge, UNPLUGGED, {"refused": False}, id="the-auth-server-still-listens"),
        pytest.param(unplugged.judge, UNPLUGGED, {"load": Tally(Counter({200: 3}))}, id="hardly-any-load-unplugged"),
        pytest.param(
            unplugged.judge, UNPLUGGED, {"load": Tally(Counter({200: 900, 503: 1}))}, id="a-request-failed-unplugged"
        ),
        pytest.param(
            unplugged.judge, UNPLUGGED, {"after_restart": Tally(Counter({503: 50}))}, id="trust-lost-by-a-restart"
        ),
        pytest.param(unplugged.judge, UNPLUGGED, {"after_restart": Tally()}, id="not-asked-after-the-restart"),
        pytest.param(unplugged.judge, UNPLUGGED, {"login_after": False}, id="it-does-not-come-back"),
        pytest.param(
            rotation.judge,
            ROTATION,
            {"seen": replace(OBSERVED, answers=GOOD + Counter({("resource_b", "401 key_unknown"): 1}))},
            id="one-verifier-missed-the-key-once",
        ),
        pytest.param(
            rotation.judge,
            ROTATION,
            {"seen": replace(OBSERVED, answers=GOOD + Counter({("resource_a", "connection lost"): 1}))},
            id="a-request-without-an-answer",
        ),
        pytest.param(
            rotation.judge,
            ROTATION,
            {"seen": replace(OBSERVED, answers=Counter({("resource_a", "200"): 9, ("resource_b", "200"): 9}))},
            id="hardly-any-load-during-the-rotation",
        ),
        pytest.param(
            rotation.judge,
            ROTATION,
            {"seen": replace(OBSERVED, answers=Counter({("resource_a", "200"): 9000}))},
            id="one-server-was-not-asked",
        ),
        pytest.param(rotation.judge, ROTATION, {"rotations": 1, "signing": ("two",)}, id="one-rotation-only"),
        pytest.param(rotation.judge, ROTATION, {"signing": ("two", "two")}, id="the-same-key-signs-on"),
        pytest.param(
            rotation.judge,
            ROTATION,
            {"seen": replace(OBSERVED, signed=Counter({"one": 200}))},
            id="no-token-of-the-new-keys",
        ),
        pytest.param(
            rotation.judge, ROTATION, {"seen": replace(OBSERVED, overlapping=0)}, id="tokens-of-one-key-at-a-time"
        ),
        pytest.param(rotation.judge, ROTATION, {"too_early": 0}, id="any-moment-is-right-for-an-activation"),
        pytest.param(
            rotation.judge, ROTATION, {"published": frozenset({"two", "three"})}, id="a-key-is-dropped-with-its-tokens"
        ),
        pytest.param(rotation.judge, ROTATION, {"logins": Counter({200: 2, 0: 1})}, id="nobody-can-log-in-meanwhile"),
        pytest.param(rotation.judge, ROTATION, {"logins": Counter()}, id="nobody-tried-to-log-in"),
        pytest.param(naive.judge, NAIVE, {"seen": OBSERVED}, id="a-counter-that-cannot-fail"),
        pytest.param(
            naive.judge,
            NAIVE,
            {"seen": replace(OBSERVED, answers=GOOD + Counter({("resource_a", "503 no_keys"): 9}))},
            id="it-fails-for-another-reason",
        ),
        pytest.param(
            naive.judge,
            NAIVE,
            {"seen": replace(OBSERVED, answers=GOOD + UNKNOWN + Counter({("resource_a", "connection lost"): 1}))},
            id="it-fails-for-another-reason-too",
        ),
        pytest.param(naive.judge, NAIVE, {"signs": False}, id="another-key-signs"),
        pytest.param(naive.judge, NAIVE, {"healed_seconds": None}, id="it-does-not-heal"),
        pytest.param(
            naive.judge, NAIVE, {"after": replace(OBSERVED, answers=GOOD + UNKNOWN)}, id="it-heals-for-some-only"
        ),
        pytest.param(
            naive.judge, NAIVE, {"after": replace(OBSERVED, answers=Counter())}, id="nobody-asked-whether-it-healed"
        ),
        pytest.param(logout.judge, LOGOUT, {"logout": "503 keys_unconfirmed"}, id="no-logout"),
        pytest.param(logout.judge, LOGOUT, {"refreshed": "200"}, id="a-logged-out-session-can-be-refreshed"),
        pytest.param(stolen.judge, STOLEN, {"thief": "200"}, id="the-thief-goes-on"),
        pytest.param(stolen.judge, STOLEN, {"owner": "200"}, id="one-half-of-the-family-lives-on"),
        pytest.param(stolen.judge, STOLEN, {"thief": "503"}, id="a-theft-is-answered-as-an-outage"),
        pytest.param(stolen.judge, STOLEN, {"tabs": ("200", "400 invalid_grant")}, id="the-second-tab-is-a-thief"),
        pytest.param(
            stolen.judge, STOLEN, {"tabs_again": ("200", "400 invalid_grant")}, id="the-second-tab-is-a-thief-later"
        ),
        *(
            pytest.param(judge, good, change, id=f"{name}: {id_}")
            for name, judge, good in (("logout", logout.judge, LOGOUT), ("stolen", stolen.judge, STOLEN))
            for id_, change in {
                "a-server-never-refuses": {"endings": at_b(refused_after=None, let_in_after=3.0)},
                "a-request-is-let-in-after-the-bound": {"endings": at_b(let_in_after=2.01)},
                "a-token-was-not-good-before": {"endings": at_b(let_in_before=False)},
                "a-token-is-let-in-again": {"endings": at_b(turned=1)},
                "it-is-refused-as-an-outage": {"endings": at_b(others={"503 status_unavailable": 1})},
                "one-server-is-not-asked": {"endings": {"resource_a": ENDINGS["resource_a"]}},
                "another-session-is-refused": {"living": Counter({"200": 2000, "401 token_revoked": 1})},
                "another-session-meets-an-outage": {"living": Counter({"200": 2000, "503 status_unavailable": 1})},
                "nobody-asked-about-another-session": {"living": Counter()},
            }.items()
        ),
        *(
            pytest.param(
                attacks.judge,
                ATTACKS,
                {"answers": ATTACKS.answers | {name: (200, "")}},
                id=f"accepted: {name}",
            )
            for name in attacks.EXPECTED
        ),
        pytest.param(
            attacks.judge,
            ATTACKS,
            {"answers": ATTACKS.answers | {"alg none": (401, "token_malformed")}},
            id="refused-for-another-reason",
        ),
        pytest.param(
            attacks.judge, ATTACKS, {"answers": ATTACKS.answers | {"expired": (503, "")}}, id="refused-as-an-outage"
        ),
        pytest.param(attacks.judge, ATTACKS, {"answers": {}}, id="nothing-was-tried"),
        pytest.param(attacks.judge, ATTACKS, {"fetches": 7}, id="a-storm-of-fetches"),
        pytest.param(attacks.judge, ATTACKS, {"flood": Counter({(401, "key_unknown"): 10})}, id="hardly-any-flood"),
        pytest.param(
            attacks.judge,
            ATTACKS,
            {"flood": Counter({(401, "key_unknown"): 1999, (429, "too_many"): 1})},
            id="a-limiter-answers-the-flood",
        ),
        pytest.param(attacks.judge, ATTACKS, {"honest": Counter({200: 99, 503: 1})}, id="an-honest-caller-starves"),
        pytest.param(attacks.judge, ATTACKS, {"honest": Counter()}, id="no-honest-caller"),
        pytest.param(attacks.judge, ATTACKS, {"counted": 1}, id="an-unknown-kid-makes-a-fetch"),
        pytest.param(attacks.judge, ATTACKS, {"sockets": 1}, id="a-socket-during-the-flood"),
        pytest.param(speed.judge, SPEED, {"farseal_us": 111.0}, id="slower-than-pyjwt"),
    ],
)
def test_bad_figures_break_the_claim(judge: Callable[[Any], Verdict], good: Any, change: dict[str, Any]) -> None:
    """One figure is changed to what a broken stack would give."""
    assert not judge(replace(good, **change)).holds


def test_requests_are_counted_over_all_labels() -> None:
    """The auth server's exposition is read as Prometheus reads it; other families do not count."""
    exposition = """\
# TYPE http_requests_total counter
http_requests_total{method="GET",route="/x",status="200"} 3.0
http_requests_total{method="POST",route="/api/tokens",status="401"} 2.0
# TYPE tokens_issued_total counter
tokens_issued_total 9.0
"""
    assert count_requests(exposition) == 5


def test_measuring_tells_fast_from_slow() -> None:
    """Twice the work is about twice the time, whichever side does it."""

    def work() -> None:
        sum(range(5_000))

    def double() -> None:
        work()
        work()

    assert 0.3 < speed.measure(work, double, rsa_bits=2048).ratio < 0.75
    assert 1.35 < speed.measure(double, work, rsa_bits=2048).ratio < 3.0
