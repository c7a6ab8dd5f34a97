"""Trust from an address: when it looks, how old it takes a set to be, and what strangers can make it do."""

import asyncio
import random
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from email.utils import formatdate

import pytest

from farseal.errors import KeyUnknownError, TrustUnavailableError
from farseal.sources import HttpOptions, HttpSource, HttpWorker, Schedule, Sources, TrustKeeper, held, polling, resolver
from farseal.sources.disk import Copy
from farseal.sources.fetch import Answer, Validators
from farseal.sources.held import Held
from farseal.status_list import StatusPolicy
from farseal.trust import AgeLimits, Judgement
from farseal.verify import Expectations, Verifier
from tests.support.tokens import ISSUER, NOTES, Issuer, b64, compact_json
from tests.verification.hostile_issuer import HostileIssuer
from tests.verification.polled import (
    FIRST,
    GOOD,
    IMPATIENT,
    NEXT,
    NOW,
    OPTIONS,
    SLOW,
    SetClock,
    honest_requests,
    kids,
    until,
)

OTHER = "https://other.example"
OURS = GOOD.jwks(issuer=ISSUER, sequence=5)
FOREIGN = GOOD.jwks()


def http_date(seconds: int) -> str:
    return formatdate(seconds, usegmt=True)


@pytest.fixture(scope="module")
def server() -> Iterator[HostileIssuer]:
    with HostileIssuer() as running:
        yield running


async def test_what_is_there_at_the_start_is_in_force_before_the_first_request(server) -> None:
    """`start` returns with trust loaded, and says in its status how it came about."""
    server.answer(OURS)
    source = HttpSource(server.url, ISSUER, options=SLOW, clock=lambda: NOW)
    assert source.status().workers[ISSUER].attempts == 0
    async with source:
        assert kids(source) == {"first"}
        state = source.status().workers[ISSUER]
        assert (state.origin, state.attempts, state.failures, state.failure) == (server.url, 1, 0, None)
        assert (state.last_attempt_at, state.last_success_at, state.from_disk) == (NOW, NOW, False)
        assert state.next_at == NOW + 60
        with pytest.raises(RuntimeError, match="runs already"):
            await source.start()
    await source.stop()
    assert kids(source) == {"first"}
    assert source.status().workers[ISSUER].next_at is None


async def test_an_address_is_shown_without_its_query(server, caplog) -> None:
    """Hosts of files take signatures there, which are as good as a password."""
    caplog.set_level("INFO", "farseal")
    server.answer(b"{}")
    async with HttpSource(f"{server.url}?sig=secret", ISSUER, options=SLOW, clock=lambda: NOW) as source:
        assert server.figures()["paths"] == ["/jwks.json?sig=secret"]
        assert source.status().workers[ISSUER].origin == server.url
    server.answer(b"", 500)
    async with HttpSource(f"{server.url}?sig=secret", ISSUER, options=SLOW, clock=lambda: NOW) as source:
        assert "secret" not in repr(source.status())
    assert "secret" not in caplog.text


async def test_it_starts_again_after_it_was_stopped(server) -> None:
    """Stopping ends the polling and nothing else."""
    server.answer(OURS)
    source = HttpSource(server.url, ISSUER, options=SLOW, clock=lambda: NOW)
    async with source:
        pass
    server.answer(NEXT.jwks(issuer=ISSUER, sequence=6))
    async with source:
        assert kids(source) == {"second"}


async def test_an_issuer_that_is_down_is_no_error_of_a_start(server) -> None:
    """It waits for it a bounded time, goes on in the background, and needs no restart once the issuer is there."""
    server.behave("silent")
    began = time.monotonic()
    async with HttpSource(
        server.url, ISSUER, options=replace(IMPATIENT, start_seconds=0.2), clock=lambda: NOW
    ) as source:
        assert time.monotonic() - began >= 0.2
        assert kids(source) == set()
        with pytest.raises(TrustUnavailableError):
            Verifier(Expectations(NOTES, frozenset({ISSUER}), status=StatusPolicy.OFF)).verify(
                GOOD.mint(), source.snapshot, now=NOW
            )
        await until(lambda: source.status().workers[ISSUER].failure)
        server.answer(OURS)
        await until(lambda: kids(source) == {"first"})


async def test_an_unchanged_set_is_asked_for_conditionally_and_never_parsed_again(server) -> None:
    """304 costs a head; the generation, on which remembered verdicts hang, stays."""
    server.answer(FOREIGN)
    async with HttpSource(server.url, ISSUER, options=OPTIONS, clock=lambda: NOW) as source:
        await until(lambda: source.status().workers[ISSUER].attempts >= 4)
        figures = server.figures()
        assert figures["conditional"] >= figures["requests"] - 1 >= 2
        assert source.snapshot.generation == source.status().loads == 1


async def test_a_request_says_nothing_but_what_it_asks_for(server, monkeypatch) -> None:
    """No cookie that was set, no proxy from the environment, no compression, no credentials."""
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    server.answer(FOREIGN, headers={"Set-Cookie": "a=b; Path=/"})
    async with HttpSource(server.url, ISSUER, options=OPTIONS, clock=lambda: NOW) as source:
        await until(lambda: source.status().workers[ISSUER].attempts >= 3)
        assert source.status().workers[ISSUER].failures == 0
        fields = server.figures()["fields"]
    assert set(fields) == {"host", "accept", "accept-encoding", "user-agent", "connection", "if-none-match"}
    assert fields["accept-encoding"] == "identity"


@pytest.mark.parametrize(
    ("etag", "repeated"),
    [
        pytest.param('"' + "x" * 510 + '"', True, id="the-longest"),
        pytest.param('"' + "x" * 511 + '"', False, id="one-longer"),
        pytest.param('"\u00e9"', False, id="not-ascii"),
        pytest.param('"a\tb"', False, id="a-control"),
    ],
)
async def test_an_odd_etag_is_not_repeated(server, etag, repeated) -> None:
    """What a server wrote comes back in our requests: only what is short and printable."""
    server.answer(FOREIGN, headers={"ETag": etag})
    async with HttpSource(server.url, ISSUER, options=OPTIONS, clock=lambda: NOW) as source:
        await until(lambda: source.status().workers[ISSUER].attempts >= 3)
        assert source.status().workers[ISSUER].failures == 0
        assert server.figures()["fields"].get("if-none-match") == (etag if repeated else None)


@pytest.mark.parametrize(
    ("headers", "earliest", "latest"),
    [
        pytest.param({"Cache-Control": "public, max-age=100"}, 90, 100, id="max-age"),
        pytest.param({"Cache-Control": "max-age=100", "Age": "40"}, 54, 60, id="less-its-age"),
        pytest.param({"Cache-Control": "max-age=1"}, 5, 6, id="floor"),
        pytest.param({"Cache-Control": "max-age=31536000"}, 270, 300, id="ceiling"),
        pytest.param({}, 54, 60, id="nothing-said"),
    ],
)
async def test_the_next_look_is_when_the_answer_is_no_longer_fresh(server, headers, earliest, latest) -> None:
    """Within the operator's bounds, and spread by a tenth so that verifiers started together do not stay together."""
    server.answer(FOREIGN, headers=headers)
    options = HttpOptions(schedule=Schedule(5, 300), lists=None)
    async with HttpSource(server.url, ISSUER, options=options, clock=lambda: NOW) as source:
        next_at = source.status().workers[ISSUER].next_at
        assert next_at is not None
        assert earliest <= next_at - NOW <= latest


async def test_retry_after_is_obeyed_up_to_the_ceiling_and_no_hint_goes_before_it(server) -> None:
    """An issuer that asks for time gets it from every verifier."""
    server.answer(b"", 429, headers={"Retry-After": "3600"})
    options = replace(SLOW, schedule=Schedule(0.05, 100))
    async with HttpSource(server.url, ISSUER, options=options, clock=lambda: NOW) as source:
        assert source.status().workers[ISSUER].next_at == NOW + 100
        for _ in range(10):
            source.hint(ISSUER)
            await asyncio.sleep(0.02)
        assert server.figures()["requests"] == 1


async def test_a_failing_issuer_is_asked_ever_more_rarely(server) -> None:
    """The wait doubles with each failure."""
    server.answer(b"", 500)
    options = replace(OPTIONS, schedule=Schedule(0.1, 60))
    began = time.monotonic()
    async with HttpSource(server.url, ISSUER, options=options, clock=lambda: NOW) as source:
        await until(lambda: source.status().workers[ISSUER].failures == 5)
    # 0.1 to 0.2, 0.2 to 0.4, 0.4 to 0.8, 0.8 to 1.6: without doubling it would be half a second.
    assert time.monotonic() - began >= 1.5


AGE_CASES = [
    pytest.param(OURS, {"Last-Modified": http_date(NOW - 500)}, 500, id="ours-by-its-date"),
    pytest.param(OURS, {"Last-Modified": http_date(NOW - 500), "Age": "30"}, 500, id="ours-by-its-date-not-by-its-way"),
    pytest.param(OURS, {}, 0, id="ours-without-a-date"),
    pytest.param(OURS, {"Age": "30"}, 30, id="ours-without-a-date-from-a-cache"),
    pytest.param(OURS, {"Last-Modified": "yesterday"}, 0, id="ours-with-an-unreadable-date"),
    pytest.param(OURS, {"Last-Modified": http_date(NOW + 900)}, 0, id="ours-from-the-future"),
    pytest.param(FOREIGN, {"Last-Modified": http_date(NOW - 500)}, 0, id="foreign-by-the-fetch"),
    pytest.param(FOREIGN, {"Last-Modified": http_date(NOW - 500), "Age": "30"}, 30, id="foreign-from-a-cache"),
]


@pytest.mark.parametrize(("body", "headers", "age"), AGE_CASES)
async def test_a_set_is_as_old_as_its_publisher_or_else_the_fetch_says(server, body, headers, age) -> None:
    """Ours is dated by who writes it; others are known to be in force as long as they are served."""
    server.answer(body, headers=headers)
    async with HttpSource(server.url, ISSUER, options=SLOW, clock=lambda: NOW) as source:
        assert source.status().ages == {ISSUER: age}


@pytest.mark.parametrize(
    ("body", "first", "on_304", "age"),
    [
        pytest.param(OURS, NOW - 500, {"Last-Modified": http_date(NOW - 20)}, 20, id="ours-dated-anew"),
        pytest.param(OURS, NOW - 500, {}, 500, id="ours-with-the-same-date"),
        pytest.param(FOREIGN, None, {}, 0, id="foreign-confirmed"),
        pytest.param(FOREIGN, None, {"Age": "70"}, 70, id="foreign-confirmed-by-a-cache"),
    ],
)
async def test_a_304_renews_the_age_as_far_as_it_says(server, body, first, on_304, age) -> None:
    """A heartbeat is a new date on the same content."""
    clock = SetClock(NOW - 200)
    headers = {} if first is None else {"Last-Modified": http_date(first)}
    server.answer(body, headers=headers, on_304=on_304)
    async with HttpSource(server.url, ISSUER, options=OPTIONS, clock=clock) as source:
        clock.now = NOW
        await until(lambda: source.status().ages == {ISSUER: age})
        await asyncio.sleep(0.2)
        assert source.status().ages == {ISSUER: age}
        assert source.snapshot.generation == 1


@pytest.mark.parametrize(
    ("own", "named", "meant"),
    [
        pytest.param('"a"', '"a"', True, id="the-same"),
        pytest.param('"a"', 'W/"a"', True, id="weakly-the-same"),
        pytest.param('"a"', '"b"', False, id="another"),
        pytest.param('"a"', None, True, id="not-named"),
        pytest.param(None, '"b"', True, id="nothing-to-compare"),
    ],
)
def test_a_304_is_of_the_document_that_it_names(own, named, meant) -> None:
    """A cache that mixes documents up must not make ours younger (RFC 9110 section 8.8.3.2)."""
    held = Held(Copy(ISSUER, "https://keys.example/", NOW, NOW, own, None, OURS), b"", ours=True)
    assert held.is_meant_by(Answer(None, Validators(named), None, None, 0)) is meant


async def test_a_date_in_the_future_is_no_youth_for_ever(server, tmp_path) -> None:
    """A publisher whose clock ran ahead and which then stalled would never be seen to age; nor would its copy be."""
    clock = SetClock()
    server.answer(OURS, headers={"Last-Modified": http_date(NOW + 10**8)})
    options = replace(OPTIONS, snapshot_directory=tmp_path)
    async with HttpSource(server.url, ISSUER, options=options, clock=clock) as source:
        for _ in range(4):
            clock.now += 50
            asked = source.status().workers[ISSUER].attempts
            await until(lambda asked=asked: source.status().workers[ISSUER].attempts >= asked + 2)
        assert source.status().ages == {ISSUER: 200}
        server.answer(b"", 500)
    async with HttpSource(server.url, ISSUER, options=options, clock=clock) as source:
        assert source.status().workers[ISSUER].from_disk
        assert source.status().ages == {ISSUER: 200}


async def test_a_server_that_hides_the_date_in_a_304_is_asked_for_the_whole(server) -> None:
    """Go's file server leaves `Last-Modified` out where it has an `ETag`; a heartbeat must not go unseen for that."""
    dated = {"Last-Modified": http_date(NOW - 500)}
    server.answer(OURS, headers=dated, on_304={"Last-Modified": None})
    async with HttpSource(server.url, ISSUER, options=OPTIONS, clock=lambda: NOW) as source:
        assert source.status().ages == {ISSUER: 500}
        server.answer(OURS, headers={"Last-Modified": http_date(NOW - 10)}, on_304={"Last-Modified": None})
        await until(lambda: source.status().ages == {ISSUER: 10})
        figures = server.figures()
        assert figures["conditional"] >= 1


async def test_an_issuer_down_for_long_is_fresh_then_stale_then_503_and_recovers_by_itself(server) -> None:
    """Each limit holds to the second, and the first good answer ends it."""
    clock = SetClock()
    limits = AgeLimits(warn_after=900, refuse_after=86_400)
    verifier = Verifier(Expectations(NOTES, frozenset({ISSUER}), status=StatusPolicy.OFF))
    token = Issuer(NOW, kid="first").mint(exp=NOW + 200_000)
    server.answer(FOREIGN)
    options = replace(OPTIONS, hint_burst=50)
    async with HttpSource(server.url, ISSUER, limits, options, clock=clock) as source:
        server.answer(b"", 500)
        await until(lambda: source.status().workers[ISSUER].failure)
        for age, judgement in (
            (0, Judgement.USE),
            (899, Judgement.USE),
            (900, Judgement.WARN),
            (86_399, Judgement.WARN),
            (86_400, Judgement.REFUSE),
        ):
            clock.now = NOW + age
            await asyncio.sleep(0.1)
            assert source.snapshot.issuers[ISSUER].judge(clock()) is judgement
            if judgement is Judgement.REFUSE:
                with pytest.raises(TrustUnavailableError):
                    verifier.verify(token, source.snapshot, now=clock())
            else:
                verifier.verify(token, source.snapshot, now=clock())
        server.answer(FOREIGN)
        await until(lambda: source.status().ages == {ISSUER: 0})
        assert verifier.verify(token, source.snapshot, now=clock()).issuer == ISSUER


@pytest.mark.parametrize("jump", [pytest.param(100_000, id="forwards"), pytest.param(-100_000, id="backwards")])
@pytest.mark.parametrize("body", [pytest.param(OURS, id="ours"), pytest.param(FOREIGN, id="foreign")])
async def test_a_clock_that_is_set_has_the_issuer_asked_at_once(server, body, jump) -> None:
    """Not only when the next look is due: forwards, every token gets 503 until then."""
    clock = SetClock()
    server.answer(body)
    async with HttpSource(server.url, ISSUER, options=SLOW, clock=clock) as source:
        clock.now += jump
        await until(lambda: server.figures()["requests"] >= 2)
        await until(lambda: source.status().workers[ISSUER].last_success_at == clock())
        token = Issuer(clock(), kid="first").mint()
        Verifier(Expectations(NOTES, frozenset({ISSUER}), status=StatusPolicy.OFF)).verify(
            token, source.snapshot, now=clock()
        )


async def test_a_clock_that_is_set_again_and_again_is_no_way_around_the_bucket(server) -> None:
    """A time daemon gone mad is as bounded as a stranger."""
    clock = SetClock()
    server.answer(FOREIGN)
    async with HttpSource(server.url, ISSUER, options=replace(SLOW, hint_burst=1), clock=clock) as source:
        clock.now += 100_000
        await until(lambda: source.status().workers[ISSUER].attempts == 2)
        for _ in range(2):
            clock.now += 100_000
            await asyncio.sleep(1.2)
        assert source.status().workers[ISSUER].attempts == 2


async def test_a_hint_brings_a_new_key_before_it_is_due(server) -> None:
    """A key that signs earlier than it was announced for is known at the first retry."""
    server.answer(OURS)
    async with HttpSource(server.url, ISSUER, options=SLOW, clock=lambda: NOW) as source:
        server.answer(NEXT.jwks(FIRST, issuer=ISSUER, sequence=6))
        source.hint(OTHER)
        await asyncio.sleep(0.1)
        assert server.figures()["requests"] == 0
        source.hint(ISSUER)
        await until(lambda: kids(source) == {"first", "second"})


async def test_a_hint_before_the_start_and_after_the_end_is_nothing(server) -> None:
    """A request may still be under way when the application stops."""
    server.answer(OURS)
    source = HttpSource(server.url, ISSUER, options=SLOW, clock=lambda: NOW)
    source.hint(ISSUER)
    async with source:
        pass
    source.hint(ISSUER)
    await asyncio.sleep(0.05)
    assert server.figures()["requests"] == 1


async def test_a_hundred_thousand_random_kids_cost_a_few_fetches(server) -> None:
    """The bucket's few, whatever the kids; and honest tokens need no luck meanwhile."""
    server.answer(OURS)
    verifier = Verifier(Expectations(NOTES, frozenset({ISSUER}), status=StatusPolicy.OFF))
    good = GOOD.mint()
    body = good.split(".", 1)[1]
    chance = random.Random(7)
    async with HttpSource(server.url, ISSUER, options=SLOW, clock=lambda: NOW) as source:
        await asyncio.sleep(0)
        began = time.monotonic()
        for number in range(100_000):
            header = _header(f"{chance.getrandbits(128):032x}")
            with pytest.raises(KeyUnknownError) as caught:
                verifier.verify(f"{header}.{body}", source.snapshot, now=NOW)
            source.hint(caught.value.issuer)
            if number % 500 == 0:
                await asyncio.sleep(0)
                verifier.verify(good, source.snapshot, now=NOW)
        elapsed = time.monotonic() - began
        await until(lambda: source.status().workers[ISSUER].attempts >= 2)
        await asyncio.sleep(0.2)
        allowed = 1 + SLOW.hint_burst + elapsed / SLOW.hint_seconds
        assert 2 <= server.figures()["requests"] <= allowed
        assert source.status().workers[ISSUER].failures == 0


def _header(kid: str) -> str:

    return b64(compact_json({"alg": "RS256", "typ": "at+jwt", "kid": kid}))


async def test_the_flood_does_not_shorten_a_back_off(server) -> None:
    """An issuer in trouble is not asked more often because strangers write to its verifiers."""
    server.answer(b"", 500)
    options = replace(SLOW, hint_burst=2)
    async with HttpSource(server.url, ISSUER, options=options, clock=lambda: NOW) as source:
        for requests in (1, 2, 3):
            await until(lambda seen=requests: source.status().workers[ISSUER].failures == seen)
            for _ in range(100):
                source.hint(ISSUER)
        await asyncio.sleep(0.2)
        assert server.figures()["requests"] == 3


async def test_hints_meet_in_one_look(server) -> None:
    """A look that is under way or called for serves everybody."""
    server.answer(OURS)
    async with HttpSource(server.url, ISSUER, options=SLOW, clock=lambda: NOW) as source:
        server.behave("slow_body")
        for _ in range(20):
            source.hint(ISSUER)
            await asyncio.sleep(0.01)
        assert server.figures()["requests"] == 1


async def test_of_two_issuers_a_hostile_one_is_no_trouble_of_the_other(server) -> None:
    """Sharing a keeper they share the snapshot's number, and nothing else."""
    keeper = TrustKeeper({ISSUER: server.url, OTHER: "the other"}, AgeLimits())
    good, bad = Issuer(NOW, kid="first"), Issuer(NOW, issuer=OTHER, kid="second")
    server.answer(OURS)
    with HostileIssuer() as hostile:
        hostile.answer(bad.jwks())
        workers = [
            HttpWorker(keeper, ISSUER, server.url, OPTIONS, clock=lambda: NOW),
            HttpWorker(keeper, OTHER, hostile.url, IMPATIENT, clock=lambda: NOW),
        ]
        verifier = Verifier(Expectations(NOTES, frozenset({ISSUER, OTHER}), status=StatusPolicy.OFF))
        async with Sources(keeper, workers, clock=lambda: NOW) as source, honest_requests(source):
            await until(lambda: OTHER in source.snapshot.issuers)
            for mode in ("endless_body", "slow_head", "garbage", "endless_head", "reset"):
                hostile.behave(mode)
                seen = source.status().workers[OTHER].failures
                attempts = source.status().workers[ISSUER].attempts
                await until(lambda seen=seen: source.status().workers[OTHER].failures > seen)
                await until(lambda seen=attempts: source.status().workers[ISSUER].attempts > seen)
            # Keys of the one under the name of the other, and a kid that both have.
            hostile.answer(Issuer(NOW, issuer=OTHER, kid="first").jwks(issuer=ISSUER, sequence=9))
            await until(lambda: source.status().issuers[OTHER].refusal)
            status = source.status()
            assert status.workers[ISSUER].failures == status.issuers[ISSUER].refused == 0
            assert verifier.verify(good.mint(), source.snapshot, now=NOW).issuer == ISSUER
            assert verifier.verify(bad.mint(), source.snapshot, now=NOW).issuer == OTHER


async def test_a_large_set_is_parsed_off_the_loop(server) -> None:
    """1024 keys are in force, and no request waited for the arithmetic."""

    server.answer(compact_json({"keys": [FIRST | {"kid": f"k{n}"} for n in range(1023)] + [FIRST]}))
    async with HttpSource(server.url, ISSUER, options=OPTIONS, clock=lambda: NOW) as source:
        await until(lambda: len(kids(source)) == 1024)
        async with honest_requests(source):
            server.answer(compact_json({"keys": [FIRST | {"kid": f"n{n}"} for n in range(1023)] + [FIRST]}))
            await until(lambda: "n0" in kids(source))


async def test_a_set_that_was_no_set_is_not_parsed_again(server, monkeypatch) -> None:
    """What is served until somebody notices costs a digest each time, and is one refusal."""
    server.answer(b"<html>")
    async with HttpSource(server.url, ISSUER, options=OPTIONS, clock=lambda: NOW) as source:
        monkeypatch.setattr(held, "parse_jwks", lambda _body: pytest.fail("parsed again"))
        await until(lambda: source.status().workers[ISSUER].attempts >= 3)
        assert source.status().refused == 1
        assert source.status().workers[ISSUER].failures == 0
        monkeypatch.undo()
        server.answer(OURS)
        await until(lambda: kids(source) == {"first"})


async def test_one_log_line_tells_of_an_outage_and_one_of_its_end(server, caplog) -> None:
    """Not one for each attempt: an outage of a day would bury everything else."""
    caplog.set_level("INFO", "farseal")
    server.answer(OURS)
    async with HttpSource(server.url, ISSUER, options=OPTIONS, clock=lambda: NOW) as source:
        server.answer(b"secret", 500)
        await until(lambda: source.status().workers[ISSUER].failures >= 3)
        server.answer(OURS)
        await until(lambda: source.status().workers[ISSUER].failure is None)
    lines = [record.getMessage() for record in caplog.records]
    assert len([line for line in lines if "cannot be fetched" in line and "the last good keys stay" in line]) == 1
    assert len([line for line in lines if "answers again" in line]) == 1
    assert "secret" not in " ".join(lines)


async def test_a_start_that_is_cancelled_leaves_nothing_running(server) -> None:
    """An application may be stopped while it starts."""
    server.behave("silent")
    source = HttpSource(server.url, ISSUER, options=SLOW, clock=lambda: NOW)
    starting = asyncio.create_task(source.start())
    await until(lambda: source.status().workers[ISSUER].attempts == 1)
    starting.cancel()
    await asyncio.wait({starting})
    await source.stop()
    assert not [task for task in asyncio.all_tasks() if task.get_name().startswith("farseal-source")]
    server.answer(OURS)
    async with source:
        assert kids(source) == {"first"}


async def test_the_refresher_outlives_what_nobody_thought_of(server, monkeypatch, caplog) -> None:
    """A source that died silently would age unnoticed, until every token got 503."""
    server.answer(OURS)

    def broken(*_arguments: object) -> None:
        raise ZeroDivisionError("secret")

    async with HttpSource(server.url, ISSUER, options=OPTIONS, clock=lambda: NOW) as source:
        monkeypatch.setattr(polling, "examine", broken)
        server.answer(NEXT.jwks(FIRST, issuer=ISSUER, sequence=6))
        await until(lambda: source.status().workers[ISSUER].failure == "an error of ours: ZeroDivisionError")
        assert kids(source) == {"first"}
        monkeypatch.undo()
        await until(lambda: kids(source) == {"first", "second"})
    assert f"a look at {server.url} failed" in caplog.text


async def test_a_name_is_looked_up_and_a_loopback_name_leads_to_loopback(server, monkeypatch) -> None:
    """Plain http is allowed to `localhost` because it stays on this machine; not where a name server sends it away."""
    server.answer(OURS)
    url = server.url.replace("127.0.0.1", "localhost")
    async with HttpSource(url, ISSUER, options=SLOW, clock=lambda: NOW) as source:
        assert kids(source) == {"first"}

    def elsewhere(*_arguments: object, **_options: object) -> list[object]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.1", 80))]

    monkeypatch.setattr(resolver.socket, "getaddrinfo", elsewhere)
    async with HttpSource(url, ISSUER, options=SLOW, clock=lambda: NOW) as source:
        assert source.status().workers[ISSUER].failure == "its name has no address"


async def test_a_name_server_that_hangs_holds_up_neither_the_loop_nor_its_threads(monkeypatch) -> None:
    """A look-up cannot be called off, and waits in a thread of ours: those of the loop are the application's."""
    released = threading.Event()

    def hangs(*_arguments: object, **_options: object) -> list[object]:
        released.wait(30)
        raise OSError

    monkeypatch.setattr(resolver.socket, "getaddrinfo", hangs)
    try:
        async with HttpSource("https://keys.example/", ISSUER, options=IMPATIENT, clock=lambda: NOW) as source:
            assert source.status().workers[ISSUER].failure == "no connection within 1 s"
            assert await asyncio.to_thread(lambda: 1) == 1
    finally:
        released.set()
