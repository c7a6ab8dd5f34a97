"""The pure rules of polling: addresses, permits, freshness, waits."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farseal.sources import AddressError, AddressPolicy, ListSchedule, Schedule
from farseal.sources.bucket import TokenBucket
from farseal.sources.freshness import MAX_DELTA_SECONDS, delta_seconds, http_date, max_age, retry_after

MOMENT = 784_111_777
"""Sun, 06 Nov 1994 08:49:37 GMT, the example of RFC 9110 section 5.6.7."""

POLICY = AddressPolicy(frozenset({"keys", "keys.svc.cluster.local"}))


@pytest.mark.parametrize(
    "url",
    [
        "https://a.example",
        "https://a.example/jwks?tenant=1",
        "https://a.example:8443/%7Ea/jwks.json",
        "https://[2001:db8::1]/jwks",
        "http://127.0.0.1:9000/jwks.json",
        "http://127.8.8.8/",
        "http://[::1]:9000/",
        "http://localhost/",
        "http://keys/jwks.json",
        "http://KEYS:80/jwks.json",
        "http://keys.svc.cluster.local/",
    ],
)
def test_an_address_may_be_https_or_lead_no_further_than_allowed(url) -> None:
    """Whatever is accepted is used as it is spelled."""
    assert POLICY.check(url) == url


@pytest.mark.parametrize(
    "url",
    [
        "",
        "a.example",
        "//a.example",
        "ftp://a.example/",
        "file:///etc/passwd",
        "data:application/json,{}",
        "http://a.example/",
        "http://keys.example/",
        "http://127.1/",
        "http://2130706433/",
        "http://0x7f.0.0.1/",
        "http://0.0.0.0/",
        "http://169.254.169.254/",
        "http://10.0.0.1/",
        "http://localhost.a.example/",
        "http://127.0.0.1@a.example/",
        "https://user@a.example/",
        "https://user:secret@a.example/",
        "https://a.example/#keys",
        "https://a.example\\@b.example/",
        "https://a.example/a b",
        "https://a.example/\n",
        " https://a.example/",
        "https://a.example:0/",
        "https://a.example:65536/",
        "https://ä.example/",
        "https://a.example/%zz",
        "https://",
        "HTTPS://a.example",
        f"https://a.example/{'a' * 2048}",
    ],
)
def test_any_other_address_is_refused_and_not_quoted(url) -> None:
    """It may hold a password, and comes from an issuer at times."""
    with pytest.raises(AddressError, match=r"^must be ") as caught:
        POLICY.check(url)
    assert "secret" not in str(caught.value)


def test_loopback_can_be_left_out() -> None:
    """As it is for issuers elsewhere."""
    with pytest.raises(AddressError):
        AddressPolicy(loopback=False).check("http://127.0.0.1/")


@given(
    capacity=st.integers(1, 6),
    refill=st.integers(1, 50),
    waits=st.lists(st.integers(0, 60), max_size=80),
)
def test_a_bucket_gives_no_more_than_its_capacity_and_its_refill(capacity, refill, waits) -> None:
    """In any span whatever, and it gives all that it has: as a count of permits by the clock would."""
    bucket = TokenBucket(capacity, refill)
    uptime, taken, level = 1000.0, [], float(capacity)
    for wait in waits:
        uptime += wait
        level = min(capacity, level + wait / refill)
        granted = bucket.take(uptime)
        assert granted or level < 1 + 1e-6
        assert not granted or level > 1 - 1e-6
        level -= granted
        taken += [uptime] if granted else []
    for first, begin in enumerate(taken):
        for last, end in enumerate(taken[first:], first):
            assert last - first + 1 <= capacity + (end - begin) / refill + 1e-6


def test_a_bucket_that_is_asked_all_the_time_still_refills() -> None:
    """A refused asking costs nothing: a flood cannot keep it empty."""
    bucket = TokenBucket(2, 10.0)
    granted = [at for at in range(1000) if bucket.take(100 + at / 10)]
    assert granted == [0, 1, *range(100, 1000, 100)]


def test_a_clock_that_goes_back_fills_no_bucket() -> None:
    """Neither does it empty one for long."""
    bucket = TokenBucket(1, 10.0)
    assert bucket.take(100.0)
    assert not bucket.take(0.0)
    assert not bucket.take(109.9)
    assert bucket.take(110.0)


@pytest.mark.parametrize(("capacity", "refill"), [(0, 1.0), (1, 0.0), (1, -1.0), (1, float("nan"))])
def test_a_bucket_that_holds_nothing_or_never_ends_is_none(capacity, refill) -> None:
    """A fault of a setting, told when it is made."""
    with pytest.raises(ValueError, match="must hold"):
        TokenBucket(capacity, refill)


@pytest.mark.parametrize(
    ("fields", "seconds"),
    [
        pytest.param([], None, id="nothing"),
        pytest.param(["max-age=60"], 60, id="plain"),
        pytest.param(["public, max-age=60, must-revalidate"], 60, id="among-others"),
        pytest.param(["Public,MAX-AGE=60"], 60, id="case"),
        pytest.param(["public", "max-age=60"], 60, id="second-field"),
        pytest.param(['max-age="60"'], 60, id="quoted"),
        pytest.param(["max-age=60, max-age=30"], 30, id="twice-the-shortest"),
        pytest.param(["max-age=0"], 0, id="zero"),
        pytest.param(["no-cache, no-store"], None, id="no-cache"),
        pytest.param(["s-maxage=60"], None, id="for-shared-caches"),
        pytest.param(['private="max-age=5", max-age=60'], 60, id="inside-of-quotes"),
        pytest.param(["max-age=99999999999999999999"], MAX_DELTA_SECONDS, id="huge"),
        pytest.param(["max-age=-1"], None, id="negative"),
        pytest.param(["max-age=1.5"], None, id="fraction"),
        pytest.param(["max-age=\u0661"], None, id="other-digits"),
        pytest.param(["max-age"], None, id="no-argument"),
        pytest.param(["max-age=60;x"], None, id="what-cannot-be-read"),
        pytest.param(['x="'], None, id="open-quote"),
    ],
)
def test_cache_control_is_read_as_rfc_9111_writes_it(fields, seconds) -> None:
    """Section 5.2; what cannot be read says nothing."""
    assert max_age(fields) == seconds


@given(st.lists(st.text(max_size=200), max_size=3))
def test_no_cache_control_is_too_strange(fields) -> None:
    """A number of seconds in bounds, or None."""
    seconds = max_age(fields)
    assert seconds is None or 0 <= seconds <= MAX_DELTA_SECONDS


@given(st.lists(st.sampled_from(["public", "no-transform", 'ext="a,b"', "x=y"])), st.integers(0, 10**9))
def test_max_age_is_found_wherever_it_stands(others, seconds) -> None:
    """Among any directives."""
    for position in range(len(others) + 1):
        field = ", ".join([*others[:position], f"max-age={seconds}", *others[position:]])
        assert max_age([field]) == seconds


@pytest.mark.parametrize(
    "field",
    [
        pytest.param('a="' + "\\" * 8000, id="escapes"),
        pytest.param(" " * 8000 + ",", id="blanks"),
        pytest.param("a" * 8000 + "=", id="a-long-name"),
        pytest.param("a" + " " * 8000 + ";", id="blanks-behind-a-name"),
        pytest.param("a=" + " " * 8000 + ";", id="blanks-behind-an-equals-sign"),
        pytest.param("a=b" + " " * 8000 + ";", id="blanks-behind-an-argument"),
        pytest.param("a," * 4000 + ";", id="many-directives"),
    ],
)
def test_a_long_cache_control_costs_no_more_than_its_length(field) -> None:
    """It is read on the event loop, and there may be a hundred of them in one head."""
    began = time.thread_time()
    assert max_age([field]) is None
    assert time.thread_time() - began < 0.02


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        pytest.param("Sun, 06 Nov 1994 08:49:37 GMT", MOMENT, id="imf-fixdate"),
        pytest.param("Sunday, 06-Nov-94 08:49:37 GMT", None, id="rfc-850"),
        pytest.param("Sun Nov  6 08:49:37 1994", None, id="asctime"),
        pytest.param("Sun, 06 Nov 1994 08:49:37 +0100", None, id="another-zone"),
        pytest.param("Sun, 99 Nov 1994 08:49:37 GMT", None, id="no-such-day"),
        pytest.param("Sun, 06 Xyz 1994 08:49:37 GMT", None, id="no-such-month"),
        pytest.param("1994-11-06T08:49:37Z", None, id="iso"),
        pytest.param("", None, id="empty"),
        pytest.param(None, None, id="absent"),
    ],
)
def test_a_date_is_read_in_the_one_form_that_may_be_sent(text, seconds) -> None:
    """RFC 9110 section 5.6.7."""
    assert http_date(text) == seconds


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        pytest.param("120", 120, id="seconds"),
        pytest.param("Sun, 06 Nov 1994 08:49:37 GMT", 37, id="date"),
        pytest.param("Sun, 06 Nov 1994 08:48:00 GMT", 0, id="date-gone-by"),
        pytest.param("soon", None, id="words"),
        pytest.param("-5", None, id="negative"),
        pytest.param("9" * 65, None, id="more-digits-than-a-number-has"),
        pytest.param(None, None, id="absent"),
    ],
)
def test_retry_after_is_a_number_or_a_date(text, seconds) -> None:
    """RFC 9110 section 10.2.3."""
    assert retry_after(text, MOMENT - 37) == seconds


@given(st.text(max_size=80))
def test_no_field_is_too_strange(text) -> None:
    """None, or a number."""
    assert delta_seconds(text) is None or text.strip().isdigit()
    assert http_date(text) is None
    assert retry_after(text, 0) == delta_seconds(text)


BOUNDS = st.tuples(st.floats(0.01, 1000), st.floats(0.01, 1000)).map(sorted)
CHANCE = st.floats(0, 1, exclude_max=True)
SECONDS = st.one_of(st.none(), st.integers(0, MAX_DELTA_SECONDS))


@given(BOUNDS, SECONDS, st.integers(0, MAX_DELTA_SECONDS), CHANCE)
def test_a_regular_wait_stays_between_floor_and_ceiling(bounds, fresh, age, chance) -> None:
    """Whatever the answer says, the operator's bounds hold."""
    floor, ceiling = bounds
    assert floor <= Schedule(floor, ceiling).regular(fresh, age, chance) <= ceiling


@given(BOUNDS, st.integers(1, 10**6), SECONDS, CHANCE)
def test_a_back_off_stays_between_floor_and_ceiling(bounds, failures, asked, chance) -> None:
    """However long it lasts, and whatever the issuer asks for; which is obeyed where the ceiling allows it."""
    floor, ceiling = bounds
    wait = Schedule(floor, ceiling).back_off(failures, asked, chance)
    assert min(floor, ceiling) <= wait <= ceiling
    assert wait >= min(asked or 0, ceiling)


@pytest.mark.parametrize(
    ("failures", "earliest", "latest"), [(1, 5, 10), (2, 10, 20), (3, 20, 40), (6, 150, 300), (100, 150, 300)]
)
def test_a_back_off_doubles_up_to_the_ceiling(failures, earliest, latest) -> None:
    """Chance decides over half of it."""
    schedule = Schedule(5, 300)
    assert schedule.back_off(failures, None, 0.0) == earliest
    assert schedule.back_off(failures, None, 0.999_999) == pytest.approx(latest, rel=1e-3)


def test_verifiers_that_were_started_together_do_not_stay_together() -> None:
    """Also at the bounds themselves, where most of them are."""
    schedule = Schedule(5, 300)
    for fresh in (1, 5, 60, 300, 86_400):
        assert schedule.regular(fresh, 0, 0.0) < schedule.regular(fresh, 0, 0.9)


@pytest.mark.parametrize(("floor", "ceiling"), [(0, 1), (-1, 1), (2, 1), (float("nan"), 1)])
def test_bounds_that_contradict_are_refused(floor, ceiling) -> None:
    """A fault of a setting, told when it is made."""
    with pytest.raises(ValueError, match="must hold"):
        Schedule(floor, ceiling)


@pytest.mark.parametrize(
    ("ttls", "interval"),
    [
        pytest.param([], 5, id="no-lists"),
        pytest.param([None, None], 5, id="no-ttl"),
        pytest.param([60, 20, None], 20, id="the-shortest"),
        pytest.param([1, 60], 5, id="shorter-than-the-refresh"),
        pytest.param([86_400], 300, id="longer-than-the-ceiling"),
    ],
)
def test_lists_are_looked_for_as_often_as_the_shortest_ttl_asks(ttls, interval) -> None:
    """Within what the operator allows, whatever a signed list says."""
    assert ListSchedule().interval(ttls) == interval


@given(
    refresh=st.floats(0.5, 60),
    ttl=st.none() | st.integers(1, 10**6),
    spent=st.floats(0, 100),
    chance=st.floats(0, 1, exclude_max=True),
)
def test_a_wait_for_lists_is_never_longer_than_the_interval(refresh, ttl, spent, chance) -> None:
    """Nor much shorter at rest; and after a look that took longer than that there is a rest all the same."""
    schedule = ListSchedule.every(refresh)
    interval = schedule.interval([ttl])
    wait = schedule.regular(interval, spent, chance)
    assert interval * 0.1 <= wait <= interval
    assert wait + spent <= interval or wait == pytest.approx(interval * 0.1)
    assert schedule.regular(interval, 0, chance) >= interval * 0.9


@given(failures=st.integers(1, 1000), retry=st.none() | st.integers(0, 10**9), chance=st.floats(0, 1, exclude_max=True))
def test_the_back_off_of_lists_stays_short(failures, retry, chance) -> None:
    """An end of the trouble is known within ten seconds, or the interval of the lists where that is longer."""
    assert ListSchedule().after_failures(5).back_off(failures, retry, chance) <= 10
    assert ListSchedule().after_failures(60).back_off(failures, retry, chance) <= 60
    assert 5 <= ListSchedule().while_absent(failures, chance) <= 60


def test_waits_for_lists_that_cannot_be_held_are_refused() -> None:
    """A refresh that is longer than a ceiling is a mistake of whoever wrote it; `every` makes none."""
    for changes in ({"refresh": 0}, {"refresh": 301}, {"back_off": 4}, {"absent": 4}):
        with pytest.raises(ValueError, match="must hold"):
            ListSchedule(**changes)
    assert ListSchedule.every(3600).interval([5]) == 3600
