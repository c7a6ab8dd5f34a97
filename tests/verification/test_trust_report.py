"""What a service says it trusts, and what the command makes of it."""

import json
from dataclasses import replace

import pytest
from aiohttp import web

from farseal.cli import main
from farseal.cli.trusting import as_text
from farseal.jwks import SkippedKey, parse_jwks
from farseal.service.metrics import ServiceMetrics
from farseal.service.ops import Readiness, ops_application
from farseal.settings import TrustSettings
from farseal.sources import IssuerStatus, SourceStatus, WorkerState
from farseal.sources.report import TrustReport, report
from farseal.status_list import StatusPolicy
from farseal.trust import AgeLimits, IssuerTrust, TrustSnapshot
from farseal.web import trust_page, trust_report
from tests.support.protected import NOW, notes_app
from tests.support.serving import serving
from tests.support.tokens import ISSUER, NOTES, Issuer

OTHER = "https://other.example"
TRUST = IssuerTrust(
    ISSUER,
    parse_jwks(Issuer(NOW).jwks()).keys,
    NOW - 40,
    AgeLimits(60, 600),
    skipped=(SkippedKey(1, None, "its kty is not RSA"),),
    revoked=frozenset({"gone"}),
    sequence=17,
)
STATUS = SourceStatus(
    3,
    2,
    4,
    None,
    {ISSUER: 40},
    rollbacks=1,
    issuers={ISSUER: IssuerStatus(4, "jwks.json: broken", 1), OTHER: IssuerStatus()},
    workers={
        ISSUER: WorkerState("/trust", NOW + 1, NOW, NOW, 9),
        OTHER: WorkerState("https://other.example/keys", NOW + 30, NOW - 1, None, 5, 5, "no answer", from_disk=False),
    },
)


def told(
    *trusts: IssuerTrust, status: SourceStatus = STATUS, issuers=(ISSUER, OTHER), policy=StatusPolicy.OFF
) -> TrustReport:
    snapshot = TrustSnapshot()
    for trust in trusts:
        snapshot = snapshot.with_issuer(trust)
    return report(snapshot, status, dict.fromkeys(issuers, policy), now=NOW)


def test_everything_that_is_trusted_is_told() -> None:
    """Names of keys, never keys; an issuer of which nothing was read is there, too."""
    found = told(TRUST)
    ours, theirs = found.as_json()["issuers"]
    assert ours == {
        "issuer": ISSUER,
        "judgement": "fresh",
        "age": 40,
        "published_at": NOW - 40,
        "stale_after": 60,
        "refuse_after": 600,
        "sequence": 17,
        "kids": ("first",),
        "revoked": ("gone",),
        "skipped": ("key 1 (no kid): its kty is not RSA",),
        "origin": "/trust",
        "from_disk": False,
        "next_at": NOW + 1,
        "last_attempt_at": NOW,
        "last_success_at": NOW,
        "attempts": 9,
        "failures": 0,
        "failure": None,
        "refused": 4,
        "refusal": "jwks.json: broken",
        "rollbacks": 1,
        "status": "off",
        "status_stale_after": 300,
        "status_refuse_after": 3600,
        "lists": (),
        "lists_in_force": 0,
        "lists_refused": 0,
        "lists_refusal": None,
        "lists_rollbacks": 0,
        "lists_origin": None,
        "lists_from_disk": False,
        "lists_next_at": None,
        "lists_last_attempt_at": None,
        "lists_last_success_at": None,
        "lists_attempts": 0,
        "lists_failures": 0,
        "lists_failure": None,
    }
    assert (theirs["judgement"], theirs["age"], theirs["failure"]) == ("refused", None, "no answer")
    assert (found.judgement, found.generation, found.rollbacks) == ("refused", 1, 1)


@pytest.mark.parametrize(
    ("age", "judgement"), [(59, "fresh"), (60, "stale"), (599, "stale"), (600, "refused")], ids=str
)
def test_the_judgement_is_that_of_the_requests(age, judgement) -> None:
    """At the same second."""
    found = told(replace(TRUST, published_at=NOW - age), issuers=(ISSUER,))
    assert (found.judgement, found.issuers[0].judgement) == (judgement, judgement)


def test_a_withdrawn_key_is_not_among_those_that_are_trusted() -> None:
    """Even while the set that holds it is the last good one."""
    (ours,) = told(replace(TRUST, revoked=frozenset({"first"})), issuers=(ISSUER,)).issuers
    assert (ours.kids, ours.revoked) == ((), ("first",))


async def test_the_internal_port_shows_it(aiohttp_client, tmp_path) -> None:
    """From a running application; not on the port of the API."""
    Issuer(NOW).publish(tmp_path)
    app = notes_app(TrustSettings(issuer=ISSUER, audience=NOTES, trust_directory=tmp_path, status=StatusPolicy.OFF))
    ops = await aiohttp_client(ops_application(Readiness(), ServiceMetrics("kit"), trust_page(app)))
    assert (await (await ops.get("/trust")).json())["judgement"] == "refused", "not started"
    client = await aiohttp_client(app)
    async with ops.get("/trust") as answer:
        assert answer.headers["Cache-Control"] == "no-store"
        assert await answer.json() == json.loads(json.dumps(trust_report(app).as_json()))
        assert (await answer.json())["issuers"][0]["kids"] == ["first"]
    assert (await client.get("/trust")).status == 401
    assert (await ops.get("/livez")).status == 200


def answering(body: object, status: int = 200):
    async def handler(request: web.Request) -> web.Response:
        assert request.path == "/trust"
        return web.Response(body=body if isinstance(body, bytes) else json.dumps(body).encode(), status=status)

    return handler


@pytest.mark.parametrize(
    ("found", "code"),
    [
        pytest.param(told(TRUST, issuers=(ISSUER,)), 0, id="fresh"),
        pytest.param(told(replace(TRUST, published_at=NOW - 60), issuers=(ISSUER,)), 1, id="stale"),
        pytest.param(told(TRUST), 1, id="one-is-missing"),
        pytest.param(told(issuers=()), 1, id="nobody"),
    ],
)
def test_the_exit_code_says_whether_all_is_fresh(capsys, found, code) -> None:
    """For scripts, with and without ``--json``."""
    with serving(answering(found.as_json())) as url:
        assert main(["trust", f"{url}/trust"]) == code
        assert "generation" in capsys.readouterr().out
        assert main(["trust", f"{url}/trust", "--json"]) == code
        assert json.loads(capsys.readouterr().out) == json.loads(json.dumps(found.as_json()))


def test_people_get_a_table_and_what_it_has_no_room_for(capsys) -> None:
    """One line for each issuer, then where its keys are from, which they are, and what is amiss."""
    with serving(answering(told(TRUST).as_json())) as url:
        main(["trust", f"{url}/trust"])
    said = capsys.readouterr().out.splitlines()
    assert said[:3] == [
        "VERDICT  ISSUER                 AGE   SEQUENCE  KEYS  REVOKED  NEXT LOOK",
        "fresh    http://127.0.0.1:9000  40 s  17        1     1        in 1 s",
        "refused  https://other.example  -     -         0     0        in 30 s",
    ]
    for line in (
        "  from /trust",
        "  key first",
        "  revoked gone",
        "  not used: key 1 (no kid): its kty is not RSA",
        "  what is published is not taken: jwks.json: broken",
        "  no keys have been read: every token gets 503",
        "  what is published cannot be had (never before): no answer",
        "  key sets: 0 refused, 0 of them rollbacks; 5 of 5 looks failed",
        "generation 1, 2 sets taken, 4 refused, 1 of them rollbacks",
    ):
        assert line in said


def test_nothing_hostile_reaches_the_terminal(capsys) -> None:
    """Whoever answers there may write what a terminal would obey."""
    hostile = told(TRUST).as_json()
    for text in ("origin", "refusal", "judgement", "issuer"):
        hostile["issuers"][0][text] = "\u001b[2J\u202ex\nforged"
    hostile["issuers"][0]["kids"] = ["\u001b]0;x\u0007"]
    with serving(answering(hostile)) as url:
        for options in ([], ["--json"]):
            assert main(["trust", f"{url}/trust", *options]) == 1
            said = capsys.readouterr().out
            assert not {"\u001b", "\u202e", "\u0007"} & set(said)
            assert "\nforged" not in said


@pytest.mark.parametrize(
    ("body", "status", "why"),
    [
        pytest.param(b"{}", 200, "no report", id="another-object"),
        pytest.param(b"<html>", 200, "no report", id="not-json"),
        pytest.param(b"\xff", 200, "no report", id="not-utf8"),
        pytest.param(b"[" * 100_000, 200, "no report", id="deep"),
        pytest.param({"issuers": [{"issuer": 1}]}, 200, "no report", id="mistyped"),
        pytest.param({}, 401, "answers 401; the page /trust is on the internal port", id="not-there"),
        pytest.param(b" " * ((1 << 20) + 1), 200, "larger than", id="endless"),
    ],
)
def test_what_is_no_report_is_not_reached(capsys, body, status, why) -> None:
    """Exit code 3, and the reason where it does not spoil a script's input."""
    with serving(answering(body, status)) as url:
        assert main(["trust", f"{url}/trust", "--json"]) == 3
    said = capsys.readouterr()
    assert said.out == ""
    assert why in said.err


def test_nobody_there_is_not_reached_and_no_address_is_wrong_usage(capsys) -> None:
    """3 and 2; a password in an address is not repeated."""
    assert main(["trust", "http://127.0.0.1:1/trust"]) == 3
    for url in ("file:///etc/passwd", "127.0.0.1:9101", "http://", "http://u:hunter2@127.0.0.1/trust", "http://[::1"):
        assert main(["trust", url]) == 2
    assert "hunter2" not in capsys.readouterr().err


def test_where_lists_are_looked_for_apart_that_is_told_as_well() -> None:
    """An issuer's keys may come while its lists do not."""
    lists = WorkerState("https://keys.example/status-lists.json", NOW + 5, NOW, NOW - 60, 9, 2, "it answers 500")
    worker = replace(STATUS.workers[ISSUER], lists=lists)
    found = told(TRUST, status=replace(STATUS, workers={ISSUER: worker}), issuers=(ISSUER,))
    (ours,) = found.as_json()["issuers"]
    assert {name: ours[f"lists_{name}"] for name in ("origin", "next_at", "attempts", "failures", "failure")} == {
        "origin": "https://keys.example/status-lists.json",
        "next_at": NOW + 5,
        "attempts": 9,
        "failures": 2,
        "failure": "it answers 500",
    }
    text = "\n".join(as_text(found))
    assert "lists from https://keys.example/status-lists.json" in text
    assert "status lists cannot be had (last 1 min ago): it answers 500" in text
    on_disk = replace(STATUS, workers={ISSUER: replace(worker, lists=replace(lists, from_disk=True))})
    assert "by now copies on the disk" in "\n".join(as_text(told(TRUST, status=on_disk, issuers=(ISSUER,))))
