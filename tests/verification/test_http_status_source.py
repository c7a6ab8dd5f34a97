"""Status lists from an address: when a logout is known, what is fetched for it, and what becomes of it in trouble."""

import asyncio
import logging
import random
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from farseal import clock
from farseal.errors import StatusUnavailableError, TokenRevokedError
from farseal.service.ops import Readiness
from farseal.settings import TrustSettings
from farseal.sources import HttpSource, ListSchedule, Schedule, WorkerState
from farseal.trust import Judgement, StatusLimits
from tests.support.protected import bearer, notes_app
from tests.support.tokens import ISSUER, NOTES, Issuer, compact_json, jwk
from tests.verification.hostile_issuer import HostileIssuer, answered
from tests.verification.polled import GOOD, NEXT, NOW, SetClock, honest_requests, until
from tests.verification.published_lists import (
    INDEX,
    PATIENT,
    QUICK,
    VERIFIER,
    Published,
    index_of,
    list_token,
    path_of,
    token,
    uri_of,
    versions,
)

JWKS = "/jwks.json"


@pytest.fixture(scope="module")
def server() -> Iterator[HostileIssuer]:
    with HostileIssuer() as running:
        yield running


def polling(server: HostileIssuer, options: Any = QUICK, at: Any = lambda: NOW, **more: Any) -> HttpSource:
    return HttpSource(server.url, ISSUER, options=options, clock=at, **more)


def lists_of(source: HttpSource) -> WorkerState:
    """How the looks for lists are doing."""
    found = source.status().workers[ISSUER].lists
    assert found is not None
    return found


async def some_looks(source: HttpSource, count: int = 3) -> None:
    """Until as many more have begun, and all but the last have ended."""
    seen = lists_of(source).attempts
    await until(lambda: lists_of(source).attempts > seen + count)


async def test_lists_are_in_force_before_the_first_request(server) -> None:
    """The start looks at the keys, then at the index beside them, then at the lists beside that."""
    server.behave("answer", **Published({"a": list_token("a", [7])}).answers())
    async with polling(server, PATIENT) as source:
        assert VERIFIER.verify(token(6), source.snapshot, now=NOW).issuer == ISSUER
        with pytest.raises(TokenRevokedError):
            VERIFIER.verify(token(7), source.snapshot, now=NOW)
        assert server.figures()["paths"] == [JWKS, INDEX, path_of("a")]
        state = lists_of(source)
        assert (state.origin, state.attempts, state.failures) == (f"{server.base}{INDEX}", 1, 0)
        assert (state.last_attempt_at, state.last_success_at, state.from_disk, state.next_at is None) == (
            NOW,
            NOW,
            False,
            False,
        )
        assert source.snapshot.generation == 1
    assert source.status().workers[ISSUER].lists == replace(state, next_at=None)


async def test_a_logout_is_in_force_within_the_ttl_and_a_second(server) -> None:
    """In real time, at whatever moment it is published; and nobody else is refused."""
    ttl, issuer = 1, Issuer(clock.now())
    now = clock.now()

    def publish(version: int, revoked: list[int]) -> None:
        made = list_token("a", revoked, version=version, by=issuer, iat=now, exp=now + 600, ttl=ttl)
        server.behave("answer", **Published({"a": made}).answers())

    publish(1, [])
    options = replace(QUICK, schedule=Schedule(5, 60), lists=ListSchedule(refresh=1))
    async with HttpSource(server.url, ISSUER, options=options) as source, asyncio.timeout(60):
        for version in range(2, 8):
            await asyncio.sleep(random.random())
            asked = token(version, by=issuer)
            VERIFIER.verify(asked, source.snapshot, now=clock.now())
            began = time.monotonic()
            publish(version, list(range(2, version + 1)))
            while True:
                try:
                    VERIFIER.verify(asked, source.snapshot, now=clock.now())
                except TokenRevokedError:
                    break
                await asyncio.sleep(0.005)
            assert time.monotonic() - began <= ttl + 1
            VERIFIER.verify(token(version + 1, by=issuer), source.snapshot, now=clock.now())


async def test_what_has_not_changed_costs_an_empty_answer(server) -> None:
    """The index is asked for conditionally, and no list is asked for."""
    server.behave("answer", **Published({"a": list_token("a"), "b": list_token("b")}).answers())
    async with polling(server) as source:
        await some_looks(source)
        figures = server.figures()["by_path"]
        requests, unchanged = figures[INDEX]
        assert requests - unchanged == 1
        assert unchanged >= 2
        assert figures[path_of("a")] == figures[path_of("b")] == [1, 0]
        assert source.status().issuers[ISSUER].lists.taken == 2


async def test_only_the_list_that_changed_is_fetched(server) -> None:
    """Of ten, one."""
    names = [f"list-{number}" for number in range(10)]
    lists = {name: list_token(name) for name in names}
    server.behave("answer", **Published(lists).answers())
    async with polling(server) as source:
        assert versions(source) == dict.fromkeys(names, 1)
        lists["list-3"] = list_token("list-3", [1], version=2)
        server.behave("answer", **Published(lists).answers())
        await until(lambda: versions(source)["list-3"] == 2)
        await some_looks(source)
        fetched = [path for path in server.figures()["by_path"] if path.startswith("/status/")]
        assert fetched == [path_of("list-3")]
        assert source.snapshot.generation == 1


async def test_many_lists_are_told_in_one_line_and_what_is_wrong_with_others_in_another(server, caplog) -> None:
    """Each is in force as it comes; a line for each would be thousands."""
    caplog.set_level(logging.INFO, "farseal")
    names = [f"list-{number:02}" for number in range(40)]
    published = Published({name: list_token(name) for name in names})
    broken = {path_of(name): answered(b"x") for name in names[::2]}
    server.behave("answer", **published.answers(**broken))
    async with polling(server) as source:
        await some_looks(source, 5)
        assert len(versions(source)) == 20
        lines = [record.getMessage() for record in caplog.records if "status lists of" in record.getMessage()]
        assert [line for line in lines if "before" in line] == [f"20 status lists of {ISSUER}, 0 before"]
        assert len([line for line in lines if "not taken" in line]) == 1


async def test_lists_without_digests_are_asked_for_conditionally(server) -> None:
    """Any issuer may have an index; where it says no more than names, each list is a question."""
    lists = {"a": list_token("a", version=None), "b": list_token("b", version=None)}
    plain = {INDEX: answered(b'{"status_lists":["%s","%s"]}' % (uri_of("a").encode(), uri_of("b").encode()))}
    server.behave("answer", **Published(lists).answers(**plain))
    async with polling(server) as source:
        await some_looks(source)
        requests, unchanged = server.figures()["by_path"][path_of("a")]
        assert requests - unchanged == 1
        assert unchanged >= 1
        lists["a"] = list_token("a", [3], version=None, iat=NOW + 1)
        server.behave("answer", **Published(lists).answers(**plain))
        await until(lambda: refuses(source, 3))


def refuses(source: HttpSource, index: int, now: int = NOW) -> bool:
    try:
        VERIFIER.verify(token(index), source.snapshot, now=now)
    except TokenRevokedError:
        return True
    return False


async def test_a_large_list_is_judged_off_the_loop(server) -> None:
    """64 million entries, and no request waited for them."""
    lists = {"a": list_token("a"), "large": list_token("large", size=8 << 23)}
    server.behave("answer", **Published({"a": lists["a"]}).answers())
    async with polling(server) as source, honest_requests(source):
        server.behave("answer", **Published(lists).answers())
        await until(lambda: "large" in versions(source))


async def test_while_the_host_is_down_lists_are_fresh_then_stale_then_refused(server) -> None:
    """Each limit holds to the second, and the first good answer ends it."""
    at = SetClock()
    limits = StatusLimits(warn_after=300, refuse_after=3600)
    server.behave("answer", **Published({"a": list_token("a", exp=NOW + 9000)}).answers())
    async with polling(server, replace(QUICK, hint_burst=50), at, status_limits=limits) as source:
        trust = source.snapshot.issuers[ISSUER]
        server.behave("reset")
        await until(lambda: lists_of(source).failure == "it closed the connection")
        for age, word in ((0, "use"), (299, "use"), (300, "warn"), (3599, "warn"), (3600, "refuse")):
            at.now = NOW + age
            await asyncio.sleep(0.1)
            trust = source.snapshot.issuers[ISSUER]
            assert trust.judge_lists(at()).value == word
            if word == "refuse":
                with pytest.raises(StatusUnavailableError):
                    VERIFIER.verify(token(1, exp=NOW + 9000), source.snapshot, now=at())
            else:
                VERIFIER.verify(token(1, exp=NOW + 9000), source.snapshot, now=at())
        again = Published({"a": list_token("a", version=2, iat=at(), exp=at() + 3600)})
        server.behave("answer", **again.answers())
        await until(lambda: versions(source) == {"a": 2})
        VERIFIER.verify(token(1, exp=NOW + 9000), source.snapshot, now=at())
        await until(lambda: lists_of(source).failure is None)


async def test_a_machine_that_starts_in_1970_has_its_lists_as_soon_as_it_knows_the_time(server) -> None:
    """Until then they are from the future. What was judged by another clock is judged again, and not half a minute
    later as what is no list by this one.
    """
    at = SetClock(100)
    server.behave("answer", **Published({"a": list_token("a")}).answers())
    async with polling(server, at=at) as source:
        await some_looks(source)
        assert source.status().issuers[ISSUER].lists.refusal == "status/a.jwt: It was issued in the future"
        fetched = server.figures()["by_path"][path_of("a")][0]
        assert fetched == 1
        at.now = NOW
        await until(lambda: versions(source) == {"a": 1}, 5)


async def test_strangers_cannot_keep_a_clock_that_was_set_from_mattering(server) -> None:
    """They empty the buckets of hints; keys and lists are looked at within the tick that finds the clock set."""
    at = SetClock(100)
    server.behave("answer", **Published({"a": list_token("a")}).answers())
    async with polling(server, PATIENT, at) as source:
        for _ in range(20):
            source.hint(ISSUER)
            await asyncio.sleep(0.02)
        at.now = NOW
        await until(lambda: versions(source) == {"a": 1}, 5)
        await until(lambda: source.snapshot.issuers[ISSUER].judge(NOW) is Judgement.USE, 5)


async def test_a_list_is_never_relied_on_past_its_own_end(server) -> None:
    """However young it is by the limits of the service."""
    server.behave("answer", **Published({"a": list_token("a", exp=NOW + 60)}).answers())
    async with polling(server, PATIENT) as source:
        VERIFIER.verify(token(1), source.snapshot, now=NOW + 59)
        with pytest.raises(StatusUnavailableError):
            VERIFIER.verify(token(1), source.snapshot, now=NOW + 60)


@pytest.mark.parametrize("status", [403, 404, 410])
async def test_an_issuer_without_an_index_has_no_lists_and_is_asked_rarely(server, status) -> None:
    """It is no failure, and the looks for it become rarer; a hint brings lists that come later."""
    server.behave("answer", by_path={JWKS: answered(Published().keys), INDEX: {"status": status}})
    options = replace(QUICK, lists=ListSchedule(0.05, 60, 60, 60))
    async with polling(server, options) as source:
        await asyncio.sleep(1)
        state = lists_of(source)
        assert (state.failure, state.failures) == (None, 0)
        # 0, then 0.05 to 0.1, 0.1 to 0.2 and so on: without doubling it would be ten and more.
        assert 2 <= state.attempts <= 6
        server.behave("answer", **Published({"a": list_token("a")}).answers())
        with pytest.raises(StatusUnavailableError) as caught:
            VERIFIER.verify(token(1), source.snapshot, now=NOW)
        assert caught.value.issuer == ISSUER
        source.hint(ISSUER)
        await until(lambda: versions(source) == {"a": 1})


async def test_an_index_that_is_gone_drops_no_list_that_can_be_relied_on(server) -> None:
    """A path mistyped in a proxy is no outage at once: lists stay up to their limit, and the failure is told."""
    at = SetClock()
    published = Published({"a": list_token("a")})
    server.behave("answer", **published.answers())
    async with polling(server, replace(QUICK, hint_burst=50), at) as source:
        server.behave("answer", by_path={JWKS: answered(published.keys)})
        await until(lambda: lists_of(source).failure == "it answers 404")
        at.now = NOW + 3599
        await some_looks(source)
        assert versions(source) == {"a": 1}
        VERIFIER.verify(token(1, exp=NOW + 9000), source.snapshot, now=at())
        at.now = NOW + 3600
        await until(lambda: versions(source) == {})
        await until(lambda: lists_of(source).failure is None)


async def test_a_list_that_the_index_does_not_name_any_more_is_dropped(server) -> None:
    """An issuer retires a list when no token of it can live; one without any says so by an index without any."""
    server.behave("answer", **Published({"a": list_token("a"), "b": list_token("b")}).answers())
    async with polling(server) as source:
        server.behave("answer", **Published({"b": list_token("b")}).answers())
        await until(lambda: versions(source) == {"b": 1})
        server.behave("answer", **Published().answers())
        await until(lambda: versions(source) == {})
        assert lists_of(source).failures == 0


async def test_a_list_signed_by_a_key_that_is_not_known_yet_brings_the_key(server) -> None:
    """Neither waits for its next look: the list wakes the looks for keys, and the new key those for lists."""
    published = Published({"a": list_token("a")})
    server.behave("answer", **published.answers())
    options = replace(PATIENT, lists=ListSchedule(0.05, 60, 60, 60))
    async with polling(server, options) as source:
        keys = Issuer.jwks(GOOD, jwk(NEXT.key, "second"), issuer=ISSUER, sequence=6)
        server.behave("answer", **Published({"a": list_token("a", [1], version=2, by=NEXT)}, keys).answers())
        await until(lambda: versions(source) == {"a": 2})
        assert source.status().workers[ISSUER].attempts == 2
        assert source.status().issuers[ISSUER].lists.refusal is None


async def test_a_list_whose_key_comes_with_the_next_set_is_judged_again(server) -> None:
    """What was refused for its key is good once the key is there."""
    server.behave("answer", **Published({"a": list_token("a", by=NEXT)}).answers())
    options = replace(QUICK, hint_burst=1, hint_seconds=1000.0, lists=ListSchedule(60, 60, 60, 60))
    async with polling(server, options) as source:
        assert versions(source) == {}
        assert "not one of the issuer" in (source.status().issuers[ISSUER].lists.refusal or "")
        keys = Issuer.jwks(GOOD, jwk(NEXT.key, "second"), issuer=ISSUER, sequence=6)
        server.behave("answer", **Published({"a": list_token("a", by=NEXT)}, keys).answers())
        await until(lambda: versions(source) == {"a": 1})


async def test_a_list_of_a_withdrawn_key_goes_with_it_and_its_successor_comes_at_once(server) -> None:
    """Whoever has the key may have said anything in it, a version that nothing can follow too."""
    published = Published({"a": list_token("a", version=2**53 - 1)})
    server.behave("answer", **published.answers())
    options = replace(QUICK, lists=ListSchedule(60, 60, 60, 60))
    async with polling(server, options) as source:
        assert versions(source) == {"a": 2**53 - 1}
        keys = NEXT.jwks(issuer=ISSUER, sequence=6, revoked=["first"])
        server.behave("answer", **Published({"a": list_token("a", [1], version=2, by=NEXT)}, keys).answers())
        await until(lambda: versions(source) == {"a": 2})


async def test_keys_that_come_late_bring_the_lists(server) -> None:
    """While there is nothing to judge them by, lists are not fetched."""
    server.behave("answer", by_path={JWKS: {"status": 500}, INDEX: answered(index_of({"a": list_token("a")}))})
    options = replace(PATIENT, schedule=Schedule(0.05, 0.1))
    async with polling(server, options) as source:
        assert lists_of(source).failure == "there are no keys to judge them by"
        assert INDEX not in server.figures()["by_path"]
        server.behave("answer", **Published({"a": list_token("a")}).answers())
        await until(lambda: versions(source) == {"a": 1})


async def test_a_retry_after_is_obeyed_up_to_the_ceiling_and_no_hint_goes_before_it(server) -> None:
    """A host that asks for time gets it, and no more than a logout can wait for."""
    published = Published({"a": list_token("a")})
    busy = {INDEX: answered(b"", 503, headers={"Retry-After": "3600"})}
    server.behave("answer", **published.answers(**busy))
    options = replace(PATIENT, lists=ListSchedule(0.05, 60, 2, 60))
    async with polling(server, options) as source:
        assert lists_of(source).next_at == NOW + 2
        for _ in range(10):
            source.hint(ISSUER)
            await asyncio.sleep(0.02)
        assert server.figures()["by_path"][INDEX] == [1, 0]
        server.behave("answer", **published.answers())
        await until(lambda: versions(source) == {"a": 1})


async def test_a_hundred_thousand_unknown_lists_cost_a_few_fetches(server) -> None:
    """The bucket's few, whatever lists tokens name."""
    server.behave("answer", **Published({"a": list_token("a")}).answers())
    chance = random.Random(7)
    unknown = [token(1, f"{chance.getrandbits(128):032x}") for _ in range(100)]
    async with polling(server, PATIENT) as source:
        began = time.monotonic()
        for number in range(100_000):
            with pytest.raises(StatusUnavailableError) as caught:
                VERIFIER.verify(unknown[number % 100], source.snapshot, now=NOW)
            assert caught.value.issuer is not None
            source.hint(caught.value.issuer)
            if number % 500 == 0:
                await asyncio.sleep(0)
        allowed = 1 + PATIENT.hint_burst + (time.monotonic() - began) / PATIENT.hint_seconds
        await until(lambda: lists_of(source).attempts >= 2)
        await asyncio.sleep(0.2)
        figures = server.figures()["by_path"]
        assert 2 <= figures[INDEX][0] <= allowed
        assert figures[path_of("a")] == [1, 0]
        assert lists_of(source).failures == 0


def behind_a_balancer(*replicas: bytes, skew: int = 0) -> dict[str, Any]:
    """Answers of replicas that take turns; the list comes ``skew`` replicas later than the index."""
    lists = [answered(one) for one in replicas]
    indexes = [answered(index_of({"a": one})) for one in replicas]
    turned = lists[skew:] + lists[:skew]
    return Published({"a": replicas[0]}).answers(**{INDEX: {"replicas": indexes}, path_of("a"): {"replicas": turned}})


@pytest.mark.parametrize("skew", [0, 1])
async def test_behind_a_load_balancer_no_list_goes_back_and_none_is_fetched_for_ever(server, skew) -> None:
    """One replica lags: its index names an older list, which is fetched and judged once."""
    server.behave("answer", **behind_a_balancer(list_token("a", [1], version=5), list_token("a", version=4), skew=skew))
    async with polling(server) as source:
        await until(lambda: versions(source) == {"a": 5})
        for _ in range(200):
            await asyncio.sleep(0.005)
            assert refuses(source, 1)
        looks = server.figures()["by_path"][INDEX][0]
        assert looks >= 8
        assert server.figures()["by_path"][path_of("a")][0] <= 4
        assert lists_of(source).failures == 0
        status = source.status().issuers[ISSUER].lists
        assert (status.rollbacks, status.refused) in {(0, 0), (1, 1)}


async def test_a_list_laid_back_does_not_come_into_force_and_is_told(server) -> None:
    """Whoever controls the host cannot make a token good again, nor hide that he tried."""
    old, new = list_token("a", version=4), list_token("a", [1], version=5)
    server.behave("answer", **Published({"a": old}).answers())
    async with polling(server) as source:
        server.behave("answer", **Published({"a": new}).answers())
        await until(lambda: refuses(source, 1))
        server.behave("answer", **Published({"a": old}).answers())
        await until(lambda: "older" in (source.status().issuers[ISSUER].lists.refusal or ""))
        assert refuses(source, 1)
        # Nor by taking it away in between.
        server.behave("answer", **Published().answers())
        await until(lambda: versions(source) == {})
        server.behave("answer", **Published({"a": old}).answers())
        await some_looks(source)
        with pytest.raises(StatusUnavailableError):
            VERIFIER.verify(token(1), source.snapshot, now=NOW)
        server.behave("answer", **Published({"a": new}).answers())
        await until(lambda: versions(source) == {"a": 5})
        assert refuses(source, 1)
        await until(lambda: source.status().issuers[ISSUER].lists.refusal is None)


async def test_an_issuer_restored_from_a_backup_is_told_until_its_versions_pass(server) -> None:
    """What was published before is never taken back; equal versions that say different things are no peace either."""
    server.behave("answer", **Published({"a": list_token("a", [1], version=5)}).answers())
    async with polling(server) as source:
        for version, word in ((3, "older"), (4, "older"), (5, "another list under the same version 5")):
            server.behave("answer", **Published({"a": list_token("a", [2], version=version)}).answers())
            await some_looks(source, 6)
            assert word in (source.status().issuers[ISSUER].lists.refusal or "")
            assert refuses(source, 1)
            assert not refuses(source, 2)
        server.behave("answer", **Published({"a": list_token("a", [1, 2], version=6)}).answers())
        await until(lambda: refuses(source, 2))
        await until(lambda: source.status().issuers[ISSUER].lists.refusal is None)


async def test_of_replicas_that_sign_the_same_list_each_is_fetched_once(server) -> None:
    """They say the same, and are other documents."""
    server.behave(
        "answer",
        **behind_a_balancer(*(list_token("a", [1], version=5, iat=NOW - age) for age in (0, 1, 2))),
    )
    async with polling(server) as source:
        await some_looks(source, 12)
        assert refuses(source, 1)
        assert server.figures()["by_path"][path_of("a")][0] <= 6
        status = source.status().issuers[ISSUER].lists
        assert (status.refused, status.rollbacks, status.refusal) == (0, 0, None)


async def test_a_list_that_hangs_is_no_trouble_of_the_others(server) -> None:
    """Those that come are in force as they come, and the one that does not is told."""
    lists = {name: list_token(name) for name in ("a", "b", "c")}
    hanging = {path_of("b"): {"mode": "stalled_body"}}
    server.behave("answer", **Published(lists).answers(**hanging))
    options = replace(QUICK, timeouts=replace(QUICK.timeouts, chunk=0.5))
    async with polling(server, options) as source:
        await until(lambda: lists_of(source).failure)
        assert versions(source) == {"a": 1, "c": 1}
        assert "1 of 3 lists: its answer does not come to an end" in (lists_of(source).failure or "")
        lists["a"] = list_token("a", [1], version=2)
        server.behave("answer", **Published(lists).answers(**hanging))
        await until(lambda: versions(source) == {"a": 2, "c": 1})
        server.behave("answer", **Published(lists).answers())
        await until(lambda: versions(source) == {"a": 2, "b": 1, "c": 1})
        await until(lambda: lists_of(source).failure is None)


async def test_an_application_answers_401_after_a_logout_and_warns_of_lists_that_do_not_come(
    server, aiohttp_client
) -> None:
    """From the address to the answer; while the host is down the service stays ready, and its probe tells."""
    published = Published({"a": list_token("a", [7])})
    server.behave("answer", **published.answers())
    readiness = Readiness()
    settings = TrustSettings(issuer=ISSUER, audience=NOTES, trust_url=server.url, status_refresh_seconds=1)
    client = await aiohttp_client(notes_app(settings, readiness=readiness))
    assert (await client.get("/notes", headers=bearer(token(6)))).status == 200
    refused = await client.get("/notes", headers=bearer(token(7)))
    assert (refused.status, (await refused.json())["code"]) == (401, "token_revoked")
    unknown = await client.get("/notes", headers=bearer(token(7, "b")))
    assert (unknown.status, (await unknown.json())["code"]) == (503, "status_unavailable")
    server.behave("answer", **published.answers(**{INDEX: {"status": 500}}))
    async with asyncio.timeout(10):
        while not (found := await readiness.standing()).warnings:  # noqa: ASYNC110 - another task's doing
            await asyncio.sleep(0.05)
    assert found.reasons == {}
    assert found.warnings["documents"] == "status lists cannot be had: it answers 500"


async def test_lists_are_found_where_the_metadata_say_that_the_keys_are(server) -> None:
    """Beside the key set, wherever that is; before the keys are found there is nothing to look beside."""
    issuer = Issuer(NOW, issuer=server.base)
    metadata = compact_json({"issuer": server.base, "jwks_uri": f"{server.base}/deep/keys.json"})
    document = list_token("a", [1], iss=server.base)
    paths = {
        "/.well-known/oauth-authorization-server": answered(metadata),
        "/deep/keys.json": answered(issuer.jwks(issuer=server.base, sequence=1)),
        f"/deep{INDEX}": answered(index_of({"a": document}, issuer=server.base)),
        f"/deep{path_of('a')}": answered(document),
    }
    server.behave("answer", by_path=paths)
    async with HttpSource(None, server.base, options=PATIENT, clock=lambda: NOW) as source:
        assert [one.version for one in source.snapshot.issuers[server.base].lists.values()] == [1]
        lists = source.status().workers[server.base].lists
        assert lists is not None
        assert lists.origin == f"{server.base}/deep{INDEX}"


async def test_lists_that_are_not_looked_for_cost_nothing(server) -> None:
    """A service that does not ask for the status asks nobody for lists."""
    server.behave("answer", **Published({"a": list_token("a")}).answers())
    async with polling(server, replace(QUICK, lists=None)) as source:
        source.hint(ISSUER)
        await asyncio.sleep(0.2)
        assert set(server.figures()["by_path"]) == {JWKS}
        assert source.status().workers[ISSUER].lists is None


async def test_one_log_line_tells_of_an_outage_of_lists_and_one_of_its_end(server, caplog) -> None:
    """Not one for each attempt."""
    caplog.set_level("INFO", "farseal")
    published = Published({"a": list_token("a")})
    server.behave("answer", **published.answers())
    async with polling(server) as source:
        server.behave("answer", **published.answers(**{INDEX: {"status": 500}}))
        await until(lambda: lists_of(source).failures >= 3)
        server.behave("answer", **published.answers())
        await until(lambda: lists_of(source).failure is None)
    lines = [record.getMessage() for record in caplog.records]
    assert len([line for line in lines if "status lists" in line and "cannot be fetched" in line]) == 1
    assert len([line for line in lines if "answers again" in line]) == 1


async def test_a_source_that_is_stopped_leaves_nothing_running_and_starts_again(server) -> None:
    """Also where a list is under way."""
    server.behave("answer", **Published({"a": list_token("a")}).answers(**{path_of("a"): {"mode": "silent"}}))
    source = polling(server, replace(QUICK, start_seconds=0.2))
    await source.start()
    await source.stop()
    assert not [task for task in asyncio.all_tasks() if task.get_name().startswith("farseal-source")]
    server.behave("answer", **Published({"a": list_token("a")}).answers())
    async with source:
        assert versions(source) == {"a": 1}
