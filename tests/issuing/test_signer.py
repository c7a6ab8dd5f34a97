"""What a token looks like around the signature of a key, and how many may wait for one."""

import asyncio
import threading

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256

from auth_server.gate import GateFull
from auth_server.keys.custody import LocalKey, SigningKey
from auth_server.keys.generation import generate
from auth_server.keys.signer import Signer
from farseal.encoding import b64url_decode, parse_json_object

PAYLOAD = msgspec.json.encode({"sub": "Zoë", "n": [1, 2]})


@pytest.fixture(scope="module")
def key() -> LocalKey:
    return LocalKey("the-kid", generate(2048))


async def test_a_token_is_a_compact_rs256_jws_over_the_given_bytes(key: LocalKey) -> None:
    """Header, payload and signature are where RFC 7515 puts them, and the signature is good."""
    signer = Signer(threads=1)
    try:
        token = await signer.sign(PAYLOAD, key, token_type="at+jwt")
    finally:
        signer.close()
    head, body, signature = token.split(".")
    assert parse_json_object(b64url_decode(head)) == {"alg": "RS256", "kid": "the-kid", "typ": "at+jwt"}
    assert b64url_decode(body) == PAYLOAD
    public: rsa.RSAPublicKey = key.private.public_key()
    public.verify(b64url_decode(signature), f"{head}.{body}".encode(), padding.PKCS1v15(), SHA256())


async def test_the_header_has_the_one_spelling_that_encoding_again_gives(key: SigningKey) -> None:
    """A verifier may compare instead of parsing strictly: what is decoded and encoded again is the same bytes."""
    signer = Signer(threads=1)
    try:
        token = await signer.sign(PAYLOAD, key, token_type="at+jwt")
    finally:
        signer.close()
    head = b64url_decode(token.split(".")[0])
    assert msgspec.json.encode(msgspec.json.decode(head)) == head


class BlockedSigner(Signer):
    """Signs only when told to, so that a queue can be looked at."""

    def __init__(self, *, max_waiting: int) -> None:
        super().__init__(threads=1, max_waiting=max_waiting)
        self.go = threading.Event()

    def _sign(self, payload: bytes, key: SigningKey, token_type: str) -> str:
        self.go.wait(10)
        return super()._sign(payload, key, token_type)


class MeetingSigner(Signer):
    """Signs only when two are at it."""

    def __init__(self) -> None:
        super().__init__(threads=2)
        self.both = threading.Barrier(2, timeout=10)

    def _sign(self, payload: bytes, key: SigningKey, token_type: str) -> str:
        self.both.wait()
        return super()._sign(payload, key, token_type)


async def test_as_many_sign_at_once_as_there_are_threads(key: SigningKey) -> None:
    """The signature leaves the interpreter's lock alone, so two threads give twice as many; none is the loop's."""
    signer = MeetingSigner()
    try:
        tokens = await asyncio.gather(*(signer.sign(PAYLOAD, key, token_type="at+jwt") for _ in range(2)))
    finally:
        signer.close()
    assert tokens[0] == tokens[1]


async def test_past_the_gate_a_caller_is_told_to_come_back(key: SigningKey) -> None:
    """One signs, two wait, the fourth is refused at once; when the queue is gone there is room again."""
    signer = BlockedSigner(max_waiting=2)
    try:
        waiting = [asyncio.ensure_future(signer.sign(PAYLOAD, key, token_type="at+jwt")) for _ in range(3)]
        await asyncio.sleep(0)
        with pytest.raises(GateFull) as refused:
            await signer.sign(PAYLOAD, key, token_type="at+jwt")
        assert refused.value.retry_after >= 1
        signer.go.set()
        assert len(set(await asyncio.gather(*waiting))) == 1
        await asyncio.sleep(0.05)
        assert await signer.sign(PAYLOAD, key, token_type="at+jwt")
    finally:
        signer.go.set()
        signer.close()


def test_a_signing_key_does_not_show_itself(key: LocalKey) -> None:
    """Only the kid appears in a log line or traceback."""
    assert repr(key) == "LocalKey(kid='the-kid')"


class RemoteKey:
    """A key whose private half is elsewhere: it answers with a signature, and that is all there is to it."""

    kid = "far-away"

    def sign(self, message: bytes) -> bytes:
        return b"signed " + message[:9]


async def test_a_key_may_lie_anywhere() -> None:
    """Whatever signs the message is a key; the token around it is the same."""
    signer = Signer(threads=1)
    try:
        token = await signer.sign(PAYLOAD, RemoteKey(), token_type="at+jwt")
    finally:
        signer.close()
    head, body, signature = token.split(".")
    assert parse_json_object(b64url_decode(head))["kid"] == "far-away"
    assert b64url_decode(signature) == b"signed " + f"{head}.{body}".encode()[:9]


async def test_signatures_are_counted_by_key(key: LocalKey) -> None:
    """Taken once; what could not be stored is given back and comes with the next ones."""
    signer = Signer(threads=2)
    try:
        await asyncio.gather(*(signer.sign(PAYLOAD, key, token_type="at+jwt") for _ in range(5)))
        await signer.sign(PAYLOAD, RemoteKey(), token_type="at+jwt")
        taken = signer.take_counts()
        assert taken == {"the-kid": 5, "far-away": 1}
        assert signer.take_counts() == {}
        signer.give_back_counts(taken)
        await signer.sign(PAYLOAD, key, token_type="at+jwt")
        assert signer.take_counts() == {"the-kid": 6, "far-away": 1}
    finally:
        signer.close()
