"""Trust from an address whose server is broken, slow or hostile: each way has one stated outcome, no outage."""

import gzip
from collections.abc import Iterator
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import Any

import pytest

from farseal.sources import HttpSource, SourceStatus
from tests.support.tokens import ISSUER, compact_json, jwk
from tests.verification.hostile_issuer import HostileIssuer, answered
from tests.verification.polled import FIRST, GOOD, IMPATIENT, NEXT, NOW, honest_requests, kids, until

MAX_SENT = 16 << 20
"""Bytes that one fetch may draw: its bound, and what the buffers of the system take of their own accord."""


def members(*keys: Any, **said: Any) -> bytes:
    return compact_json({"keys": list(keys)} | ({"farseal": said} if said else {}))


SET = GOOD.jwks(issuer=ISSUER, sequence=5)
SECOND = jwk(NEXT.key, "second")


@dataclass(frozen=True)
class Case:
    """A behaviour, and what it leads to: a failure of the worker, or a refusal by the keeper."""

    mode: str = "answer"
    body: bytes = b""
    status: int = 200
    headers: dict[str, str | None] = field(default_factory=dict)
    failure: str | None = None
    refusal: str | None = None

    def is_told_by(self, status: SourceStatus) -> bool:
        """Whether the status says what was to be expected, and where."""
        worker = status.workers[ISSUER]
        if self.failure is not None:
            return worker.failures > 0 and self.failure in (worker.failure or "")
        return worker.failure is None and (self.refusal or "") in (status.refusal or "")


NO_KEY = "no usable key"
CASES = {
    "silence": Case("silent", failure="no answer within 0.4 s"),
    "slow-loris-head": Case("slow_head", failure="no answer within 0.4 s"),
    "slow-loris-body": Case("slow_body", failure="does not come to an end within 0.8 s"),
    "stalled-body": Case("stalled_body", failure="stalls"),
    "endless-head": Case("endless_head", failure="too large a head"),
    "endless-informational-answers": Case("endless_informational", failure="no answer within 0.4 s"),
    "endless-body": Case("endless_body", failure="larger than 1048576 bytes"),
    "large-content-length": Case("large_body", failure="larger than 1048576 bytes"),
    "500": Case(status=500, failure="answers 500"),
    "429-with-retry-after": Case(status=429, headers={"Retry-After": "3600"}, failure="answers 429"),
    "html": Case(body=b"<!doctype html><title>Sign in</title>", refusal="malformed"),
    "html-as-json": Case(body=b"<html>", headers={"Content-Type": "application/json"}, refusal="malformed"),
    "nothing": Case(refusal="malformed"),
    "empty-set": Case(body=members(), refusal="it has no sequence"),
    "empty-set-of-ours": Case(body=members(sequence=6), refusal=NO_KEY),
    "no-set": Case(body=b'{"keys":{}}', refusal="no list of keys"),
    "truncated-json": Case(body=SET[:-40], refusal="ends too early"),
    "duplicate-members": Case(body=SET[:-1] + b',"keys":[]}', refusal="duplicate members"),
    "duplicate-kids": Case(body=members(FIRST, jwk(NEXT.key, "first"), sequence=6), refusal=NO_KEY),
    "private-key-in-the-set": Case(body=members(SECOND | {"d": "AQAB"}, sequence=6), refusal=NO_KEY),
    "oct-key": Case(body=members({"kty": "oct", "kid": "k", "k": "AAAA"}, sequence=6), refusal=NO_KEY),
    "exponent-1": Case(body=members(SECOND | {"e": "AQ"}, sequence=6), refusal=NO_KEY),
    "10000-keys": Case(body=members(*[{"kid": str(n)} for n in range(10_000)]), refusal="more than 1024 keys"),
    "depth-bomb": Case(body=b"[" * 100_000, refusal="nested deeper"),
    "gzip-bomb": Case(body=gzip.compress(bytes(50 << 20)), headers={"Content-Encoding": "gzip"}, failure="compressed"),
    "gzip-set": Case(body=gzip.compress(SET), headers={"Content-Encoding": "gzip"}, failure="compressed"),
    "redirect-to-loopback": Case(status=302, headers={"Location": "http://127.0.0.1:1/"}, failure="answers 302"),
    "redirect-to-a-file": Case(status=307, headers={"Location": "file:///etc/passwd"}, failure="answers 307"),
    "content-length-too-large": Case("short_body", body=SET, failure="breaks off"),
    "content-length-too-small": Case("long_body", body=SET, failure="not HTTP"),
    "two-content-lengths": Case("two_lengths", body=SET, failure="not HTTP"),
    "reset": Case("reset", failure="closed the connection"),
    "hang-up": Case("hang_up", failure="closed the connection"),
    "garbage": Case("garbage", failure="not HTTP"),
    "304-to-any-request": Case(status=304, headers={"ETag": None}, failure="304 to a request without conditions"),
    "304-of-another-document": Case(status=304, headers={"ETag": '"other"'}, failure="304"),
    "older-sequence": Case(body=NEXT.jwks(issuer=ISSUER, sequence=4), refusal="sequence 4 is older than 5"),
    "same-sequence-other-keys": Case(body=NEXT.jwks(issuer=ISSUER, sequence=5), refusal="another document"),
    "sequence-gone": Case(body=NEXT.jwks(), refusal="it has no sequence"),
    "sequence-malformed": Case(body=NEXT.jwks(sequence="6"), refusal="sequence"),
    "of-another-issuer": Case(body=NEXT.jwks(issuer="https://other.example", sequence=6), refusal="another issuer"),
}


@pytest.fixture(scope="module")
def server() -> Iterator[HostileIssuer]:
    with HostileIssuer() as running:
        yield running


@pytest.mark.parametrize("case", [pytest.param(case, id=name) for name, case in CASES.items()])
async def test_whatever_a_server_does_the_last_good_keys_stay(server: HostileIssuer, case: Case) -> None:
    """Honest tokens are answered throughout, the fault is told in words, and the next good answer is taken."""
    server.answer(SET, headers={"Last-Modified": formatdate(NOW - 5, usegmt=True)})
    async with HttpSource(server.url, ISSUER, options=IMPATIENT, clock=lambda: NOW) as source:
        await until(lambda: kids(source) == {"first"})
        generation = source.snapshot.generation
        async with honest_requests(source):
            if case.mode == "answer":
                server.answer(case.body, case.status, headers=case.headers)
            else:
                server.behave(case.mode, **answered(case.body))
            await until(lambda: case.is_told_by(source.status()))
            seen = source.status().workers[ISSUER].attempts
            await until(lambda: source.status().workers[ISSUER].attempts >= seen + 2)
            figures = server.answer(NEXT.jwks(FIRST, issuer=ISSUER, sequence=7))
            assert figures["sent"] <= MAX_SENT * figures["requests"]
            assert kids(source) == {"first"}
            assert source.snapshot.generation == generation
            await until(lambda: kids(source) == {"first", "second"})
        await until(lambda: source.status().workers[ISSUER].failure is None)
        assert source.status().refusal is None
