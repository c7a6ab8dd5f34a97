"""The benchmark runs, measures what it says, and its verdict can be bad. No figure is asserted: machines differ."""

from dataclasses import replace

import pytest

from benchmarks.first_seen import AUDIENCE, ISSUER, LIST_URI, SESSIONS, contenders, prepare, report
from benchmarks.measure import Figure, alternate
from farseal.errors import VerificationError
from farseal.verify import Expectations, Verifier


def test_every_contender_does_its_work_in_every_round() -> None:
    """A contender that failed would raise: nobody is timed for refusing."""
    figures = alternate(contenders(), rounds=1)
    assert len(figures) == 4
    assert all(0 < figure.lowest <= figure.median <= figure.highest for figure in figures.values())


def test_the_status_of_every_token_is_looked_up() -> None:
    """The same tokens with every session ended are refused: what is measured has the lookup in it."""
    (token,), _, snapshot, now = prepare(1)
    trust = snapshot.issuers[ISSUER]
    ended = replace(trust.lists[LIST_URI], data=b"\xff" * (SESSIONS // 8))
    verifier = Verifier(Expectations(AUDIENCE, frozenset({ISSUER})))
    verifier.verify(token, snapshot, now=now)
    with pytest.raises(VerificationError) as refused:
        verifier.verify(token, snapshot.with_issuer(replace(trust, lists={LIST_URI: ended})), now=now)
    assert refused.value.code == "token_revoked"


def test_the_verdict_follows_the_figures() -> None:
    def figures(ours: float) -> dict[str, Figure]:
        return {
            name: Figure(value, value, value)
            for name, value in {"RSA-2048 verify alone": 10, "farseal Verifier": ours, "PyJWT decode": 100}.items()
        }

    assert "0.60x, met" in report(figures(60), 1)
    assert "NOT met" in report(figures(61), 1)
    assert "bare signature check 6.00x" in report(figures(60), 1)


def test_rounds_alternate() -> None:
    """Each contender takes each place in turn, so that drift falls on all of them."""
    order: list[str] = []

    def contender(name: str):
        def run() -> int:
            order.append(name)
            return 1

        return run

    alternate({name: contender(name) for name in "ab"}, rounds=3)
    assert "".join(order) == "abbaabba"
