"""The disk copies of status lists: what a verifier starts from while everything is down, and when it must not."""

import asyncio
import hashlib
import os
import shutil
import stat
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from farseal.errors import StatusUnavailableError, TokenRevokedError
from farseal.sources import HttpSource, ListSchedule, Schedule, lists_shelf, own_files
from farseal.sources.lists_shelf import index_name, list_name
from tests.support.tokens import ISSUER, Issuer, jwk
from tests.verification.hostile_issuer import HostileIssuer
from tests.verification.polled import GOOD, NEXT, NOW, SetClock, until
from tests.verification.published_lists import (
    QUICK,
    VERIFIER,
    Published,
    list_token,
    path_of,
    token,
    uri_of,
    versions,
)

REVOKED = {"a": list_token("a", [7], version=2), "b": list_token("b")}


@pytest.fixture(scope="module")
def server() -> Iterator[HostileIssuer]:
    with HostileIssuer() as running:
        yield running


@pytest.fixture
def copies(tmp_path: Path) -> Path:
    return tmp_path / "copies"


def polling(server: HostileIssuer, copies: Path, at: Callable[[], int] = lambda: NOW) -> HttpSource:
    return HttpSource(server.url, ISSUER, options=replace(QUICK, snapshot_directory=copies), clock=at)


def from_disk(source: HttpSource) -> bool:
    lists = source.status().workers[ISSUER].lists
    return lists is not None and lists.from_disk


def copy_of(copies: Path, name: str) -> Path:
    return copies / list_name(ISSUER, uri_of(name))


async def kept(server: HostileIssuer, copies: Path, published: Published) -> None:
    """Run once while all is well, and leave the host down."""
    server.behave("answer", **published.answers())
    async with polling(server, copies):
        await until((copies / index_name(ISSUER)).exists)
        await until(lambda: not [*copies.glob(".*")])
    server.behave("reset")


async def test_a_restart_while_everything_is_down_still_refuses_who_was_logged_out(server, copies, caplog) -> None:
    """It says so, and the host takes over when it is back."""
    await kept(server, copies, Published(REVOKED))
    at = SetClock(NOW + 1000)
    async with polling(server, copies, at) as source:
        assert versions(source) == {"a": 2, "b": 1}
        assert from_disk(source)
        VERIFIER.verify(token(6, exp=NOW + 9000), source.snapshot, now=at())
        with pytest.raises(TokenRevokedError):
            VERIFIER.verify(token(7, exp=NOW + 9000), source.snapshot, now=at())
        assert "2 status lists" in caplog.text
        server.behave("answer", **Published(REVOKED).answers())
        await until(lambda: not from_disk(source))
        figures = server.figures()["by_path"]
        assert path_of("a") not in figures


async def test_a_restart_does_not_forget_the_version(server, copies) -> None:
    """Who can serve an old list could otherwise wait for a restart to make a revoked token good."""
    await kept(server, copies, Published(REVOKED))
    server.behave("answer", **Published({"a": list_token("a", version=1), "b": REVOKED["b"]}).answers())
    async with polling(server, copies) as source:
        await until(lambda: source.status().issuers[ISSUER].lists.rollbacks)
        with pytest.raises(TokenRevokedError):
            VERIFIER.verify(token(7), source.snapshot, now=NOW)


async def test_a_copy_past_its_end_is_not_used(server, copies, caplog) -> None:
    """To the second, whatever the disk says of its date."""
    await kept(server, copies, Published({"a": list_token("a", exp=NOW + 600)}))
    async with polling(server, copies, lambda: NOW + 599) as source:
        VERIFIER.verify(token(1, exp=NOW + 9000), source.snapshot, now=NOW + 599)
    async with polling(server, copies, lambda: NOW + 600) as source:
        assert versions(source) == {}
        with pytest.raises(StatusUnavailableError):
            VERIFIER.verify(token(1, exp=NOW + 9000), source.snapshot, now=NOW + 600)
    assert "is not used: It has expired" in caplog.text


async def test_a_copy_signed_by_a_key_that_was_withdrawn_is_not_used(server, copies) -> None:
    """The keys are restored first, and judge it."""
    await kept(server, copies, Published(REVOKED))
    keys = NEXT.jwks(issuer=ISSUER, sequence=6, revoked=["first"])
    server.behave("answer", **Published({}, keys).answers(**{"/status-lists.json": {"status": 500}}))
    async with polling(server, copies) as source:
        await until(lambda: source.snapshot.issuers[ISSUER].sequence == 6)
        assert versions(source) == {}
    async with polling(server, copies) as source:
        assert versions(source) == {}


async def test_copies_are_for_this_user_alone_and_named_without_issuer_and_list(server, copies) -> None:
    """One file for the index and one for each list, bound to both by their digests."""
    await kept(server, copies, Published(REVOKED))
    of_issuer, of_list = (hashlib.sha256(text.encode()).hexdigest() for text in (ISSUER, uri_of("a")))
    assert {f"{of_issuer}.status-lists", f"{of_issuer}.{of_list}.status", f"{of_issuer}.jwks"} <= {
        path.name for path in copies.iterdir()
    }
    assert len([*copies.iterdir()]) == 4
    assert {stat.S_IMODE(path.stat().st_mode) for path in copies.iterdir()} == {0o600}


async def test_a_list_that_the_issuer_drops_leaves_the_disk(server, copies) -> None:
    """While it runs, and after it ran without knowing."""
    await kept(server, copies, Published(REVOKED))
    stray = copy_of(copies, "stray")
    stray.write_bytes(b"of before")
    server.behave("answer", **Published({"b": REVOKED["b"]}).answers())
    async with polling(server, copies) as source:
        await until(lambda: versions(source) == {"b": 1})
        await until(lambda: not copy_of(copies, "a").exists() and not stray.exists())
        assert copy_of(copies, "b").exists()
        server.behave("answer", **Published().answers())
        await until(lambda: not [*copies.glob("*.status")])


async def test_a_list_is_written_when_it_says_something_new(server, copies) -> None:
    """A mere repetition is written once a minute, a logout at once."""
    lists = {"a": list_token("a", version=2)}
    server.behave("answer", **Published(lists).answers())
    async with polling(server, copies, lambda: NOW + 100) as source:
        await until(lambda: copy_of(copies, "a").exists())
        for iat, revoked, version, written in ((59, [], 2, False), (60, [], 2, True), (61, [1], 3, True)):
            lists["a"] = list_token("a", revoked, version=version, iat=NOW + iat)
            server.behave("answer", **Published(lists).answers())
            wanted = hashlib.sha256(lists["a"]).digest()
            await until(lambda wanted=wanted: source.snapshot.issuers[ISSUER].lists[uri_of("a")].digest == wanted)
            if written:
                await until(lambda: copy_of(copies, "a").read_bytes() == lists["a"])
            else:
                await asyncio.sleep(0.2)
                assert copy_of(copies, "a").read_bytes() != lists["a"]


def flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[-30] ^= 1
    file.write_bytes(content)


def another_list(file: Path) -> None:
    file.write_bytes(REVOKED["b"])


def of_another_key(file: Path) -> None:
    file.write_bytes(list_token("a", version=9, by=NEXT))


def a_fifo(file: Path) -> None:
    file.unlink()
    os.mkfifo(file, 0o600)


def a_link(file: Path) -> None:
    file.rename(file.with_suffix(".real"))
    file.symlink_to(file.with_suffix(".real"))


REFUSED = [
    pytest.param(lambda file: file.write_bytes(file.read_bytes()[:-1]), "malformed", id="cut-short"),
    pytest.param(flip, "", id="one-bit"),
    pytest.param(lambda file: file.write_bytes(b""), "", id="emptied"),
    pytest.param(another_list, "another list than its address says", id="another-list"),
    pytest.param(of_another_key, "not one of the issuer", id="another-key"),
    pytest.param(lambda file: file.chmod(0o620), "writable by others", id="group-writable"),
    pytest.param(lambda file: file.chmod(0o602), "writable by others", id="world-writable"),
    pytest.param(lambda file: os.truncate(file, 5 << 20), "too large", id="huge"),
    pytest.param(a_fifo, "not a regular file", id="fifo"),
    pytest.param(a_link, "symbolic links", id="link"),
]


@pytest.mark.parametrize(("spoil", "reason"), REFUSED)
async def test_a_copy_of_a_list_that_cannot_be_believed_is_refused(server, copies, spoil, reason, caplog) -> None:
    """Its tokens get 503 until the host answers; the other list is none the worse."""
    await kept(server, copies, Published(REVOKED))
    spoil(copy_of(copies, "a"))
    caplog.clear()
    async with polling(server, copies) as source:
        assert versions(source) == {"b": 1}
        with pytest.raises(StatusUnavailableError):
            VERIFIER.verify(token(7), source.snapshot, now=NOW)
        VERIFIER.verify(token(7, "b"), source.snapshot, now=NOW)
    assert "not used: " in caplog.text
    assert reason in caplog.text


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        pytest.param(lambda file: file.write_bytes(file.read_bytes()[:-9]), "not usable", id="cut-short"),
        pytest.param(lambda file: file.write_bytes(b'{"status_lists":7}'), "no list of", id="no-list"),
        pytest.param(lambda file: file.chmod(0o660), "writable by others", id="group-writable"),
        pytest.param(lambda file: os.truncate(file, 2 << 20), "too large", id="huge"),
        pytest.param(a_link, "symbolic links", id="link"),
    ],
)
async def test_without_a_copy_of_the_index_that_can_be_believed_no_list_is_restored(
    server, copies, spoil, reason, caplog
) -> None:
    """Which lists there are is said nowhere else."""
    await kept(server, copies, Published(REVOKED))
    spoil(copies / index_name(ISSUER))
    async with polling(server, copies) as source:
        assert versions(source) == {}
    assert reason in caplog.text


async def test_a_copy_of_another_user_is_refused(server, copies, monkeypatch, caplog) -> None:
    """Who may create files beside ours could write one in its place."""
    await kept(server, copies, Published(REVOKED))
    if os.geteuid() == 0:
        for file in copies.iterdir():
            os.chown(file, 12_345, -1)
    monkeypatch.setattr(own_files.os, "geteuid", lambda: 54_321)
    with pytest.raises(own_files.CopyError, match="owned by another user"):
        lists_shelf.read_copies(copies, ISSUER, NOW)
    async with polling(server, copies) as source:
        assert versions(source) == {}


async def test_a_disk_that_is_full_is_counted_and_stops_nothing(server, copies, monkeypatch, caplog) -> None:
    """What could not be written is written once there is room."""
    write = os.write

    def full(descriptor: int, data: bytes) -> int:
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(28, "No space left on device")
        return write(descriptor, data)

    monkeypatch.setattr(own_files.os, "write", full)
    server.behave("answer", **Published(REVOKED).answers())
    async with polling(server, copies) as source:
        assert versions(source) == {"a": 2, "b": 1}
        await until(lambda: source.disk_failures >= 4)
        assert not [*copies.iterdir()]
        monkeypatch.undo()
        await until(lambda: copy_of(copies, "a").exists() and (copies / index_name(ISSUER)).exists())
    assert caplog.text.count("status lists of") == 1
    assert "cannot be kept: no space left on device" in caplog.text


async def test_a_disk_that_hangs_keeps_nobody_from_the_lists(server, copies, monkeypatch, caplog) -> None:
    """They are in force at the start and after each change, whatever the disk does."""
    released = threading.Event()
    monkeypatch.setattr(lists_shelf, "LOAD_SECONDS", 0.1)
    monkeypatch.setattr(lists_shelf, "CLOSE_SECONDS", 0.1)
    for name in ("read_copies", "put", "remove"):
        monkeypatch.setattr(lists_shelf, name, lambda *_arguments: released.wait(30))
    server.behave("answer", **Published(REVOKED).answers())
    try:
        async with polling(server, copies) as source:
            assert versions(source) == {"a": 2, "b": 1}
            assert "the disk does not answer within 0.1 s" in caplog.text
            server.behave("answer", **Published(REVOKED | {"a": list_token("a", [6], version=3)}).answers())
            await until(lambda: versions(source) == {"a": 3, "b": 1})
    finally:
        released.set()


async def test_the_index_on_the_disk_names_no_list_that_was_not_written_before(server, copies, monkeypatch) -> None:
    """A process that is killed between two files leaves lists too many, and none too few."""
    order: list[str] = []
    put = own_files.put

    def noted(directory: Path, name: str, content: bytes) -> None:
        put(directory, name, content)
        order.append(name)

    monkeypatch.setattr(lists_shelf, "put", noted)
    await kept(server, copies, Published(REVOKED))
    assert order[-1] == index_name(ISSUER)
    assert set(order[:-1]) == {list_name(ISSUER, uri_of(name)) for name in REVOKED}


async def test_a_directory_that_vanishes_is_made_again(server, copies) -> None:
    """Whoever tidies up does not end the copies of lists that change."""
    lists = dict(REVOKED)
    server.behave("answer", **Published(lists).answers())
    async with polling(server, copies):
        await until((copies / index_name(ISSUER)).exists)
        shutil.rmtree(copies)
        lists["a"] = list_token("a", [7, 8], version=3)
        server.behave("answer", **Published(lists).answers())
        await until(lambda: copy_of(copies, "a").exists() and (copies / index_name(ISSUER)).exists())


async def test_a_list_of_a_key_that_only_the_host_knows_waits_for_the_host(server, copies) -> None:
    """Its copy is of no use without the key, which has a copy of its own."""
    keys = Issuer.jwks(GOOD, jwk(NEXT.key, "second"), issuer=ISSUER, sequence=6)
    published = Published({"a": list_token("a", [7], by=NEXT)}, keys)
    await kept(server, copies, published)
    async with polling(server, copies) as source:
        assert versions(source) == {"a": 1}
    for file in copies.glob("*.jwks"):
        file.unlink()
    async with polling(server, copies) as source:
        assert versions(source) == {}
        server.behave("answer", **published.answers())
        await until(lambda: versions(source) == {"a": 1})


SLOWLY = replace(QUICK, schedule=Schedule(60, 60), lists=ListSchedule(60, 60, 60, 60))


async def test_a_start_with_copies_asks_for_what_changed_only(server, copies) -> None:
    """The lists on the disk are those that the index names: no list is fetched."""
    await kept(server, copies, Published(REVOKED))
    server.behave("answer", **Published(REVOKED | {"b": list_token("b", [1], version=2)}).answers())
    options = replace(SLOWLY, snapshot_directory=copies)
    async with HttpSource(server.url, ISSUER, options=options, clock=lambda: NOW) as source:
        assert versions(source) == {"a": 2, "b": 2}
        assert {path for path in server.figures()["by_path"] if path.startswith("/status/")} == {path_of("b")}
