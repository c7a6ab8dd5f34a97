"""The disk copy: what a verifier starts from while its issuer is down, and when it must not."""

import asyncio
import hashlib
import json
import os
import shutil
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from email.utils import formatdate
from pathlib import Path

import pytest

from farseal.errors import KeyUnknownError, TrustUnavailableError
from farseal.sources import HttpSource, Schedule, own_files, shelf
from farseal.sources.disk import Copy, file_name, read_copy, write_copy
from farseal.sources.own_files import CopyError
from farseal.status_list import StatusPolicy
from farseal.trust import AgeLimits
from farseal.verify import Expectations, Verifier
from farseal.vocabulary import MAX_SEQUENCE
from tests.support.tokens import ISSUER, NOTES, compact_json
from tests.verification.hostile_issuer import HostileIssuer
from tests.verification.polled import GOOD, NEXT, NOW, OPTIONS, SLOW, SetClock, kids, until

OURS = GOOD.jwks(issuer=ISSUER, sequence=5)
DOWN = "http://127.0.0.1:9/jwks.json"
LIMIT = 86_400
COPY = Copy(ISSUER, DOWN, NOW - 100, NOW - 50, '"e"', "Tue, 24 Nov 2026 00:00:00 GMT", OURS)
VERIFIER = Verifier(Expectations(NOTES, frozenset({ISSUER}), status=StatusPolicy.OFF))


@pytest.fixture(scope="module")
def server() -> Iterator[HostileIssuer]:
    with HostileIssuer() as running:
        yield running


@pytest.fixture
def copies(tmp_path: Path) -> Path:
    return tmp_path / "copies"


def polling(url: str, copies: Path, clock: Callable[[], int] = lambda: NOW, **options: object) -> HttpSource:
    chosen = replace(OPTIONS, snapshot_directory=copies, **options)  # type: ignore[arg-type]
    return HttpSource(url, ISSUER, AgeLimits(900, LIMIT), chosen, clock=clock)


async def test_a_restart_while_the_issuer_is_down_verifies_from_the_copy(server, copies, caplog) -> None:
    """It says so, with the age that the keys really have, and the issuer takes over when it is back."""
    server.answer(OURS, headers={"Last-Modified": formatdate(NOW - 40, usegmt=True)})
    async with polling(server.url, copies):
        pass
    server.behave("reset")
    clock = SetClock(NOW + 1000)
    async with polling(server.url, copies, clock) as source:
        assert VERIFIER.verify(GOOD.mint(exp=NOW + 5000), source.snapshot, now=clock()).issuer == ISSUER
        assert source.status().ages == {ISSUER: 1040}
        state = source.status().workers[ISSUER]
        assert state.from_disk
        assert state.failure is not None
        assert "those of the disk copy, 1040 s old" in caplog.text
        server.answer(OURS, headers={"Last-Modified": formatdate(NOW + 990, usegmt=True)})
        await until(lambda: not source.status().workers[ISSUER].from_disk)
        assert source.status().ages == {ISSUER: 10}
        assert server.figures()["conditional"] >= 1
        assert source.snapshot.generation == 1


async def test_a_restart_does_not_forget_the_sequence(server, copies) -> None:
    """Who can serve an old set could otherwise wait for a restart to bring withdrawn keys back."""
    server.answer(NEXT.jwks(issuer=ISSUER, sequence=6, revoked=["first"]))
    async with polling(server.url, copies):
        pass
    server.answer(OURS)
    async with polling(server.url, copies) as source:
        status = source.status()
        assert kids(source) == {"second"}
        assert (status.rollbacks, status.workers[ISSUER].from_disk) == (1, True)
        assert "sequence 5 is older than 6" in (status.refusal or "")


async def test_a_number_that_nothing_can_follow_is_left_behind_with_the_copy(server, copies) -> None:
    """Who could write one set could otherwise keep every later one out for good, restarts included."""
    server.answer(NEXT.jwks(issuer=ISSUER, sequence=MAX_SEQUENCE))
    async with polling(server.url, copies):
        pass
    server.answer(OURS)
    async with polling(server.url, copies) as source:
        await until(lambda: source.status().rollbacks)
        assert kids(source) == {"second"}
    shutil.rmtree(copies)
    async with polling(server.url, copies) as source:
        assert kids(source) == {"first"}


async def test_a_copy_of_keys_that_were_withdrawn_since_does_not_stay(server, copies) -> None:
    """A set that withdraws the last key is not taken into force, and yet must outlive a restart."""
    server.answer(OURS)
    async with polling(server.url, copies) as source:
        await until((copies / file_name(ISSUER)).exists)
        server.answer(compact_json({"keys": [], "farseal": {"issuer": ISSUER, "sequence": 6, "revoked": ["first"]}}))
        await until(lambda: not (copies / file_name(ISSUER)).exists())
        # Neither does the old set come back while this process runs.
        server.answer(OURS)
        await asyncio.sleep(0.3)
        assert "first" in source.snapshot.issuers[ISSUER].revoked
    server.behave("reset")
    async with polling(server.url, copies) as source:
        with pytest.raises(TrustUnavailableError):
            VERIFIER.verify(GOOD.mint(), source.snapshot, now=NOW)


async def test_a_copy_is_for_this_user_alone_and_named_without_the_issuer(server, copies) -> None:
    """Mode 0600 in a directory of 0700; the name is a digest; nothing else is left behind."""
    server.answer(OURS)
    async with polling(server.url, copies):
        await until((copies / file_name(ISSUER)).exists)
    (file,) = copies.iterdir()
    assert file.name == f"{hashlib.sha256(ISSUER.encode()).hexdigest()}.jwks"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(copies.stat().st_mode) == 0o700


async def test_a_copy_is_written_again_when_it_is_a_minute_younger_and_not_before(server, copies) -> None:
    """A look each few seconds is no write each few seconds."""
    clock = SetClock()
    server.answer(GOOD.jwks())
    async with polling(server.url, copies, clock) as source:
        file = copies / file_name(ISSUER)
        await until(file.exists)
        first = file.stat().st_ino
        clock.now = NOW + 59
        await until(lambda: source.status().ages == {ISSUER: 0})
        await asyncio.sleep(0.2)
        assert file.stat().st_ino == first
        clock.now = NOW + 60
        await until(lambda: file.stat().st_ino != first)
    again = read_copy(copies, ISSUER, clock(), LIMIT)
    assert again is not None
    assert (again.dated, again.body) == (NOW + 60, GOOD.jwks())


async def test_a_disk_that_takes_nothing_is_counted_and_stops_nothing(server, tmp_path, caplog) -> None:
    """The copy is for the next start; this one goes on without."""
    obstacle = tmp_path / "file"
    obstacle.write_bytes(b"")
    server.answer(OURS)
    async with polling(server.url, obstacle / "copies") as source:
        await until(lambda: source.disk_failures >= 1)
        assert kids(source) == {"first"}
        server.answer(NEXT.jwks(issuer=ISSUER, sequence=6))
        await until(lambda: kids(source) == {"second"})
        await until(lambda: source.disk_failures >= 2)
    assert source.disk_failures >= 2
    assert caplog.text.count("cannot be kept: not a directory") == 1


async def test_an_end_that_is_called_off_keeps_no_thread(server, copies, monkeypatch) -> None:
    """An application that is told twice to end gives back what it holds even so."""
    released = threading.Event()
    monkeypatch.setattr(shelf, "write_copy", lambda *_arguments: released.wait(30))
    server.answer(OURS)
    source = polling(server.url, copies)
    await source.start()
    running = source._worker._running
    assert running is not None
    try:
        stopping = asyncio.create_task(source.stop())
        await asyncio.sleep(0.05)
        stopping.cancel()
        await asyncio.wait({stopping})
        with pytest.raises(RuntimeError, match="after shutdown"):
            running.threads.submit(lambda: 1)
        await until(lambda: not [one for one in asyncio.all_tasks() if one.get_name().startswith("farseal-source")])
    finally:
        released.set()


async def test_a_disk_that_hangs_keeps_nobody_from_the_issuer(server, copies, monkeypatch, caplog) -> None:
    """A network mount whose server is gone answers never; the issuer is asked all the same."""
    released = threading.Event()
    monkeypatch.setattr(shelf, "LOAD_SECONDS", 0.1)
    monkeypatch.setattr(shelf, "read_copy", lambda *_arguments: released.wait(30))
    monkeypatch.setattr(shelf, "write_copy", lambda *_arguments: released.wait(30))
    server.answer(OURS)
    try:
        async with polling(server.url, copies) as source:
            assert kids(source) == {"first"}
            assert "is not used: the disk does not answer within 0.1 s" in caplog.text
            server.answer(NEXT.jwks(issuer=ISSUER, sequence=6))
            await until(lambda: kids(source) == {"second"})
            released.set()
    finally:
        released.set()


async def test_a_full_disk_leaves_the_copy_before(copies, monkeypatch) -> None:
    """Whole or not at all, and no half of a file stays to fill the disk further."""
    write_copy(copies, COPY)

    def full(_descriptor: int, _data: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(own_files.os, "write", full)
    with pytest.raises(CopyError, match="no space left"):
        write_copy(copies, replace(COPY, body=b"{}"))
    monkeypatch.undo()
    assert read_copy(copies, ISSUER, NOW, LIMIT) == COPY
    assert [path.name for path in copies.iterdir()] == [file_name(ISSUER)]


def test_a_copy_comes_back_as_it_was(copies) -> None:
    """Byte for byte, with all that is known of it; and a missing one is none."""
    assert read_copy(copies, ISSUER, NOW, LIMIT) is None
    write_copy(copies, COPY)
    assert read_copy(copies, ISSUER, NOW, LIMIT) == COPY
    bare = replace(COPY, etag=None, last_modified=None, body=b"\n\n\xff")
    write_copy(copies, bare)
    assert read_copy(copies, ISSUER, NOW, LIMIT) == bare


def resealed(content: bytes) -> bytes:
    return hashlib.sha256(content).hexdigest().encode() + b"\n" + content


def with_head(**changes: object) -> Callable[[Path], None]:
    """The same copy with another head, and a digest that fits."""

    def spoil(file: Path) -> None:
        head, _, body = file.read_bytes().split(b"\n", 1)[1].partition(b"\n")
        file.write_bytes(resealed(json.dumps(json.loads(head) | changes).encode() + b"\n" + body))

    return spoil


def flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[-30] ^= 1
    file.write_bytes(content)


def a_directory(file: Path) -> None:
    file.unlink()
    file.mkdir()


def a_fifo(file: Path) -> None:
    file.unlink()
    os.mkfifo(file, 0o600)


def a_link(file: Path) -> None:
    file.rename(file.with_suffix(".real"))
    file.symlink_to(file.with_suffix(".real"))


REFUSED = [
    pytest.param(lambda file: file.write_bytes(file.read_bytes()[:-1]), "damaged", id="cut-short"),
    pytest.param(flip, "damaged", id="one-bit"),
    pytest.param(lambda file: file.write_bytes(b""), "damaged", id="emptied"),
    pytest.param(lambda file: file.write_bytes(resealed(b"no head\n{}")), "damaged", id="head-not-json"),
    pytest.param(with_head(dated="1"), "damaged", id="head-of-other-types"),
    pytest.param(with_head(format=2), "of another format", id="format"),
    pytest.param(with_head(issuer="https://other.example"), "of another issuer", id="issuer"),
    pytest.param(with_head(dated=NOW + 301), "from the future", id="dated-in-the-future"),
    pytest.param(with_head(fetched=NOW + 301), "from the future", id="fetched-in-the-future"),
    pytest.param(with_head(dated=NOW - LIMIT), f"older than the limit of {LIMIT} s", id="too-old"),
    pytest.param(lambda file: file.chmod(0o620), "writable by others", id="group-writable"),
    pytest.param(lambda file: file.chmod(0o602), "writable by others", id="world-writable"),
    pytest.param(lambda file: os.truncate(file, 3 << 20), "too large", id="huge"),
    pytest.param(a_directory, "not a regular file", id="directory"),
    pytest.param(a_fifo, "not a regular file", id="fifo"),
    pytest.param(a_link, "too many levels of symbolic links", id="link"),
]


@pytest.mark.parametrize(("spoil", "reason"), REFUSED)
async def test_a_copy_that_cannot_be_believed_is_refused_with_the_reason(copies, spoil, reason, caplog) -> None:
    """It decides whose tokens are honoured. Without it the service starts, and answers 503 until the issuer answers."""
    write_copy(copies, COPY)
    spoil(copies / file_name(ISSUER))
    with pytest.raises(CopyError, match=reason):
        read_copy(copies, ISSUER, NOW, LIMIT)
    async with polling(DOWN, copies) as source:
        assert kids(source) == set()
        assert not source.status().workers[ISSUER].from_disk
    assert f"is not used: {reason}" in caplog.text


def test_a_copy_of_another_user_is_refused(copies, monkeypatch) -> None:
    """Who may create files beside ours could write one in its place. Root's own is believed."""
    write_copy(copies, COPY)
    file = copies / file_name(ISSUER)
    if os.geteuid() == 0:
        os.chown(file, 12_345, -1)
    monkeypatch.setattr(own_files.os, "geteuid", lambda: 54_321)
    with pytest.raises(CopyError, match="owned by another user"):
        read_copy(copies, ISSUER, NOW, LIMIT)
    if os.getuid() == 0:
        os.chown(file, 0, -1)
        assert read_copy(copies, ISSUER, NOW, LIMIT) == COPY


@pytest.mark.parametrize(
    ("changes", "used"),
    [
        pytest.param({"dated": NOW - LIMIT + 1}, True, id="one-second-younger-than-the-limit"),
        pytest.param({"dated": NOW + 300, "fetched": NOW + 300}, True, id="a-little-ahead"),
        pytest.param({"url": "http://127.0.0.1:9/elsewhere"}, True, id="the-issuer-moved"),
    ],
)
async def test_the_limits_of_a_copy_hold_to_the_second(copies, changes, used) -> None:
    """Its age is judged as that of a set from the network is."""
    write_copy(copies, replace(COPY, **changes))
    async with polling(DOWN, copies) as source:
        assert (kids(source) == {"first"}) is used


async def test_a_copy_that_is_no_key_set_is_not_used(copies, caplog) -> None:
    """Whole, and of no use all the same."""
    write_copy(copies, replace(COPY, body=b"{}"))
    async with polling(DOWN, copies) as source:
        assert kids(source) == set()
    assert "is not used: The key set has no list of keys" in caplog.text


async def test_what_a_server_said_of_its_copy_holds_for_its_address_alone(server, copies) -> None:
    """Another address may use the same ETag for other keys: the first look there is unconditional."""
    write_copy(copies, COPY)
    server.answer(NEXT.jwks(issuer=ISSUER, sequence=6), headers={"ETag": '"e"'})
    async with polling(server.url, copies, schedule=SLOW.schedule) as source:
        assert kids(source) == {"second"}
        with pytest.raises(KeyUnknownError):
            VERIFIER.verify(GOOD.mint(), source.snapshot, now=NOW)


async def test_what_a_killed_process_left_is_swept_away_in_time(copies) -> None:
    """Not at once: another process may be writing."""
    write_copy(copies, COPY)
    old, new = (copies / f".{file_name(ISSUER)}.{name}" for name in ("old", "new"))
    for path in (old, new):
        path.write_bytes(b"half")
    os.utime(old, (NOW - 4000, NOW - 4000))
    os.utime(new, (NOW - 10, NOW - 10))
    read_copy(copies, ISSUER, NOW, LIMIT)
    assert not old.exists()
    assert new.exists()


WRITES_FOR_EVER = """
import sys
from dataclasses import replace
from pathlib import Path
from farseal.sources.disk import Copy, write_copy
copy = Copy("http://127.0.0.1:9000", "http://127.0.0.1:9/jwks.json", 1, 1, None, None, b"")
for number in range(10**9):
    write_copy(Path(sys.argv[1]), replace(copy, dated=number, body=bytes([number % 256]) * 500_000))
    print(number, flush=True)
"""


def test_a_process_that_is_killed_while_it_writes_leaves_a_whole_copy(copies) -> None:
    """The one before or the one after, whenever the power went."""
    for lines in (1, 2, 3, 5, 8):
        command = [sys.executable, "-c", WRITES_FOR_EVER, str(copies)]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            for _ in range(lines):
                process.stdout.readline()
            process.kill()
        copy = read_copy(copies, ISSUER, NOW, NOW + 1)
        assert copy is not None
        assert copy.body == bytes([copy.dated % 256]) * 500_000
        assert copy.dated >= lines - 1


async def test_a_directory_that_vanishes_is_made_again(server, copies) -> None:
    """Whoever tidies up does not end the copies."""
    server.answer(OURS)
    async with polling(server.url, copies, schedule=Schedule(0.05, 0.2)) as source:
        await until(lambda: list(copies.glob("*.jwks")))
        shutil.rmtree(copies)
        server.answer(NEXT.jwks(issuer=ISSUER, sequence=6))
        await until(lambda: kids(source) == {"second"} and list(copies.glob("*.jwks")))
