"""A protected application and the status of its tokens: answers, hints, readiness, and what it tells of its lists."""

import asyncio
import logging
from dataclasses import replace
from pathlib import Path

import pytest
from msgspec import structs
from prometheus_client import CollectorRegistry, generate_latest

from farseal import telemetry
from farseal.cli.trusting import as_text
from farseal.environment import SettingsError
from farseal.jwks import parse_jwks
from farseal.service.ops import Readiness
from farseal.settings import IssuerSettings, StatusPolicy, TrustSettings, source_of
from farseal.sources import IssuerStatus, ListsStatus, SourceStatus
from farseal.sources.report import MAX_LISTS_TOLD, TrustReport, report
from farseal.status_list import StatusList
from farseal.trust import IssuerTrust, StatusLimits, TrustSnapshot
from farseal.verify import IssuerExpectations
from farseal.web import trust_report, trust_source
from tests.support.protected import NOW, bearer, challenge_of, notes_app, settings_for
from tests.support.tokens import ISSUER, NOTES, Issuer
from tests.verification.test_file_source import until
from tests.verification.test_web_issuers import Given

OTHER = "https://other.example"
OURS = Issuer(NOW)
REQUIRE, IF_PRESENT, OFF = StatusPolicy.REQUIRE, StatusPolicy.IF_PRESENT, StatusPolicy.OFF


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return OURS.publish_lists(OURS.publish(tmp_path / "trust"), {OURS.list_uri: OURS.status_list([1])})


def listed(age: int = 0, name: str = "one", **changes) -> StatusList:
    uri = OURS.list_uri.replace("one", name)
    return replace(StatusList(uri, NOW - age, None, 5, 1, bytes(8), "first", b"d", 7), **changes)


def trust(*lists: StatusList, issuer: Issuer = OURS) -> IssuerTrust:
    keys = parse_jwks(issuer.jwks()).keys
    held = {one.uri: one for one in lists}
    return IssuerTrust(issuer.issuer, keys, NOW, lists=held, status_limits=StatusLimits(60, 600))


@pytest.mark.parametrize(
    ("status", "code", "http"),
    [
        (OURS.status(0), None, 200),
        (OURS.status(1), "token_revoked", 401),
        (OURS.status(64), "status_index_invalid", 401),
        (None, "status_missing", 401),
        (OURS.status(-1), "claims_malformed", 401),
        (OURS.status(0, f"{ISSUER}/x.jwt"), "status_unavailable", 503),
    ],
    ids=["good", "revoked", "out-of-range", "missing", "malformed", "unknown-list"],
)
async def test_each_status_has_its_answer(aiohttp_client, directory, status, code, http) -> None:
    """By default, without a word of settings: 401 with a challenge, or 503 with a time to come again and none."""
    app = notes_app(TrustSettings(issuer=ISSUER, audience=NOTES, trust_directory=directory))
    client = await aiohttp_client(app)
    async with client.get("/notes", headers=bearer(OURS.mint(status=status))) as answer:
        assert answer.status == http
        if code is not None:
            assert (await answer.json())["code"] == code
        assert challenge_of(answer.headers).get("error") == ("invalid_token" if http == 401 else None)
        assert ("Retry-After" in answer.headers) == (http == 503)


async def test_tokens_from_before_there_were_lists_are_told_with_what_to_do(aiohttp_client, directory, caplog) -> None:
    """Once a minute, however many come: they are good in every other way, and refused for a setting."""
    client = await aiohttp_client(notes_app(TrustSettings(issuer=ISSUER, audience=NOTES, trust_directory=directory)))
    for _ in range(20):
        assert (await client.get("/notes", headers=bearer(OURS.mint()))).status == 401
    told = [record.getMessage() for record in caplog.records if "FARSEAL_STATUS=if_present" in record.getMessage()]
    assert len(told) == 1
    assert ISSUER in told[0]
    # A stranger's token is not good otherwise, and tells nothing.
    caplog.clear()
    forged = Issuer(NOW, kid="first", issuer=ISSUER).mint(header={"kid": "x"})
    await client.get("/notes", headers=bearer(forged))
    assert "if_present" not in caplog.text


async def test_a_logout_is_refused_within_a_second(aiohttp_client, directory) -> None:
    """From the file to the answer; another session of the same person stays good."""
    client = await aiohttp_client(notes_app(TrustSettings(issuer=ISSUER, audience=NOTES, trust_directory=directory)))
    ended, other = (bearer(OURS.mint(status=OURS.status(index))) for index in (2, 3))
    assert (await client.get("/notes", headers=ended)).status == 200
    OURS.publish_lists(directory, {OURS.list_uri: OURS.status_list([1, 2])})
    async with asyncio.timeout(1):
        while (await client.get("/notes", headers=ended)).status != 401:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    assert (await client.get("/notes", headers=other)).status == 200


async def test_a_list_that_is_not_known_is_looked_for(aiohttp_client, directory) -> None:
    """The source of the token's issuer is told, and of a token that is bad otherwise is not."""
    source = Given(trust(listed()))
    client = await aiohttp_client(notes_app(settings_for(directory, status=REQUIRE), source=source))
    unknown = OURS.status(0, f"{ISSUER}/x.jwt")
    for claims in ({"exp": NOW - 60}, {"aud": "https://x.example"}):
        await client.get("/notes", headers=bearer(OURS.mint(status=unknown, **claims)))
    assert source.hints == []
    await client.get("/notes", headers=bearer(OURS.mint(status=unknown)))
    assert source.hints == [ISSUER]


@pytest.mark.parametrize(
    ("policy", "lists", "unready", "warning"),
    [
        (REQUIRE, (), "no status list of the issuer has been read", None),
        (REQUIRE, (listed(),), None, None),
        (REQUIRE, (listed(59),), None, None),
        (REQUIRE, (listed(60),), None, "status lists of the issuer are stale or have expired"),
        (REQUIRE, (listed(600),), "the status lists of the issuer are past their limit or have expired", "stale"),
        (
            REQUIRE,
            (listed(expires_at=NOW),),
            "the status lists of the issuer are past their limit or have expired",
            "stale or have expired",
        ),
        (REQUIRE, (listed(600), listed(name="two")), None, "status lists of the issuer are stale or have expired"),
        (IF_PRESENT, (), None, None),
        (IF_PRESENT, (listed(600),), None, "status lists of the issuer are stale or have expired"),
        (OFF, (), None, None),
    ],
    ids=str,
)
async def test_readiness_follows_the_policy(aiohttp_client, policy, lists, unready, warning) -> None:
    """Unready only where no token at all can be judged. No age in the words: they would be another at each probe."""
    readiness = Readiness()
    settings = TrustSettings(issuer=ISSUER, audience=NOTES, status=policy)
    await aiohttp_client(notes_app(settings, source=Given(trust(*lists)), readiness=readiness))
    standing = await readiness.standing()
    assert standing.reasons.get("trust") == unready
    assert (warning is None) == ("documents" not in standing.warnings)
    assert warning is None or warning in standing.warnings["documents"]


async def test_a_list_that_is_not_taken_is_a_warning(aiohttp_client, directory) -> None:
    """The one before stays in force, and the service ready."""
    readiness = Readiness()
    app = notes_app(settings_for(directory, status=REQUIRE), readiness=readiness)
    await aiohttp_client(app)
    (directory / "status" / "one.jwt").write_bytes(b"x")
    await until(lambda: trust_source(app).status().issuers[ISSUER].lists.refusal is not None)
    standing = await readiness.standing()
    assert standing.reasons == {}
    assert "status lists are not taken: status/one.jwt: " in standing.warnings["documents"]


def told(policy: StatusPolicy, *lists: StatusList, status: ListsStatus | None = None) -> TrustReport:
    snapshot = TrustSnapshot().with_issuer(trust(*lists))
    source = SourceStatus(1, 1, 0, None, {}, issuers={ISSUER: IssuerStatus(lists=status or ListsStatus())})
    return report(snapshot, source, {ISSUER: policy}, now=NOW)


@pytest.mark.parametrize(
    ("policy", "lists", "judgement"),
    [
        (REQUIRE, (), "refused"),
        (REQUIRE, (listed(),), "fresh"),
        (REQUIRE, (listed(60),), "stale"),
        (REQUIRE, (listed(600),), "refused"),
        (REQUIRE, (listed(600), listed(name="two")), "stale"),
        (IF_PRESENT, (), "fresh"),
        (IF_PRESENT, (listed(60),), "stale"),
        (OFF, (listed(600),), "fresh"),
    ],
    ids=str,
)
def test_the_report_judges_as_requests_do(policy, lists, judgement) -> None:
    """The worse of keys and lists, where the policy asks for lists."""
    assert told(policy, *lists).judgement == judgement


def test_the_report_tells_every_list() -> None:
    """Its name, its age, its version and its size; never its entries. The oldest come first."""
    status = ListsStatus(5, 3, 1, "status/two.jwt: missing")
    found = told(REQUIRE, listed(12, expires_at=NOW + 9), listed(70, name="old", version=None), status=status)
    ours = found.as_json()["issuers"][0]
    assert ours["lists"][1] == {
        "uri": OURS.list_uri,
        "judgement": "fresh",
        "age": 12,
        "issued_at": NOW - 12,
        "expires_at": NOW + 9,
        "ttl": 5,
        "version": 7,
        "size": 64,
        "bits": 1,
        "kid": "first",
    }
    assert (ours["status"], ours["lists_in_force"], ours["lists_refused"], ours["lists_rollbacks"]) == (
        "require",
        2,
        3,
        1,
    )
    text = "\n".join(as_text(found))
    assert "status require, 2 lists, stale from 1 min on, refused from 10 min on" in text
    assert f"list {OURS.list_uri}: fresh, 12 s old, version 7, 64 entries" in text
    assert "status lists are not taken: status/two.jwt: missing" in text
    assert "3 status lists refused, 1 of them rollbacks" in text
    assert "status off, no lists" in "\n".join(as_text(told(OFF)))


def test_what_counts_key_sets_says_so_and_stands_before_the_lists() -> None:
    """Under the lists it would be read as of them."""
    found = told(REQUIRE, listed(12))
    (one,) = found.issuers
    one = structs.replace(one, refused=1, attempts=4)
    said = as_text(structs.replace(found, issuers=(one,)))
    counts = said.index("  key sets: 1 refused, 0 of them rollbacks; 0 of 4 looks failed")
    assert counts < said.index(next(line for line in said if line.startswith("  status require")))


def test_a_report_of_thousands_of_lists_is_bounded() -> None:
    """The oldest are told, and how many there are."""
    found = told(REQUIRE, *(listed(n % 50, f"l{n}") for n in range(1_000)))
    (ours,) = found.issuers
    assert (len(ours.lists), ours.lists_in_force, ours.lists[0].age) == (MAX_LISTS_TOLD, 1_000, 49)
    assert "and 900 younger lists" in "\n".join(as_text(found))


async def test_prometheus_sees_the_lists(aiohttp_client, directory) -> None:
    """By issuer, like the keys."""
    app, registry = notes_app(settings_for(directory, status=REQUIRE), clock=lambda: NOW + 40), CollectorRegistry()
    telemetry.register(app, registry)
    client = await aiohttp_client(app)
    await client.get("/notes", headers=bearer(OURS.mint(status=OURS.status(1))))
    said = generate_latest(registry).decode().splitlines()
    for line in (
        'farseal_verifications_total{outcome="token_revoked"} 1.0',
        f'farseal_status_lists{{issuer="{ISSUER}"}} 1.0',
        f'farseal_status_list_age_seconds{{issuer="{ISSUER}"}} 40.0',
        f'farseal_status_lists_refused_total{{issuer="{ISSUER}"}} 0.0',
        f'farseal_status_list_rollbacks_total{{issuer="{ISSUER}"}} 0.0',
    ):
        assert line in said
    assert trust_report(app).issuers[0].lists[0].age == 40


BASE = {"FARSEAL_ISSUER": ISSUER, "FARSEAL_AUDIENCE": NOTES, "FARSEAL_TRUST_DIRECTORY": "/trust"}


@pytest.mark.parametrize("policy", StatusPolicy)
def test_a_variable_sets_the_policy(policy) -> None:
    """Of the one issuer; to require is the default."""
    settings = TrustSettings.from_environ(BASE | {"FARSEAL_STATUS": policy.value})
    assert settings.expectations.status_of(ISSUER) is policy
    assert TrustSettings.from_environ(BASE).expectations.status_of(ISSUER) is REQUIRE
    limits = {"FARSEAL_STATUS_STALE_AFTER_SECONDS": "120", "FARSEAL_STATUS_REFUSE_AFTER_SECONDS": "121"}
    settings = TrustSettings.from_environ(BASE | limits)
    assert settings.status_limits == StatusLimits(120, 121)
    assert TrustSettings.from_environ(BASE).status_limits == StatusLimits()
    assert source_of(settings)._keeper._status_limits == StatusLimits(120, 121)


@pytest.mark.parametrize(
    ("name", "value", "fault"),
    [
        ("STATUS", "REQUIRE", "must be one of require, if_present, off"),
        ("STATUS", "none", "must be one of require, if_present, off"),
        ("STATUS_STALE_AFTER_SECONDS", "0", "must be whole seconds, 120 or more"),
        ("STATUS_STALE_AFTER_SECONDS", "119", "must be whole seconds, 120 or more"),
        ("STATUS_REFUSE_AFTER_SECONDS", "119", "must be whole seconds, 120 or more"),
        ("STATUS_REFUSE_AFTER_SECONDS", "300", "must be more than FARSEAL_STATUS_STALE_AFTER_SECONDS (300)"),
        ("STATUS_REFRESH_SECONDS", "0", "must be whole seconds, 1 to 86400"),
        ("STATUS_REFRESH_SECONDS", "3600", "must be less than FARSEAL_STATUS_REFUSE_AFTER_SECONDS"),
    ],
)
def test_a_setting_out_of_its_bounds_is_told(name, value, fault) -> None:
    with pytest.raises(SettingsError) as refused:
        TrustSettings.from_environ(BASE | {f"FARSEAL_{name}": value})
    (told,) = refused.value.faults
    assert told.removesuffix(f", not {value!r}") == f"FARSEAL_{name}: {fault}"


def test_limits_that_a_healthy_list_reaches_each_minute_are_refused_in_code_too() -> None:
    """A list is up to a minute old before it is signed anew."""
    with pytest.raises(SettingsError) as refused:
        TrustSettings(
            issuer=ISSUER, audience=NOTES, trust_directory=Path("/trust"),
            status_stale_after_seconds=30, status_refuse_after_seconds=50,
        )  # fmt: skip
    assert refused.value.faults == (
        "FARSEAL_STATUS_STALE_AFTER_SECONDS: must be whole seconds, 120 or more",
        "FARSEAL_STATUS_REFUSE_AFTER_SECONDS: must be whole seconds, 120 or more",
    )


def issuers_file(tmp_path: Path, *lines: str) -> dict[str, str]:
    file = tmp_path / "issuers.toml"
    file.write_text("\n".join(["[[issuer]]", f'issuer = "{OTHER}"', 'trust_directory = "/theirs"', *lines]))
    return {"FARSEAL_AUDIENCE": NOTES, "FARSEAL_ISSUERS_FILE": str(file)}


@pytest.mark.parametrize(("line", "policy"), [("", IF_PRESENT), *((f'status = "{one}"', one) for one in StatusPolicy)])
def test_each_of_several_issuers_says_its_own(tmp_path, line, policy) -> None:
    """Most publish no lists: what is there is judged, unless more is asked for."""
    settings = TrustSettings.from_environ(issuers_file(tmp_path, line))
    assert settings.expectations.status_of(OTHER) is policy
    assert settings.trusted == (IssuerSettings(issuer=OTHER, trust_directory=Path("/theirs"), status=policy),)
    assert settings.trusted[0].expectations(NOTES) == IssuerExpectations(NOTES, status=policy)


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ('status = "maybe"', "issuer 1: status: must be one of require, if_present, off"),
        ("status = true", "issuer 1: status: must be one of require, if_present, off"),
        ('stauts = "off"', "issuer 1: stauts: no such member; did you mean status?"),
    ],
)
def test_a_status_that_is_none_is_told_with_its_issuer(tmp_path, line, fault) -> None:
    with pytest.raises(SettingsError, match=fault.replace("?", r"\?")):
        TrustSettings.from_environ(issuers_file(tmp_path, line))


def test_what_is_said_of_one_issuer_is_not_said_of_several(tmp_path) -> None:
    """Whoever switches it off for all would not see that nothing is switched off."""
    with pytest.raises(SettingsError, match="FARSEAL_STATUS: must not be set beside several issuers"):
        TrustSettings.from_environ(issuers_file(tmp_path) | {"FARSEAL_STATUS": "off"})


@pytest.mark.parametrize("value", ["off", None, True], ids=repr)
def test_in_code_a_policy_is_no_text(value) -> None:
    """Told at construction, of one issuer and of several."""
    with pytest.raises(SettingsError, match="FARSEAL_STATUS: must be a StatusPolicy"):
        TrustSettings(issuer=ISSUER, audience=NOTES, status=value)
    with pytest.raises(SettingsError, match="status: must be a StatusPolicy"):
        IssuerSettings(issuer=ISSUER, status=value)


async def test_a_service_says_why_nobody_can_tell(aiohttp_client, directory, caplog) -> None:
    """Once a minute, in the log."""
    client = await aiohttp_client(notes_app(settings_for(directory, status=REQUIRE), source=Given(trust())))
    with caplog.at_level(logging.WARNING, "farseal"):
        caplog.clear()
        for _ in range(3):
            assert (await client.get("/notes", headers=bearer(OURS.mint(status=OURS.status(0))))).status == 503
    assert caplog.messages == [f"The status list of the token has not been read yet: tokens of {ISSUER} get 503"]
