"""A living session is owed every answer, an ended one the refusal, from the bound on and for good."""

import json
from collections import Counter

import pytest

from demo.asking import REVOKED
from soak.ledger import LET_IN_AGAIN, Ledger, Session

A, B = "resource_a", "resource_b"
BOUNDS = {A: 1.0, B: 2.0}
ENDED = 100.0


def ledger() -> Ledger:
    return Ledger(dict(BOUNDS))


@pytest.mark.parametrize(
    "kind", [REVOKED, "503 status_unavailable", "401 key_unknown", "connection lost", "401 upstream_token_refused"]
)
def test_a_living_session_is_never_refused(kind: str) -> None:
    """Whatever the reason. That resource_a would not have it is a refusal at resource_b too."""
    seen = ledger()
    seen.note(Session(), B, "200", 1.0, 1.1)
    seen.note(Session(), B, kind, 1.0, 1.1)
    assert seen.failures == {(B, kind): 1}
    assert seen.asked == {B: 2}


@pytest.mark.parametrize(
    ("sent", "server", "late"),
    [
        pytest.param(99.9, A, False, id="before-the-204"),
        pytest.param(101.0, A, False, id="the-boundary"),
        pytest.param(101.1, A, True, id="past-the-bound-of-the-folder"),
        pytest.param(101.1, B, False, id="within-the-bound-of-a-poll"),
        pytest.param(102.1, B, True, id="past-the-bound-of-a-poll"),
    ],
)
@pytest.mark.parametrize("kind", ["200", "401 upstream_token_refused"])
def test_an_ended_session_is_let_in_to_the_bound_and_no_longer(kind: str, sent: float, server: str, late: bool) -> None:
    """The bound begins with the 204; what counts is when the request was sent."""
    seen = ledger()
    seen.note(Session(leaving=True, ended=ENDED), server, kind, sent, sent + 5)
    assert (seen.late[server] == 1) is late
    assert seen.latest == ({server: pytest.approx(sent - ENDED)} if sent > ENDED else {})
    assert not seen.failures


def test_from_its_logout_on_a_session_may_be_refused() -> None:
    """Also before the 204: its answer may be lost, and the news of it is not."""
    seen, session = ledger(), Session(leaving=True)
    seen.note(session, A, "200", 99.0, 99.1)
    seen.note(session, A, REVOKED, 99.2, 99.3)
    seen.note(session, A, REVOKED, 99.4, 99.5)
    assert seen.refused == {A: 1}
    assert not seen.failures
    assert not seen.asked


def test_an_outage_is_no_refusal() -> None:
    seen = ledger()
    seen.note(Session(leaving=True, ended=ENDED), A, "503 status_unavailable", 100.1, 100.2)
    assert seen.failures == {(A, "503 status_unavailable"): 1}


def test_a_refusal_is_for_good() -> None:
    """A request that was under way when the refusal came may still be let in; a later one may not."""
    seen, session = ledger(), Session(leaving=True, ended=ENDED)
    seen.note(session, A, REVOKED, 100.1, 100.2)
    seen.note(session, A, "200", 100.15, 100.4)
    assert not seen.failures
    seen.note(session, A, "200", 100.3, 100.4)
    assert seen.failures == {(A, LET_IN_AGAIN): 1}


def test_a_session_that_nobody_refused_is_told() -> None:
    seen, session = ledger(), Session(leaving=True, ended=ENDED)
    seen.note(session, A, REVOKED, 100.1, 100.2)
    seen.close(session)
    assert +seen.never == {B: 1}


def test_a_ledger_comes_back_from_json_as_it_was() -> None:
    seen, session = ledger(), Session(leaving=True, ended=ENDED)
    seen.counts["login"] += 3
    seen.fail("refresh", "400 invalid_grant")
    seen.note(Session(), A, "200", 1.0, 1.1)
    seen.note(session, A, "200", 101.5, 101.6)
    seen.note(session, B, REVOKED, 101.5, 101.6)
    seen.close(session)
    back = Ledger.decoded(json.loads(json.dumps(seen.encoded())))
    assert back.encoded() == seen.encoded()
    assert back.late == Counter({A: 1})
    assert back.failures == {("auth_server", "refresh: 400 invalid_grant"): 1}
