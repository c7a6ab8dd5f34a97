"""A protected application with several issuers: one that is in trouble touches nobody else, and strangers wake no one
in vain."""

import asyncio
import logging
from dataclasses import replace

import pytest

from farseal.jwks import parse_jwks
from farseal.service.ops import Readiness
from farseal.settings import IssuerSettings, TrustSettings
from farseal.sources import IssuerStatus, SourceStatus, WorkerState
from farseal.status_list import StatusPolicy
from farseal.trust import IssuerTrust, TrustSnapshot
from tests.support.protected import NOW, bearer, challenge_of, notes_app
from tests.support.tokens import ISSUER, NOTES, Issuer

OTHER = "https://other.example"
OURS, THEIRS = Issuer(NOW), Issuer(NOW, issuer=OTHER, kid="theirs", audience="api://notes")
UNKNOWN = {"kid": "announced-since"}


class Given:
    """A source that holds what a test gives it, and remembers who was asked for."""

    def __init__(self, *trusts: IssuerTrust, status: SourceStatus | None = None) -> None:
        self.snapshot = TrustSnapshot()
        self.hints: list[str] = []
        self._status = status or SourceStatus(1, 1, 0, None, {})
        for trust in trusts:
            self.snapshot = self.snapshot.with_issuer(trust)

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    def hint(self, issuer: str) -> None:
        self.hints.append(issuer)

    def status(self) -> SourceStatus:
        return self._status


def trust(issuer: Issuer, **changes) -> IssuerTrust:
    return replace(IssuerTrust(issuer.issuer, parse_jwks(issuer.jwks()).keys, NOW), **changes)


@pytest.fixture
def settings(tmp_path) -> TrustSettings:
    return TrustSettings(
        audience=NOTES,
        issuers=(
            IssuerSettings(issuer=ISSUER, trust_directory=tmp_path / "ours"),
            IssuerSettings(
                issuer=OTHER, trust_directory=tmp_path / "theirs", audience="api://notes", claims={"scope": "scp"}
            ),
        ),
    )


async def test_tokens_of_both_issuers_are_taken(aiohttp_client, settings, tmp_path) -> None:
    """From their directories to the answer; each by its own audience and its own names."""
    OURS.publish(tmp_path / "ours")
    THEIRS.publish(tmp_path / "theirs")
    client = await aiohttp_client(notes_app(settings))
    theirs = THEIRS.mint(scope=None, scp=["notes:read"])
    for token in (OURS.mint(), theirs):
        assert (await client.get("/notes", headers=bearer(token))).status == 200
    for token in (OURS.mint(aud="api://notes"), THEIRS.mint(aud=NOTES, scp="notes:read"), THEIRS.mint(iss=ISSUER)):
        assert (await client.get("/notes", headers=bearer(token))).status == 401
    assert (await client.get("/notes", headers=bearer(THEIRS.mint()))).status == 403, "its scope is in scp"
    metadata = await (await client.get("/.well-known/oauth-protected-resource")).json()
    assert metadata["authorization_servers"] == [ISSUER, OTHER]
    assert metadata["resource"] == NOTES


async def test_one_without_keys_gets_503_and_the_other_goes_on(aiohttp_client, settings, tmp_path, caplog) -> None:
    """The service stays ready: those who come with good tokens are not turned away. The log names who is missing."""
    OURS.publish(tmp_path / "ours")
    readiness = Readiness()
    client = await aiohttp_client(notes_app(settings, readiness=readiness))
    with caplog.at_level(logging.WARNING, "farseal"):
        caplog.clear()
        assert (await client.get("/notes", headers=bearer(OURS.mint()))).status == 200
        assert (await client.get("/notes", headers=bearer(THEIRS.mint()))).status == 503
    assert caplog.messages == [f"No keys of the issuer have been read yet: tokens of {OTHER} get 503"]
    standing = await readiness.standing()
    assert standing.reasons == {}
    assert f"{OTHER}: no keys of the issuer have been read" in standing.warnings["documents"]
    assert ISSUER not in standing.warnings["documents"]


@pytest.mark.parametrize(
    ("trusts", "reason"),
    [
        pytest.param((), [f"{ISSUER}: no keys", f"{OTHER}: no keys"], id="none"),
        pytest.param(
            (trust(OURS, published_at=NOW - 86_400),), [f"{ISSUER}: the keys of the issuer are older"], id="too-old"
        ),
        pytest.param((trust(OURS),), None, id="one-is-enough"),
        pytest.param((trust(OURS), trust(THEIRS, published_at=0)), None, id="one-well-and-one-too-old"),
    ],
)
async def test_a_service_is_unready_when_no_issuer_can_be_judged(aiohttp_client, settings, trusts, reason) -> None:
    """And tells of each why."""
    readiness = Readiness()
    await aiohttp_client(notes_app(settings, source=Given(*trusts), readiness=readiness))
    found = (await readiness.standing()).reasons.get("trust")
    if reason is None:
        assert found is None
    else:
        assert all(part in found for part in reason)


async def test_what_goes_wrong_in_the_background_is_a_warning(aiohttp_client, settings) -> None:
    """By issuer: a set that is refused, an address that does not answer."""
    status = SourceStatus(
        1,
        1,
        1,
        "x",
        {},
        issuers={ISSUER: IssuerStatus(1, "jwks.json: sequence 6 is older than 7", 1), OTHER: IssuerStatus()},
        workers={OTHER: WorkerState("https://other.example/keys", failure="it answers 503")},
    )
    readiness = Readiness()
    source = Given(trust(OURS), trust(THEIRS), status=status)
    await aiohttp_client(notes_app(settings, source=source, readiness=readiness))
    assert (await readiness.standing()).warnings["documents"] == (
        f"{ISSUER}: what is published is not taken: jwks.json: sequence 6 is older than 7; "
        f"{OTHER}: what is published cannot be had: it answers 503"
    )


async def test_reminders_are_of_each_issuer(aiohttp_client, settings, caplog) -> None:
    """The first one's must not keep the second one's out of the log."""
    old = NOW - 1_000
    source = Given(trust(OURS, published_at=old), trust(THEIRS, published_at=old))
    client = await aiohttp_client(notes_app(settings, source=source))
    with caplog.at_level(logging.WARNING, "farseal"):
        caplog.clear()
        for token in (OURS.mint(), THEIRS.mint(scope=None, scp="notes:read")) * 2:
            assert (await client.get("/notes", headers=bearer(token))).status == 200
    assert [message.split(" are ")[0] for message in caplog.messages] == [
        f"the keys of {ISSUER}",
        f"the keys of {OTHER}",
    ]


@pytest.mark.parametrize(
    ("token", "status", "hints"),
    [
        pytest.param(OURS.mint(), 200, [], id="good"),
        pytest.param(OURS.mint(header=UNKNOWN), 401, [ISSUER], id="unknown"),
        pytest.param(THEIRS.mint(header=UNKNOWN), 401, [OTHER], id="unknown-to-the-other"),
        pytest.param(OURS.mint(header={"kid": "x" * 300}), 401, [], id="no-kid"),
        pytest.param(OURS.mint(header={"kid": None}), 401, [], id="missing"),
        pytest.param(OURS.mint(header={"kid": "gone"}), 401, [], id="withdrawn"),
        pytest.param(OURS.mint(iss="https://third.example", header=UNKNOWN), 401, [], id="of-no-issuer-of-ours"),
        pytest.param(OURS.mint(exp=NOW - 900), 401, [], id="expired"),
        pytest.param(OURS.mint()[:-8] + "AAAAAAAA", 401, [], id="bad-signature"),
        pytest.param(OURS.mint(header=UNKNOWN | {"typ": "JWT"}), 401, [], id="no-access-token"),
        pytest.param("x.y.z", 401, [], id="no-token"),
    ],
)
async def test_only_an_unknown_kid_is_worth_a_look(aiohttp_client, settings, token, status, hints) -> None:
    """Of a trusted issuer, in a token that is otherwise in form; the request does not wait for it."""
    source = Given(trust(OURS, revoked=frozenset({"gone"})), trust(THEIRS))
    client = await aiohttp_client(notes_app(settings, source=source))
    assert (await client.get("/notes", headers=bearer(token))).status == status
    assert source.hints == hints


async def test_a_key_announced_since_is_good_at_the_next_try(aiohttp_client, tmp_path) -> None:
    """The hint brings a look; nobody waits for the request that gave it."""
    OURS.publish(tmp_path)
    client = await aiohttp_client(
        notes_app(
            TrustSettings(issuer=ISSUER, audience=NOTES, trust_directory=tmp_path, status=StatusPolicy.OFF),
            clock=lambda: NOW,
        )
    )
    following = Issuer(NOW, kid="second")
    assert (await client.get("/notes", headers=bearer(following.mint()))).status == 401
    following.publish(tmp_path)
    for _ in range(200):
        if (await client.get("/notes", headers=bearer(following.mint()))).status == 200:
            return
        await asyncio.sleep(0.01)
    pytest.fail("it was not known in 2 s")


async def test_a_withdrawn_key_is_told_by_its_code(aiohttp_client, settings) -> None:
    """401 ``invalid_token``: the client must get another token, and whoever reads the figures sees why."""
    client = await aiohttp_client(notes_app(settings, source=Given(trust(OURS, revoked=frozenset({OURS.kid})))))
    async with client.get("/notes", headers=bearer(OURS.mint())) as answer:
        assert answer.status == 401
        assert (await answer.json())["code"] == "key_revoked"
        assert challenge_of(answer.headers)["error"] == "invalid_token"
