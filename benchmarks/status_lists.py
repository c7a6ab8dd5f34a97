"""What status lists cost: the time to build, compress and sign them, their bytes, and the memory, at 1 and 10 million
grants."""

import gc
import random
import resource
import sys
import time
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256

from auth_server.status.bits import Bits
from auth_server.status.documents import (
    ZLIB_LEVEL,
    ListDocument,
    ListTerms,
    encoded,
    index_document,
    list_document,
    list_payload,
)
from benchmarks.measure import show_progress
from farseal.encoding import b64url_encode

SIZE: Final = 1 << 20
LISTS: Final = (1, 10)
SHARES: Final = (0.0001, 0.01, 0.05)
LEVELS: Final = (1, 4, 6, 9)
TERMS: Final = ListTerms("https://auth.example", life=3600, ttl=5)
HEADER: Final = b64url_encode(b'{"alg":"RS256","kid":"' + b"K" * 43 + b'","typ":"statuslist+jwt"}')
SEED: Final = 7
NAMES: Final = ("grants", "revoked", "read ms", "build ms", "sign ms", "largest B", "all B", "memory MB")


@dataclass(frozen=True, slots=True)
class Cost:
    """Of all lists of one state. Times in seconds, sizes in bytes.

    Args:
        lists: how many.
        share: of the entries, revoked.
        read: to set the bits from what the database sends, at a start.
        build: to compress and encode.
        sign: to sign and make the documents; all that a heartbeat costs.
        largest: document.
        total: of the documents and the index.
        memory: of what a server holds of them.
    """

    lists: int
    share: float
    read: float
    build: float
    sign: float
    largest: int
    total: int
    memory: int


def revoked(count: int, seed: int = SEED) -> bytes:
    """Random entries of a list, as the database sends them."""
    chosen = random.Random(seed).sample(range(SIZE), count)  # noqa: S311 - the same in every run
    return b"".join(index.to_bytes(4) for index in chosen)


def signed(key: RSAPrivateKey, number: int, lst: str, bits: bytes) -> ListDocument:
    """One list, as the server signs it."""
    list_id = f"{number:016d}"
    payload = list_payload(TERMS, list_id, lst=lst, version=2, issued_at=1_800_000_000)
    message = f"{HEADER}.{b64url_encode(payload)}"
    signature = key.sign(message.encode(), PKCS1v15(), SHA256())
    token = f"{message}.{b64url_encode(signature)}"
    return list_document(token, list_id, version=2, issued_at=1_800_000_000, kid="K" * 43, bits=bits)


def cost(key: RSAPrivateKey, lists: int, share: float) -> Cost:
    """Do once what a server does at its start, on one core."""
    packed = [revoked(round(SIZE * share), seed) for seed in range(lists)]
    began = time.perf_counter()
    held = [Bits(SIZE) for _ in packed]
    for bits, block in zip(held, packed, strict=True):
        bits.take_over([block], version=2)
    read = time.perf_counter()
    snapshots = [bytes(bits.data) for bits in held]
    texts = [encoded(snapshot) for snapshot in snapshots]
    built = time.perf_counter()
    documents = [signed(key, number, *both) for number, both in enumerate(zip(texts, snapshots, strict=True))]
    index = index_document(TERMS.issuer, {document.list_id: document.digest for document in documents})
    done = time.perf_counter()
    sizes = [len(document.body) for document in documents]
    memory = sum(
        sys.getsizeof(one) for one in (*(bits.data for bits in held), *snapshots, *texts, *(d.body for d in documents))
    )
    return Cost(
        lists, share, read - began, built - read, done - built, max(sizes), sum(sizes) + len(index.body), memory
    )


def measure() -> Iterator[Cost]:
    """Every number of lists at every share."""
    key = generate_private_key(65537, 3072)
    for lists in LISTS:
        for share in SHARES:
            gc.collect()
            yield cost(key, lists, share)


def levels() -> Iterator[tuple[float, int, float, int]]:
    """By share and level of zlib: seconds and bytes of one compressed list."""
    for share in SHARES:
        bits = Bits(SIZE)
        bits.take_over([revoked(round(SIZE * share))], version=2)
        data = bytes(bits.data)
        for level in LEVELS:
            began = time.perf_counter()
            size = len(zlib.compress(data, level))
            yield share, level, time.perf_counter() - began, size


def report(costs: "list[Cost]", by_level: "list[tuple[float, int, float, int]]") -> str:
    """The tables."""
    lines = [
        f"Status lists of 2^20 entries (zlib level {ZLIB_LEVEL}, RSA-3072, one core)",
        "",
        "".join(f"{name:>11}" for name in NAMES),
    ]
    lines += [
        f"{one.lists * SIZE:>11}{one.share:>11.2%}{one.read * 1e3:>11.1f}{one.build * 1e3:>11.1f}"
        f"{one.sign * 1e3:>11.1f}{one.largest:>11}{one.total:>11}{one.memory / 1e6:>11.2f}"
        for one in costs
    ]
    lines += ["", f"{'one list':>10}{'level':>9}{'ms':>9}{'bytes':>10}"]
    lines += [f"{share:>10.2%}{level:>9}{seconds * 1e3:>9.1f}{size:>10}" for share, level, seconds, size in by_level]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    lines += ["", f"peak memory of this process {peak / 1024:.0f} MB"]
    return "\n".join(lines)


def main() -> None:
    costs = []
    for one in measure():
        costs.append(one)
        show_progress(len(costs), len(LISTS) * len(SHARES))
    print(report(costs, list(levels())))
