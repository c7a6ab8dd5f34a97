"""Several issuers in one service: their keys, their troubles and their words are never mixed."""

import asyncio
import time
from dataclasses import replace
from pathlib import Path

import pytest

from farseal.errors import (
    AudienceMismatchError,
    IssuerUnknownError,
    KeyUnknownError,
    MalformedClaimsError,
    SignatureInvalidError,
    TrustUnavailableError,
)
from farseal.jwks import parse_jwks
from farseal.sources import DirectoryWorker, Sources, TrustKeeper
from farseal.sources.file import HINT_SECONDS
from farseal.status_list import StatusPolicy
from farseal.trust import AgeLimits, IssuerTrust, TrustSnapshot
from farseal.verify import Expectations, IssuerExpectations, Verifier
from tests.support.tokens import ISSUER, NOTES, Issuer, compact_json, jwk, private_key

NOW = 1_795_000_000
OTHER, THIRD = "https://other.example", "https://third.example"


class Stranger(Issuer):
    """Another issuer whose key goes by the same kid."""

    @property
    def key(self):
        return private_key("strange")


OURS, THEIRS = Issuer(NOW), Stranger(NOW, issuer=OTHER)


def sources(directories: dict[str, Path], **options) -> Sources:
    keeper = TrustKeeper({issuer: str(path) for issuer, path in directories.items()}, AgeLimits())
    workers = (
        DirectoryWorker(keeper, issuer, path, poll_seconds=0.05, **options) for issuer, path in directories.items()
    )
    return Sources(keeper, workers)


def snapshot() -> TrustSnapshot:
    held = TrustSnapshot()
    for issuer in (OURS, THEIRS):
        held = held.with_issuer(IssuerTrust(issuer.issuer, parse_jwks(issuer.jwks()).keys, NOW))
    return held


def verifier(**of_issuers: IssuerExpectations) -> Verifier:
    named = {"ours": ISSUER, "theirs": OTHER}
    own = {named[one]: replace(said, status=StatusPolicy.OFF) for one, said in of_issuers.items()}
    return Verifier(Expectations(NOTES, frozenset({ISSUER, OTHER}), of_issuers=own, status=StatusPolicy.OFF))


def test_the_same_kid_at_two_issuers_is_two_keys() -> None:
    """Each issuer's tokens are good with its own, and neither can sign in the other's name."""
    for issuer in (OURS, THEIRS):
        assert verifier().verify(issuer.mint(), snapshot(), now=NOW).issuer == issuer.issuer
    for issuer, other in ((OURS, OTHER), (THEIRS, ISSUER)):
        with pytest.raises(SignatureInvalidError):
            verifier().verify(issuer.mint(iss=other), snapshot(), now=NOW)
    with pytest.raises(IssuerUnknownError):
        verifier().verify(OURS.mint(iss=THIRD), snapshot(), now=NOW)


def test_one_without_keys_is_no_outage_of_the_other() -> None:
    """Nobody can tell about the one; the other's tokens are judged as ever."""
    held = TrustSnapshot().with_issuer(snapshot().issuers[ISSUER])
    assert verifier().verify(OURS.mint(), held, now=NOW)
    with pytest.raises(TrustUnavailableError):
        verifier().verify(THEIRS.mint(), held, now=NOW)


def test_an_issuer_may_know_this_service_by_another_name() -> None:
    """Its audience is asked of its tokens, and of nobody else's."""
    judge = verifier(theirs=IssuerExpectations("api://notes"))
    assert judge.verify(THEIRS.mint(aud="api://notes"), snapshot(), now=NOW)
    assert judge.verify(OURS.mint(), snapshot(), now=NOW)
    for token in (THEIRS.mint(aud=NOTES), OURS.mint(aud="api://notes")):
        with pytest.raises(AudienceMismatchError):
            judge.verify(token, snapshot(), now=NOW)


MAPPED = {"scope": "scp", "roles": "https://other.example/roles", "groups": "teams", "client_id": "azp"}
THEIR_CLAIMS = {
    "client_id": None,
    "azp": "app-7",
    "scope": None,
    "scp": "notes:read",
    "roles": None,
    "https://other.example/roles": ["editor"],
    "teams": ["red"],
}


def test_claims_are_read_under_the_issuers_own_names() -> None:
    """After the signature, and for that issuer alone. Its own claims stay to be seen."""
    judge = verifier(theirs=IssuerExpectations(NOTES, MAPPED))
    claims = judge.verify(THEIRS.mint(**THEIR_CLAIMS), snapshot(), now=NOW)
    assert (claims.client_id, claims.scopes, claims.roles, claims.groups) == (
        "app-7",
        {"notes:read"},
        {"editor"},
        {"red"},
    )
    assert claims.extra["azp"] == "app-7"
    ours = judge.verify(OURS.mint(scp="notes:admin", teams=["red"]), snapshot(), now=NOW)
    assert "notes:admin" not in ours.scopes
    assert not ours.groups


@pytest.mark.parametrize(
    ("changes", "scopes"),
    [
        pytest.param({"scp": ["notes:read", "notes:write"]}, {"notes:read", "notes:write"}, id="a-list"),
        pytest.param({"scp": []}, set(), id="an-empty-list"),
        pytest.param({"scp": None}, set(), id="none"),
        pytest.param({"scp": None, "scope": "notes:admin"}, set(), id="our-name-means-something-else-there"),
        pytest.param({"scp": ["notes:read notes:admin"]}, None, id="two-in-one"),
        pytest.param({"scp": ["notes:read", ""]}, None, id="an-empty-one"),
        pytest.param({"scp": ["notes:read", 1]}, None, id="a-number"),
        pytest.param({"scp": "notes:read  notes:write"}, None, id="two-spaces"),
        pytest.param({"scp": {"notes:read": True}}, None, id="an-object"),
        pytest.param({"azp": None}, None, id="no-client"),
        pytest.param({"azp": None, "client_id": "login"}, None, id="a-client-under-our-name"),
        pytest.param({"azp": 7}, None, id="a-client-that-is-a-number"),
        pytest.param({"teams": "red"}, None, id="groups-that-are-no-list"),
    ],
)
def test_what_is_mapped_is_held_to_the_same(changes, scopes) -> None:
    """The claims of RFC 9068 are required, and of their types, by whatever name."""
    judge = verifier(theirs=IssuerExpectations(NOTES, MAPPED))
    token = THEIRS.mint(**(THEIR_CLAIMS | changes))
    if scopes is None:
        with pytest.raises(MalformedClaimsError):
            judge.verify(token, snapshot(), now=NOW)
    else:
        assert judge.verify(token, snapshot(), now=NOW).scopes == scopes


def test_what_cannot_be_expected_is_said_at_once() -> None:
    """A name that decides for whom or how long a token is may not be mapped; nor may anybody else's be expected."""
    for bad in (
        lambda: IssuerExpectations(NOTES, {"exp": "expires"}),
        lambda: IssuerExpectations(NOTES, {"scope": ""}),
        lambda: IssuerExpectations(""),
        lambda: Expectations(
            NOTES, frozenset({ISSUER}), status=StatusPolicy.OFF, of_issuers={OTHER: IssuerExpectations(NOTES)}
        ),
    ):
        with pytest.raises(ValueError):
            bad()


async def test_each_issuer_follows_its_own_directory(tmp_path) -> None:
    """One that is broken neither keeps the service from starting nor touches the other; both recover by themselves."""
    OURS.publish(tmp_path / "ours")
    async with sources({ISSUER: tmp_path / "ours", OTHER: tmp_path / "theirs"}) as source:
        assert set(source.snapshot.issuers) == {ISSUER}
        status = source.status()
        assert status.issuers[ISSUER].refusal is None
        assert status.issuers[OTHER].refusal == "the directory: missing"
        assert status.workers[OTHER].origin == str(tmp_path / "theirs")
        THEIRS.publish(tmp_path / "theirs")
        (tmp_path / "ours" / "jwks.json").write_text("{")
        await until(lambda: OTHER in source.snapshot.issuers and source.status().issuers[ISSUER].refused)
        assert set(source.snapshot.issuers[ISSUER].keys) == {"first"}
        assert source.status().issuers[OTHER].refusal is None
        for issuer in (OURS, THEIRS):
            assert verifier().verify(issuer.mint(), source.snapshot, now=NOW)


async def test_documents_in_the_wrong_place_are_nobodys(tmp_path) -> None:
    """Two directories taken for each other: the set says whose it is, and so does the metadata."""
    for name, issuer in (("ours", THEIRS), ("theirs", OURS)):
        (tmp_path / name).mkdir()
        document = {"keys": [jwk(issuer.key, issuer.kid)], "farseal": {"issuer": issuer.issuer}}
        (tmp_path / name / "jwks.json").write_bytes(compact_json(document))
    async with sources({ISSUER: tmp_path / "ours", OTHER: tmp_path / "theirs"}) as source:
        assert not source.snapshot.issuers
        refusals = {status.refusal for status in source.status().issuers.values()}
        assert refusals == {f"jwks.json: the key set is of another issuer than {issuer}" for issuer in (ISSUER, OTHER)}


async def test_a_withdrawn_key_is_withdrawn_at_its_issuer_only(tmp_path) -> None:
    """From the directory to the verdict; the other's key of the same kid goes on."""
    for name, issuer in (("ours", OURS), ("theirs", THEIRS)):
        issuer.publish(tmp_path / name)
    async with sources({ISSUER: tmp_path / "ours", OTHER: tmp_path / "theirs"}) as source:
        assert verifier().verify(OURS.mint(), source.snapshot, now=NOW)
        (tmp_path / "ours" / "jwks.json").write_bytes(
            Issuer(NOW, kid="second").jwks(issuer=ISSUER, sequence=2, revoked=["first"])
        )
        await until(lambda: source.snapshot.issuers[ISSUER].revoked == {"first"})
        with pytest.raises(Exception, match="withdrawn") as caught:
            verifier().verify(OURS.mint(), source.snapshot, now=NOW)
        assert caught.value.code == "key_revoked"
        assert verifier().verify(THEIRS.mint(), source.snapshot, now=NOW)


async def test_a_hint_wakes_the_worker_it_is_for(tmp_path) -> None:
    """Long before its next look is due; the others go on sleeping, and a name that is nobody's wakes none."""
    keeper = TrustKeeper({ISSUER: "a", OTHER: "b"}, AgeLimits())
    workers = [DirectoryWorker(keeper, one, tmp_path / "none", poll_seconds=600) for one in (ISSUER, OTHER)]
    async with Sources(keeper, workers) as source:
        source.hint(THIRD)
        source.hint(ISSUER)
        await until(lambda: workers[0].state().attempts == 2)
        began, looked = time.monotonic(), workers[0].state().attempts
        for _ in range(100):
            source.hint(ISSUER)
            await asyncio.sleep(0.002)
        allowed = 1 + (time.monotonic() - began) / HINT_SECONDS
        assert workers[0].state().attempts - looked <= allowed, "a hundred hints are as many looks as their time allows"
        assert workers[1].state().attempts == 1


async def test_a_worker_that_breaks_at_the_start_leaves_nothing_running(tmp_path) -> None:
    """Its contract forbids it; if it does, the service must not run half."""
    keeper = TrustKeeper({ISSUER: "a", OTHER: "b"}, AgeLimits())

    class Broken(DirectoryWorker):
        async def start(self) -> None:
            raise MemoryError

    good = DirectoryWorker(keeper, ISSUER, tmp_path)
    source = Sources(keeper, (good, Broken(keeper, OTHER, tmp_path)))
    with pytest.raises(MemoryError):
        await source.start()
    await good.start()
    await good.stop()
    with pytest.raises(ValueError, match="one worker"):
        Sources(keeper, (good, good))


async def test_a_start_that_is_cancelled_leaves_no_worker_running(tmp_path) -> None:
    """Not even those that had started by then, while another one still waited for its issuer."""
    keeper = TrustKeeper({ISSUER: "a", OTHER: "b"}, AgeLimits())

    class Slow(DirectoryWorker):
        async def start(self) -> None:
            await asyncio.sleep(60)

    good = DirectoryWorker(keeper, ISSUER, tmp_path)
    source = Sources(keeper, (good, Slow(keeper, OTHER, tmp_path)))
    starting = asyncio.create_task(source.start())
    await until(lambda: good._tasks)
    starting.cancel()
    await asyncio.wait({starting})
    assert starting.cancelled()
    assert not [task for task in asyncio.all_tasks() if task.get_name().startswith("farseal-source")]


async def test_a_second_start_is_refused_and_ends_nothing(tmp_path) -> None:
    """Whoever called it holds a source that runs."""
    keeper = TrustKeeper({ISSUER: "a"}, AgeLimits())
    worker = DirectoryWorker(keeper, ISSUER, tmp_path)
    async with Sources(keeper, (worker,)) as source:
        with pytest.raises(RuntimeError, match="runs already"):
            await source.start()
        assert worker._tasks


async def test_a_worker_that_gets_no_thread_leaves_nothing_running(tmp_path) -> None:
    """Python says so with a RuntimeError, which is no second start."""
    keeper = TrustKeeper({ISSUER: "a", OTHER: "b"}, AgeLimits())

    class Broken(DirectoryWorker):
        async def start(self) -> None:
            raise RuntimeError("can't start new thread")

    good = DirectoryWorker(keeper, ISSUER, tmp_path)
    with pytest.raises(RuntimeError, match="new thread"):
        await Sources(keeper, (good, Broken(keeper, OTHER, tmp_path))).start()
    assert not good._tasks


def test_an_unknown_key_of_one_issuer_names_that_issuer() -> None:
    """So that nobody else's worker is asked to look."""
    with pytest.raises(KeyUnknownError) as caught:
        verifier().verify(THEIRS.mint(header={"kid": "next"}), snapshot(), now=NOW)
    assert caught.value.issuer == OTHER


async def until(condition, seconds: float = 2.0) -> None:
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < seconds, "not in time"
        await asyncio.sleep(0.01)
