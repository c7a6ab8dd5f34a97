"""Trust from a watched directory: quick to follow a good change, deaf to a bad one."""

import asyncio
import logging
import os
import shutil
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from farseal import clock
from farseal.sources import DirectorySource, TrustSource, keeper, reading
from farseal.sources import file as file_source
from farseal.sources.document import MAX_DOCUMENT_BYTES, DocumentError, Fingerprint, read_document
from farseal.trust import AgeLimits
from tests.support.tokens import ISSUER, Issuer, compact_json, jwk, private_key

NOW = 1_795_000_000
IN_FORCE_SECONDS = 1.0

PADDED = 1024
"""Bytes of a set whose successor is to have the same size."""


async def until(condition: Callable[[], bool], seconds: float = IN_FORCE_SECONDS) -> float:
    """How long it took; fails when it took longer."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < seconds, "not in force in time"
        await asyncio.sleep(0.01)
    return time.monotonic() - began


def kids(source: TrustSource) -> set[str]:
    trust = source.snapshot.issuers.get(ISSUER)
    return set() if trust is None else set(trust.keys)


@pytest.fixture
def first() -> Issuer:
    return Issuer(NOW, kid="first")


@pytest.fixture
def second() -> Issuer:
    return Issuer(NOW, kid="second")


@pytest.fixture
def directory(tmp_path: Path, first: Issuer) -> Path:
    return first.publish(tmp_path / "trust")


async def test_what_is_there_at_the_start_is_in_force_before_the_first_request(directory: Path) -> None:
    """`start` returns with trust loaded, numbered generation 1."""
    source = DirectorySource(directory, ISSUER)
    assert source.snapshot.generation == 0
    async with source:
        assert kids(source) == {"first"}
        assert source.snapshot.generation == 1
        status = source.status()
        assert (status.loads, status.refused, status.refusal) == (1, 0, None)
        with pytest.raises(RuntimeError, match="runs already"):
            await source.start()
    assert kids(source) == {"first"}


async def test_it_starts_again_after_it_was_stopped(directory: Path, second: Issuer) -> None:
    """Stopping ends the watching and nothing else."""
    source = DirectorySource(directory, ISSUER)
    await source.start()
    await source.stop()
    await source.stop()
    second.publish(directory)
    async with source:
        assert kids(source) == {"second"}


async def test_a_directory_that_hangs_holds_up_no_start(directory: Path, monkeypatch) -> None:
    """A network mount whose server is gone: the service starts, says so, and takes the keys when it is back."""
    released = threading.Event()
    whole = file_source.read_directory

    def hangs(*arguments: Any) -> Any:
        released.wait(30)
        return whole(*arguments)

    monkeypatch.setattr(file_source, "START_SECONDS", 0.1)
    monkeypatch.setattr(file_source, "LATE_SECONDS", 0.2)
    monkeypatch.setattr(file_source, "read_directory", hangs)
    try:
        async with asyncio.timeout(10), DirectorySource(directory, ISSUER) as source:
            assert kids(source) == set()
            await until(lambda: source.status().workers[ISSUER].failure is not None, 5)
            assert source.status().workers[ISSUER].failure == "a look does not come to its end within 0.2 s"
            released.set()
            await until(lambda: kids(source) == {"first"}, 5)
            await until(lambda: source.status().workers[ISSUER].failure is None, 5)
    finally:
        released.set()


def rename(directory: Path, data: bytes) -> None:
    new = directory / ".jwks.json.new"
    new.write_bytes(data)
    new.replace(directory / "jwks.json")


def overwrite(directory: Path, data: bytes) -> None:
    (directory / "jwks.json").write_bytes(data)


def replace_directory(directory: Path, data: bytes) -> None:
    new = directory.parent / "new"
    new.mkdir()
    (new / "jwks.json").write_bytes(data)
    directory.rename(directory.parent / "old")
    new.rename(directory)


@pytest.mark.parametrize("events", [pytest.param(True, id="events"), pytest.param(False, id="no-events")])
@pytest.mark.parametrize("change", [rename, overwrite, replace_directory])
async def test_a_change_is_in_force_within_a_second(directory, second, change, events, monkeypatch) -> None:
    """However it came, and also where the file system tells nobody, as on volumes shared between containers."""
    if not events:

        async def silence(*_paths: Path, **_options: object):
            await asyncio.Event().wait()
            yield set()

        monkeypatch.setattr(file_source, "awatch", silence)
    async with DirectorySource(directory, ISSUER) as source:
        await asyncio.sleep(0.2)
        change(directory, second.jwks())
        await until(lambda: kids(source) == {"second"})
        assert source.snapshot.generation == 2


async def test_an_event_alone_brings_one_look_and_no_more(directory, first, second, monkeypatch) -> None:
    """Long before the next look is due; and then the source rests again."""
    looks: list[object] = []
    real = file_source.read_directory

    def counted(*given: Any) -> Any:
        looks.append(given)
        return real(*given)

    monkeypatch.setattr(file_source, "read_directory", counted)
    async with DirectorySource(directory, ISSUER, poll_seconds=600) as source:
        # Until the watch stands, a change makes no event.
        for _ in range(100):
            for issuer in (first, second):
                rename(directory, issuer.jwks())
            await asyncio.sleep(0.1)
            if kids(source) == {"second"}:
                break
        assert kids(source) == {"second"}
        await asyncio.sleep(1.0)
        looked = len(looks)
        await asyncio.sleep(0.5)
        assert len(looks) == looked


async def test_an_application_that_keeps_all_its_threads_busy_delays_nothing(directory, second) -> None:
    """The loop's threads are the application's: blocking drivers, name lookups, large files."""
    loop = asyncio.get_running_loop()
    released = threading.Event()
    async with DirectorySource(directory, ISSUER) as source:
        busy = [loop.run_in_executor(None, released.wait, 10) for _ in range(64)]
        try:
            rename(directory, second.jwks())
            await until(lambda: kids(source) == {"second"})
        finally:
            released.set()
            await asyncio.gather(*busy)


async def test_changes_go_on_being_seen_after_the_directory_was_replaced(directory, first, second) -> None:
    """The watch moves to the directory that is there now."""
    async with DirectorySource(directory, ISSUER) as source:
        replace_directory(directory, second.jwks())
        await until(lambda: kids(source) == {"second"})
        rename(directory, first.jwks())
        await until(lambda: kids(source) == {"first"})


async def test_a_symbolic_link_swapped_in_a_volume_is_followed(tmp_path, first, second) -> None:
    """Kubernetes publishes a ConfigMap by swapping ..data from one directory to another."""
    volume = tmp_path / "volume"
    first.publish(volume / "..one")
    second.publish(volume / "..two")
    (volume / "..data").symlink_to("..one")
    for name in ("jwks.json", "oauth-authorization-server.json"):
        (volume / name).symlink_to(f"..data/{name}")
    async with DirectorySource(volume, ISSUER) as source:
        assert kids(source) == {"first"}
        (volume / "..tmp").symlink_to("..two")
        (volume / "..tmp").replace(volume / "..data")
        await until(lambda: kids(source) == {"second"})


async def test_a_directory_that_is_a_link_is_followed_to_its_new_target(tmp_path, first, second) -> None:
    """A release directory may be swapped the same way."""
    first.publish(tmp_path / "one")
    second.publish(tmp_path / "two")
    (tmp_path / "now").symlink_to("one")
    async with DirectorySource(tmp_path / "now", ISSUER) as source:
        (tmp_path / "next").symlink_to("two")
        (tmp_path / "next").replace(tmp_path / "now")
        await until(lambda: kids(source) == {"second"})


async def test_a_directory_missing_at_the_start_is_awaited(tmp_path, first, caplog) -> None:
    """The service starts, says so, trusts nothing, and recovers when the directory appears."""
    with caplog.at_level(logging.INFO, "farseal"):
        async with DirectorySource(tmp_path / "trust", ISSUER) as source:
            assert source.snapshot.issuers == {}
            assert source.status().refusal == "the directory: missing"
            assert "every token gets 503" in caplog.text
            first.publish(tmp_path / "trust")
            await until(lambda: kids(source) == {"first"})
            assert source.status().refusal is None
    assert "is usable again" in caplog.text


def broken_json(directory: Path) -> None:
    overwrite(directory, b'{"keys": [')


def emptied(directory: Path) -> None:
    overwrite(directory, b"")


def no_keys(directory: Path) -> None:
    overwrite(directory, b'{"keys": []}')


def no_usable_key(directory: Path) -> None:
    overwrite(directory, compact_json({"keys": [jwk(private_key(), "first", use="enc")]}))


def not_a_set(directory: Path) -> None:
    overwrite(directory, b"[]")


def too_large(directory: Path) -> None:
    overwrite(directory, b" " * (MAX_DOCUMENT_BYTES + 1))


def gone(directory: Path) -> None:
    (directory / "jwks.json").unlink()


def directory_gone(directory: Path) -> None:
    shutil.rmtree(directory)


def directory_is_a_file(directory: Path) -> None:
    shutil.rmtree(directory)
    directory.write_bytes(b"")


def fifo(directory: Path) -> None:
    gone(directory)
    os.mkfifo(directory / "jwks.json")


def folder(directory: Path) -> None:
    gone(directory)
    (directory / "jwks.json").mkdir()


def dangling_link(directory: Path) -> None:
    gone(directory)
    (directory / "jwks.json").symlink_to("nowhere")


def link_to_itself(directory: Path) -> None:
    gone(directory)
    (directory / "jwks.json").symlink_to("jwks.json")


def device(directory: Path) -> None:
    gone(directory)
    (directory / "jwks.json").symlink_to("/dev/zero")


def another_issuer(directory: Path) -> None:
    rename(directory, Issuer(NOW, kid="second").jwks())
    (directory / "oauth-authorization-server.json").write_bytes(b'{"issuer": "https://evil.example"}')


def broken_metadata(directory: Path) -> None:
    (directory / "oauth-authorization-server.json").write_bytes(b"{")


FAULTS = {
    broken_json: "jwks",
    emptied: "key set is not usable",
    no_keys: "no usable key among 0",
    no_usable_key: "no usable key among 1",
    not_a_set: "key set is not usable",
    too_large: "larger than 1048576 bytes",
    gone: "jwks.json: missing",
    directory_gone: "the directory: missing",
    directory_is_a_file: "the directory: not a directory",
    fifo: "not a regular file",
    folder: "not a regular file",
    dangling_link: "jwks.json: missing",
    link_to_itself: "jwks.json: too many levels",
    device: "not a regular file",
    another_issuer: "another issuer",
    broken_metadata: "oauth-authorization-server.json",
}


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
async def test_nothing_broken_replaces_good_trust(directory, first, fault, caplog) -> None:
    """The last good set stays, the fault is logged once, counted once, told in the status, and a repair is seen."""
    async with DirectorySource(directory, ISSUER, poll_seconds=0.1) as source:
        before = source.snapshot
        with caplog.at_level(logging.WARNING, "farseal"):
            fault(directory)
            await until(lambda: source.status().refusal is not None)
            # A few more looks: the same fault is neither counted nor logged again.
            await asyncio.sleep(0.35)
        status = source.status()
        assert FAULTS[fault].split(":")[0].lower() in (status.refusal or "").lower() or fault is broken_json
        assert status.refused <= 2  # a file may be caught between being truncated and being written
        assert source.snapshot is before
        assert status.loads == 1
        assert "the last good keys stay in force" in caplog.text
        assert len(caplog.records) <= 2
        if directory.is_file():
            directory.unlink()
        if (directory / "jwks.json").is_dir():
            (directory / "jwks.json").rmdir()
        first.publish(directory)
        await until(lambda: source.status().refusal is None)
        assert source.snapshot.generation == 1, "the same keys are no new generation"


async def test_each_broken_publication_is_counted(directory) -> None:
    """The same fault in another file is another refusal, however alike they are told."""
    async with DirectorySource(directory, ISSUER, poll_seconds=0.05) as source:
        for count in (1, 2, 3):
            rename(directory, b"[]")
            await until(lambda: source.status().refused >= count)  # noqa: B023 - awaited within its round
            assert source.status().refused == count


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
async def test_an_unreadable_file_is_a_fault_like_others(directory) -> None:
    """Permissions may be wrong for a moment while a volume is prepared."""
    async with DirectorySource(directory, ISSUER) as source:
        (directory / "jwks.json").chmod(0)
        await until(lambda: source.status().refusal == "jwks.json: permission denied")
        assert kids(source) == {"first"}


async def test_nothing_broken_is_trusted_at_the_start_either(directory) -> None:
    """A directory that was mounted for another issuer leaves the service without keys, and saying why."""
    another_issuer(directory)
    async with DirectorySource(directory, ISSUER) as source:
        assert source.snapshot.issuers == {}
        assert source.status().refusal == (
            f"oauth-authorization-server.json: the documents are of another issuer than {ISSUER}"
        )


@pytest.mark.parametrize(
    "issuer",
    [
        pytest.param(f"{ISSUER}/", id="a-slash-more"),
        pytest.param(f"{ISSUER}.evil.example", id="begins-alike"),
        pytest.param(ISSUER[:-1], id="a-character-less"),
        pytest.param(ISSUER.upper(), id="case"),
        pytest.param([ISSUER], id="a-list"),
        pytest.param(None, id="null"),
    ],
)
async def test_the_metadata_names_the_issuer_exactly(directory, issuer) -> None:
    """Compared as RFC 8414 section 3.3 has it, like every issuer: byte for byte."""
    for metadata in ({"issuer": issuer}, {}):
        (directory / "oauth-authorization-server.json").write_bytes(compact_json(metadata))
        async with DirectorySource(directory, ISSUER) as source:
            assert source.snapshot.issuers == {}
            assert "another issuer" in (source.status().refusal or "")


async def test_a_directory_without_metadata_will_do(directory) -> None:
    """The issuer's metadata is checked where it is; a key set alone is enough."""
    (directory / "oauth-authorization-server.json").unlink()
    async with DirectorySource(directory, ISSUER) as source:
        assert kids(source) == {"first"}


async def test_a_set_counts_as_published_when_its_file_was_modified(directory) -> None:
    """The age that decides warn and refuse is the file's."""
    os.utime(directory / "jwks.json", (NOW - 40, NOW - 40))
    async with DirectorySource(directory, ISSUER, AgeLimits(10, 100), clock=lambda: NOW) as source:
        assert source.status().ages == {ISSUER: 40}
        assert source.snapshot.issuers[ISSUER].limits == AgeLimits(10, 100)


async def test_a_publication_of_the_same_keys_makes_them_younger_and_nothing_else(directory) -> None:
    """A publisher that writes the same set every minute keeps it fresh; no verdict changes, so no generation."""
    os.utime(directory / "jwks.json", (NOW - 40, NOW - 40))
    async with DirectorySource(directory, ISSUER, clock=lambda: NOW) as source:
        os.utime(directory / "jwks.json", (NOW - 5, NOW - 5))
        await until(lambda: source.status().ages == {ISSUER: 5})
        assert (source.snapshot.generation, source.status().loads) == (1, 1)


async def test_a_clock_that_is_set_right_sets_the_age_right(directory) -> None:
    """A service may start before its machine knows the time: that is no outage until the next publication."""
    at = [0]
    os.utime(directory / "jwks.json", (NOW - 40, NOW - 40))
    async with DirectorySource(directory, ISSUER, clock=lambda: at[0], poll_seconds=0.05) as source:
        at[0] = NOW
        await asyncio.sleep(0.3)
        assert source.status().ages[ISSUER] == pytest.approx(40, abs=2)


async def test_a_change_that_keeps_size_inode_and_time_is_found_while_the_file_is_young(
    directory, first, second
) -> None:
    """File systems with coarse clocks show a quick second write as no change at all."""
    path = directory / "jwks.json"
    overwrite(directory, first.jwks().ljust(PADDED))
    async with DirectorySource(directory, ISSUER) as source:
        found = path.stat()
        overwrite(directory, second.jwks().ljust(PADDED))
        os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))
        assert (path.stat().st_ino, path.stat().st_size) == (found.st_ino, found.st_size)
        await until(lambda: kids(source) == {"second"})


async def test_a_change_that_no_clock_shows_is_found(directory, first, second, monkeypatch) -> None:
    """Both times of both writes the same, as where a file system counts in whole seconds."""
    real = reading.fingerprint
    tick = clock.now() * 10**9

    def coarse(name: str, directory_fd: int) -> Fingerprint | str:
        seen = real(name, directory_fd)
        return seen if isinstance(seen, str) else replace(seen, modified_ns=tick, changed_ns=tick)

    monkeypatch.setattr(reading, "fingerprint", coarse)
    overwrite(directory, first.jwks().ljust(PADDED))
    async with DirectorySource(directory, ISSUER, poll_seconds=0.05) as source:
        assert kids(source) == {"first"}
        with (directory / "jwks.json").open("r+b") as file:
            file.write(second.jwks().ljust(PADDED))
        await until(lambda: kids(source) == {"second"})


async def test_a_file_that_has_not_changed_is_not_read_again(directory, monkeypatch) -> None:
    """Once it is older than a clock's tick, looking at it from outside is enough."""
    at = int((directory / "jwks.json").stat().st_mtime) + 10
    read: list[int] = []
    real = reading._read_documents

    def counted(directory_fd: int, issuer: str, digest: bytes) -> object:
        read.append(directory_fd)
        return real(directory_fd, issuer, digest)

    monkeypatch.setattr(reading, "_read_documents", counted)
    async with DirectorySource(directory, ISSUER, poll_seconds=0.02, clock=lambda: at) as source:
        await asyncio.sleep(0.3)
        assert len(read) == 1
        assert source.status().ages == {ISSUER: 10}


async def test_a_standing_fault_is_logged_again_now_and_then(tmp_path, caplog, monkeypatch) -> None:
    """Once a minute, so that whoever looks at the log sees it; here every tenth of a second."""
    monkeypatch.setattr(keeper, "REMINDER_SECONDS", 0.1)
    with caplog.at_level(logging.WARNING, "farseal"):
        async with DirectorySource(tmp_path / "none", ISSUER, poll_seconds=0.05) as source:
            await until(lambda: len(caplog.records) >= 3)
            assert source.status().refused == 1


async def test_the_watch_survives_an_unforeseen_error(directory, second, caplog, monkeypatch) -> None:
    """A source that died silently would age until every request failed."""
    async with DirectorySource(directory, ISSUER, poll_seconds=0.05) as source:
        with monkeypatch.context() as patched:

            def explode(*_args: object) -> None:
                raise MemoryError

            patched.setattr(file_source, "read_directory", explode)
            await until(lambda: "failed" in caplog.text)
        second.publish(directory)
        await until(lambda: kids(source) == {"second"})


def test_a_file_that_changes_while_it_is_read_is_not_used(tmp_path, monkeypatch) -> None:
    """A writer that does not rename may be caught at work."""
    path = tmp_path / "jwks.json"
    path.write_bytes(b"{}")
    real = os.read

    def slow(descriptor: int, size: int) -> bytes:
        chunk = real(descriptor, size)
        if path.stat().st_size == 2:
            path.write_bytes(b"{ }")
        return chunk

    monkeypatch.setattr(os, "read", slow)
    directory = os.open(tmp_path, os.O_RDONLY)
    try:
        with pytest.raises(DocumentError, match="it was being written"):
            read_document("jwks.json", directory)
        assert read_document("jwks.json", directory).content == b"{ }"
    finally:
        os.close(directory)


def test_a_read_error_is_a_document_error(tmp_path, monkeypatch) -> None:
    """A network mount may fail in the middle."""
    (tmp_path / "jwks.json").write_bytes(b"{}")

    def fail(_descriptor: int, _size: int) -> bytes:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "read", fail)
    directory = os.open(tmp_path, os.O_RDONLY)
    try:
        with pytest.raises(DocumentError, match=r"jwks\.json: input/output error"):
            read_document("jwks.json", directory)
    finally:
        os.close(directory)
