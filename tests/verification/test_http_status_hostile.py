"""Status lists from an address whose server is broken, slow or hostile: what is in force stays, and it is told."""

import gzip
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from farseal.errors import StatusUnavailableError, TokenRevokedError
from farseal.sources import HttpSource, ListSchedule, SourceStatus
from tests.support.tokens import ISSUER, Issuer, compact_json, jwk, packed
from tests.verification.hostile_issuer import HostileIssuer, answered
from tests.verification.polled import GOOD, IMPATIENT, NEXT, NOW, honest_requests, until
from tests.verification.published_lists import (
    INDEX,
    VERIFIER,
    Published,
    index_of,
    list_token,
    path_of,
    token,
    uri_of,
    versions,
)

QUICK = replace(IMPATIENT, lists=ListSchedule(0.05, 60, 0.2, 0.2))
MAX_SENT = 16 << 20
"""Bytes that one fetch may draw: its bound, and what the buffers of the system take of their own accord."""

FORCE = {"a": list_token("a", [7])}


@dataclass(frozen=True)
class Case:
    """A behaviour of one path, and what it leads to: a failure of the looks for lists, or a refusal by the keeper."""

    body: bytes = b""
    status: int = 200
    headers: dict[str, str | None] = field(default_factory=dict)
    mode: str = "answer"
    failure: str | None = None
    refusal: str | None = None

    @property
    def answer(self) -> dict[str, Any]:
        return answered(self.body, self.status, self.headers, mode=self.mode)

    def is_told_by(self, status: SourceStatus) -> bool:
        lists = status.workers[ISSUER].lists
        assert lists is not None
        if self.failure is not None:
            return self.failure in (lists.failure or "")
        return lists.failure is None and (self.refusal or "") in (status.issuers[ISSUER].lists.refusal or "-")


def naming(*uris: str, **said: Any) -> bytes:
    return compact_json({"status_lists": list(uris), "farseal": {"issuer": ISSUER} | said})


ON_THE_WAY: dict[str, Case] = {
    "silence": Case(mode="silent", failure="no answer within 0.4 s"),
    "slow-loris-head": Case(mode="slow_head", failure="no answer within 0.4 s"),
    "slow-loris-body": Case(mode="slow_body", failure="does not come to an end within 0.8 s"),
    "stalled-body": Case(mode="stalled_body", failure="stalls"),
    "endless-body": Case(mode="endless_body", failure="is larger than"),
    "large-content-length": Case(mode="large_body", failure="is larger than"),
    "reset": Case(mode="reset", failure="closed the connection"),
    "garbage": Case(mode="garbage", failure="not HTTP"),
    "500": Case(status=500, failure="answers 500"),
    "gone": Case(status=404, failure="answers 404"),
    "redirect-to-loopback": Case(status=302, headers={"Location": "http://127.0.0.1:1/"}, failure="answers 302"),
    "redirect-to-a-file": Case(status=307, headers={"Location": "file:///etc/passwd"}, failure="answers 307"),
    "gzip-bomb": Case(gzip.compress(bytes(50 << 20)), headers={"Content-Encoding": "gzip"}, failure="compressed"),
    "304-of-another-document": Case(status=304, headers={"ETag": '"other"'}, failure="304"),
}

OF_THE_INDEX = ON_THE_WAY | {
    "html": Case(b"<!doctype html><title>Sign in</title>", refusal="not usable"),
    "nothing": Case(refusal="not usable"),
    "depth-bomb": Case(b"[" * 10_000, refusal="nested deeper"),
    "wide-bomb": Case(b"[" + b"[]," * 300_000, refusal="more in it"),
    "duplicate-members": Case(b'{"status_lists":[],"status_lists":[]}', refusal="duplicate members"),
    "no-lists": Case(b'{"status_lists":{}}', refusal="no list of"),
    "of-another-issuer": Case(index_of(FORCE, issuer="https://other.example"), refusal="another issuer"),
    "5000-lists": Case(naming(*(uri_of(str(number)) for number in range(5000))), refusal="at most 4096"),
    "a-list-twice": Case(naming(uri_of("a"), uri_of("a")), refusal="one name"),
    "two-with-one-name": Case(naming(uri_of("a"), "https://other.example/a.jwt"), refusal="one name"),
    "a-slash": Case(naming(uri_of("a/")), refusal="no name"),
    "dots": Case(naming(uri_of("..")), refusal="no name"),
    "only-dots": Case(naming("https://other.example/.."), refusal="no name"),
    "percent": Case(naming(uri_of("%2e%2e%2fjwks")), refusal="no name"),
    "backslash": Case(naming(uri_of("..\\..\\a")), refusal="no name"),
    "a-query": Case(naming("https://other.example/x?y=/a.jwt?z"), refusal="no name"),
    "a-host": Case(naming("https://other.example"), refusal="no name"),
    "a-number": Case(compact_json({"status_lists": [1]}), refusal="no URI"),
    "a-line-break": Case(naming(uri_of("a\r\nX: y")), refusal="no URI"),
    "a-long-uri": Case(naming(uri_of("a" * 2000)), refusal="no URI"),
    "a-digest-of-another-kind": Case(naming(uri_of("a"), lists={uri_of("a"): "AAAA"}), refusal="not a SHA-256"),
}


@pytest.fixture(scope="module")
def server() -> Iterator[HostileIssuer]:
    with HostileIssuer() as running:
        yield running


def polling(server: HostileIssuer) -> HttpSource:
    return HttpSource(server.url, ISSUER, options=QUICK, clock=lambda: NOW)


async def holds(server: HostileIssuer, source: HttpSource, case: Case, published: Published, path: str) -> None:
    """Honest requests are answered throughout, what is in force stays, and the next good answer is taken."""
    await until(lambda: versions(source) == {"a": 1})
    async with honest_requests(source):
        server.behave("answer", **published.answers(**{path: case.answer}))
        await until(lambda: case.is_told_by(source.status()))
        figures = server.figures()
        assert figures["sent"] <= MAX_SENT * figures["requests"]
        assert set(figures["by_path"]) <= {"/jwks.json", INDEX, path_of("a")}
        assert versions(source) == {"a": 1}
        VERIFIER.verify(token(6), source.snapshot, now=NOW)
        with pytest.raises(TokenRevokedError):
            VERIFIER.verify(token(7), source.snapshot, now=NOW)
        assert source.status().workers[ISSUER].failures == 0
        server.behave("answer", **Published({"a": list_token("a", [6, 7], version=3)}).answers())
        await until(lambda: versions(source) == {"a": 3})
    await until(lambda: source.status().workers[ISSUER].lists.failure is None)  # type: ignore[union-attr]
    assert source.status().issuers[ISSUER].lists.refusal is None


@pytest.mark.parametrize("case", [pytest.param(case, id=name) for name, case in OF_THE_INDEX.items()])
async def test_whatever_becomes_of_the_index_the_lists_stay(server, case) -> None:
    """Nothing that it names is fetched from anywhere else, and keys are no part of its troubles."""
    server.behave("answer", **Published(FORCE).answers())
    async with polling(server) as source:
        await holds(server, source, case, Published(FORCE), INDEX)


def bomb(size: int) -> dict[str, Any]:
    return {"bits": 1, "lst": packed(bytes(size))}


OF_A_LIST = ON_THE_WAY | {
    "html": Case(b"<!doctype html>", refusal="a.jwt"),
    "nothing": Case(refusal="a.jwt"),
    "half": Case(list_token("a", [6], version=2)[:-20], refusal="a.jwt"),
    "of-another-key": Case(list_token("a", [6], version=2, by=NEXT), refusal="not one of the issuer"),
    "by-another-key-under-our-kid": Case(
        list_token("a", [6], version=2, by=NEXT, header={"kid": "first"}), refusal="signature"
    ),
    "of-another-issuer": Case(list_token("a", [6], version=2, iss="https://other.example"), refusal="another issuer"),
    "another-list": Case(list_token("b", [6], version=2), refusal="another list"),
    "an-access-token": Case(GOOD.mint().encode(), refusal="a.jwt"),
    "from-the-future": Case(list_token("a", [6], version=2, iat=NOW + 31), refusal="in the future"),
    "expired": Case(list_token("a", [6], version=2, exp=NOW), refusal="expired"),
    "older": Case(list_token("a", version=1, iat=NOW - 50), refusal="another list under the same version"),
    "without-a-version": Case(list_token("a", version=None), refusal="no version"),
    "inflate-bomb": Case(list_token("a", version=2, status_list=bomb((8 << 20) + 1)), refusal="once inflated"),
    "bits-3": Case(list_token("a", version=2, status_list={"bits": 3, "lst": "AA"}), refusal="bits"),
}


@pytest.mark.parametrize("case", [pytest.param(case, id=name) for name, case in OF_A_LIST.items()])
async def test_whatever_becomes_of_a_list_the_one_before_stays(server, case) -> None:
    """The index says that it has changed, so it is asked for; what comes is no list that may be used."""
    server.behave("answer", **Published(FORCE).answers())
    async with polling(server) as source:
        changed = Published({"a": case.body or b"another"})
        await holds(server, source, case, changed, path_of("a"))


async def test_a_list_answered_by_304_without_asking_is_none(server) -> None:
    """Nothing is held that it could mean."""
    lying = {path_of("a"): {"status": 304, "headers": {"ETag": None}}}
    server.behave("answer", **Published(FORCE).answers(**lying))
    async with polling(server) as source:
        await until(lambda: "304 to a request without conditions" in _failure(source))
        with pytest.raises(StatusUnavailableError):
            VERIFIER.verify(token(7), source.snapshot, now=NOW)
        server.behave("answer", **Published(FORCE).answers())
        await until(lambda: versions(source) == {"a": 1})


def _failure(source: HttpSource) -> str:
    lists = source.status().workers[ISSUER].lists
    return "" if lists is None else lists.failure or ""


async def test_no_host_that_a_list_names_is_ever_dialled(server) -> None:
    """Its URI is a name. The list comes from beside the index, and is judged by the name all the same."""
    with HostileIssuer() as elsewhere:
        elsewhere.behave("reset")
        uri = f"{elsewhere.base}/status/a.jwt"
        document = list_token("a", [7], sub=uri)
        index = compact_json({"status_lists": [uri], "farseal": {"issuer": ISSUER}})
        answers = Published({"a": document}).answers(**{INDEX: answered(index)})
        server.behave("answer", **answers)
        async with polling(server) as source:
            await until(lambda: versions(source) == {uri.removesuffix(".jwt"): 1})
            named = GOOD.mint(status={"status_list": {"idx": 7, "uri": uri}})
            with pytest.raises(TokenRevokedError):
                VERIFIER.verify(named, source.snapshot, now=NOW)
        assert elsewhere.figures()["requests"] == 0


async def test_a_bad_list_is_not_fetched_again_and_again(server) -> None:
    """What was judged is known by its digest, until the index, the keys or half a minute say otherwise."""
    bad = Published({"a": list_token("a", version=2, exp=NOW)})
    server.behave("answer", **bad.answers())
    async with polling(server) as source:
        lists = source.status().workers[ISSUER].lists
        await until(lambda: source.status().workers[ISSUER].lists.attempts >= lists.attempts + 5)  # type: ignore[union-attr]
        assert server.figures()["by_path"][path_of("a")] == [1, 0]
        assert source.status().issuers[ISSUER].lists.refused == 1
        keys = Issuer.jwks(GOOD, jwk(NEXT.key, "second"), issuer=ISSUER, sequence=6)
        server.behave("answer", **Published(bad.lists, keys).answers())
        await until(lambda: path_of("a") in server.figures()["by_path"])


async def test_one_look_draws_no_more_than_its_bound_and_the_next_goes_on(server, monkeypatch) -> None:
    """A hundred lists come in several looks, the ones that have waited first."""
    monkeypatch.setattr("farseal.sources.lists_polling.MAX_LOOK_BYTES", 8_000)
    lists = {f"list-{number}": list_token(f"list-{number}") for number in range(60)}
    server.behave("answer", **Published(lists).answers())
    async with polling(server) as source:
        assert 0 < len(versions(source)) < 30
        assert "within the bounds of one look" in _failure(source)
        await until(lambda: len(versions(source)) == 60)
        await until(lambda: not _failure(source))
        figures = server.figures()["by_path"]
        assert max(requests for path, (requests, _) in figures.items() if path.startswith("/status/")) == 1


async def test_lists_are_held_up_to_a_bound(server, monkeypatch) -> None:
    """One issuer does not take the memory of all."""
    monkeypatch.setattr("farseal.sources.lists_judge.MAX_ALL_LISTS_BYTES", 3 * 128)
    lists = {name: list_token(name) for name in "abcd"}
    server.behave("answer", **Published(lists).answers())
    async with polling(server) as source:
        await until(lambda: len(versions(source)) == 3)
        assert "With it the lists would be of more than 384 bytes" in (
            source.status().issuers[ISSUER].lists.refusal or ""
        )
