"""Where an issuer says that its keys are, and how far it is believed."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from farseal.sources import AddressError, AddressPolicy, HttpSource, Schedule
from farseal.sources.discovery import metadata_addresses, read_metadata
from farseal.sources.disk import Copy, write_copy
from farseal.sources.fetch import FetchError
from tests.support.tokens import Issuer, compact_json
from tests.verification.hostile_issuer import HostileIssuer, answered
from tests.verification.polled import NOW, OPTIONS, until

POLICY = AddressPolicy()
OAUTH = "/.well-known/oauth-authorization-server"
OPENID = "/.well-known/openid-configuration"


@pytest.fixture(scope="module")
def server() -> Iterator[HostileIssuer]:
    with HostileIssuer() as running:
        yield running


@pytest.mark.parametrize(
    ("issuer", "oauth", "openid"),
    [
        pytest.param("https://a.test", f"https://a.test{OAUTH}", f"https://a.test{OPENID}", id="host"),
        pytest.param("https://a.test/", f"https://a.test{OAUTH}", f"https://a.test{OPENID}", id="slash"),
        pytest.param("https://a.test:8/t", f"https://a.test:8{OAUTH}/t", f"https://a.test:8/t{OPENID}", id="path"),
        pytest.param("https://a.test/t/u/", f"https://a.test{OAUTH}/t/u", f"https://a.test/t/u{OPENID}", id="long"),
    ],
)
def test_the_metadata_of_an_issuer_with_a_path_are_in_two_places(issuer, oauth, openid) -> None:
    """RFC 8414 section 3.1 puts the well-known part before the path, OpenID Connect Discovery section 4 behind it."""
    assert metadata_addresses(issuer) == (oauth, openid)


METADATA: dict[str, Any] = {"issuer": "https://a.example", "jwks_uri": "https://keys.a.example/jwks"}


@pytest.mark.parametrize(
    ("body", "words"),
    [
        pytest.param(METADATA | {"issuer": "https://a.example/"}, "of another issuer", id="a-slash-more"),
        pytest.param(METADATA | {"issuer": "https://A.example"}, "of another issuer", id="another-case"),
        pytest.param({"jwks_uri": "https://a.example"}, "of another issuer", id="no-issuer"),
        pytest.param({"issuer": "https://a.example"}, "no jwks_uri", id="no-uri"),
        pytest.param(METADATA | {"jwks_uri": ["https://a.example"]}, "no jwks_uri", id="uri-of-another-type"),
        pytest.param(METADATA | {"jwks_uri": "http://a.example/jwks"}, "must be https", id="http"),
        pytest.param(METADATA | {"jwks_uri": "file:///etc/passwd"}, "must be an https URL", id="file"),
        pytest.param(METADATA | {"jwks_uri": "data:,{}"}, "must be an https URL", id="data"),
        pytest.param(METADATA | {"jwks_uri": "https://u:p@a.example"}, "must be an https URL", id="credentials"),
        pytest.param([], "not usable", id="no-object"),
    ],
)
def test_metadata_that_cannot_be_believed_are_refused(body, words) -> None:
    """The issuer is compared byte for byte (RFC 8414 section 3.3), and its word is under the same policy as ours."""
    with pytest.raises(FetchError, match=words):
        read_metadata(compact_json(body), "https://a.example", POLICY)
    assert read_metadata(compact_json(METADATA), "https://a.example", POLICY) == METADATA["jwks_uri"]


def by_path(issuer: Issuer, **answers: bytes) -> dict[str, Any]:
    return {"by_path": {path: answered(body) for path, body in answers.items()}}


@pytest.mark.parametrize(
    ("path", "metadata"),
    [
        pytest.param("", OAUTH, id="rfc-8414"),
        pytest.param("", OPENID, id="openid"),
        pytest.param("/tenant", f"{OAUTH}/tenant", id="rfc-8414-with-a-path"),
        pytest.param("/tenant", f"/tenant{OPENID}", id="openid-with-a-path"),
    ],
)
async def test_keys_are_found_through_the_metadata_once(server, path, metadata) -> None:
    """Either document will do; it is asked for at the start, and the keys alone from then on."""
    issuer = Issuer(NOW, issuer=server.base + path)
    described = compact_json({"issuer": issuer.issuer, "jwks_uri": f"{server.base}/keys"})
    server.behave("answer", **by_path(issuer, **{metadata: described, "/keys": issuer.jwks()}))
    async with HttpSource(None, issuer.issuer, options=OPTIONS, clock=lambda: NOW) as source:
        assert set(source.snapshot.issuers) == {issuer.issuer}
        state = source.status().workers[issuer.issuer]
        assert state.origin == f"{server.base}/keys"
        await until(lambda: source.status().workers[issuer.issuer].attempts >= 3)
        paths = server.figures()["paths"]
        assert paths.count(metadata) == 1
        assert paths.count("/keys") >= 2


async def test_metadata_that_are_wrong_are_told_before_those_that_are_missing(server) -> None:
    """The operator learns of the document there is, and not that there is no second one."""
    issuer = server.base
    described = compact_json({"issuer": f"{issuer}/", "jwks_uri": f"{issuer}/keys"})
    server.behave("answer", by_path={OPENID: answered(described), "/keys": answered(Issuer(NOW).jwks())})
    async with HttpSource(None, issuer, options=OPTIONS, clock=lambda: NOW) as source:
        assert source.status().workers[issuer].failure == "discovery: the metadata are of another issuer"
        assert source.status().workers[issuer].origin == f"the metadata of {issuer}"
        assert "/keys" not in server.figures()["paths"]


async def test_discovery_goes_on_while_the_issuer_is_down_and_the_copy_serves_meanwhile(server, tmp_path) -> None:
    """A start needs nobody, and the first good answer needs no restart."""
    issuer = Issuer(NOW, issuer=server.base)
    write_copy(tmp_path, Copy(server.base, f"{server.base}/keys", NOW - 100, NOW - 100, None, None, issuer.jwks()))
    server.behave("reset")
    options = replace(OPTIONS, snapshot_directory=tmp_path)
    async with HttpSource(None, server.base, options=options, clock=lambda: NOW) as source:
        assert source.status().ages == {server.base: 100}
        assert source.status().workers[server.base].from_disk
        await until(lambda: source.status().workers[server.base].failures >= 2)
        described = compact_json({"issuer": server.base, "jwks_uri": f"{server.base}/keys"})
        server.behave("answer", by_path={OAUTH: answered(described), "/keys": answered(issuer.jwks())})
        await until(lambda: source.status().ages == {server.base: 0})
        assert not source.status().workers[server.base].from_disk


async def test_an_issuer_elsewhere_cannot_send_us_to_this_machine(server) -> None:
    """Plain http to loopback is for an issuer on loopback: whoever else names it wants what is behind our door."""
    # Leads to this machine, as it happens, and is not loopback by its spelling.
    policy = AddressPolicy(frozenset({"0.0.0.0"}))  # noqa: S104
    issuer = server.base.replace("127.0.0.1", "0.0.0.0")  # noqa: S104
    described = compact_json({"issuer": issuer, "jwks_uri": f"{server.base}/keys"})
    server.behave("answer", by_path={OAUTH: answered(described), "/keys": answered(Issuer(NOW).jwks())})
    options = replace(OPTIONS, addresses=policy, schedule=Schedule(60, 60))
    async with HttpSource(None, issuer, options=options, clock=lambda: NOW) as source:
        failure = source.status().workers[issuer].failure or ""
        assert failure.startswith("discovery: the jwks_uri of the metadata must be https")
        assert "/keys" not in server.figures()["paths"]


def test_an_issuer_that_must_not_be_asked_is_refused_when_the_source_is_made() -> None:
    """A setting that cannot work is told at once, and not found out by polling."""
    with pytest.raises(AddressError):
        HttpSource(None, "http://issuer.example")
    with pytest.raises(AddressError):
        HttpSource("http://keys.example/jwks.json", "https://issuer.example")
