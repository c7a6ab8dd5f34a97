"""The published documents: what they say, and how they get into a directory."""

import asyncio
import errno
import json
import os
import signal
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from auth_server.http.well_known import http_date, is_fresh, is_unmodified
from auth_server.keys.public_key import PublicKey
from auth_server.publication import files
from auth_server.publication.documents import Document, issuer_metadata, jwks
from auth_server.publication.publisher import HEARTBEAT_SECONDS, ConflictError, Publisher
from auth_server.publication.refresher import Served
from farseal import clock

NOW = 1_790_000_000
ONE, TWO = PublicKey("n1", "AQAB"), PublicKey("n2", "AQAB")
ISSUER = "https://auth.example"


def key_set(*keys: PublicKey, sequence: int = 7, revoked: tuple[str, ...] = (), issuer: str = ISSUER) -> Document:
    return jwks(keys, issuer=issuer, sequence=sequence, revoked=revoked)


DOCUMENTS = (key_set(ONE), issuer_metadata("https://auth.example", scopes=["b", "a", "a"]))


def test_the_jwks_lists_every_key_in_one_order() -> None:
    """Replicas that hold the same keys publish the same bytes, and so the same ETag."""
    document = key_set(ONE, TWO)
    assert document == key_set(TWO, ONE)
    assert document.etag == key_set(TWO, ONE).etag != key_set(ONE).etag
    assert document.name == "jwks.json"
    assert document.media_type == "application/jwk-set+json"
    kids = [key["kid"] for key in json.loads(document.body)["keys"]]
    assert kids == sorted({ONE.kid, TWO.kid})


def test_the_metadata_is_that_of_rfc_8414() -> None:
    """Endpoints are below the issuer, which is repeated byte for byte."""
    assert json.loads(DOCUMENTS[1].body) == {
        "issuer": "https://auth.example",
        "token_endpoint": "https://auth.example/oauth2/token",
        "jwks_uri": "https://auth.example/.well-known/jwks.json",
        "response_types_supported": [],
        "grant_types_supported": ["client_credentials", "refresh_token"],
        "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post", "none"],
        "revocation_endpoint": "https://auth.example/oauth2/revoke",
        "revocation_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post", "none"],
        "introspection_endpoint": "https://auth.example/oauth2/introspect",
        "introspection_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
        "status_list_aggregation_endpoint": "https://auth.example/.well-known/status-lists.json",
        "scopes_supported": ["a", "b"],
    }


@pytest.mark.parametrize(
    ("issuer", "endpoint"),
    [
        ("https://auth.example/", "https://auth.example/oauth2/token"),
        ("https://auth.example/tenant", "https://auth.example/tenant/oauth2/token"),
    ],
)
def test_an_issuer_with_a_path_keeps_it(issuer: str, endpoint: str) -> None:
    """No double slash, and no lost one in ``issuer`` itself; no scopes, no member."""
    said = json.loads(issuer_metadata(issuer, scopes=[]).body)
    assert (said["issuer"], said["token_endpoint"]) == (issuer, endpoint)
    assert "scopes_supported" not in said


@pytest.mark.parametrize(
    ("header", "fresh"),
    [
        pytest.param([], False, id="none"),
        pytest.param(['"abc"'], True, id="the-one"),
        pytest.param(['W/"abc"'], True, id="weak"),
        pytest.param(['"x", "abc"'], True, id="list"),
        pytest.param(['"x"', 'W/"y", "abc"'], True, id="several-headers"),
        pytest.param(["*"], True, id="any"),
        pytest.param([" * "], True, id="any-with-spaces"),
        pytest.param(['"ab"'], False, id="another"),
        pytest.param(['"xabc"'], False, id="longer"),
        pytest.param(["abc"], False, id="unquoted"),
        pytest.param(['"'], False, id="half"),
        pytest.param(["\udcff"], False, id="bytes"),
    ],
)
def test_a_copy_is_fresh_when_any_tag_matches(header: list[str], fresh: bool) -> None:
    """RFC 9110 section 13.1.2: a weak comparison."""
    assert is_fresh('"abc"', header) is fresh


async def test_documents_are_written_whole_and_readable_for_all(tmp_path: Path) -> None:
    """The umask has no say: readers run as other users. Nothing temporary stays."""
    before = os.umask(0o077)
    try:
        await Publisher(tmp_path / "out").publish(DOCUMENTS, now=NOW)
    finally:
        os.umask(before)
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == {
        document.name: document.body for document in DOCUMENTS
    }
    assert stat.S_IMODE((tmp_path / "out").stat().st_mode) == 0o755
    for path in (tmp_path / "out").iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o644


def test_a_directory_that_is_there_keeps_its_mode(tmp_path: Path) -> None:
    """Who made it decided who may read it."""
    tmp_path.chmod(0o750)
    asyncio.run(Publisher(tmp_path).publish(DOCUMENTS, now=NOW))
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o750


async def test_a_directory_behind_a_link_is_written_to(tmp_path: Path) -> None:
    """A deployment may point the path elsewhere; a document that is a link itself is replaced, not followed."""
    target, link, outside = tmp_path / "target", tmp_path / "link", tmp_path / "outside"
    target.mkdir()
    link.symlink_to(target)
    outside.write_text("not ours")
    (target / "jwks.json").symlink_to(outside)
    await Publisher(link).publish(DOCUMENTS, now=NOW)
    assert (target / "jwks.json").read_bytes() == DOCUMENTS[0].body
    assert outside.read_text() == "not ours"


@pytest.mark.parametrize("name", ["jwks.json", "oauth-authorization-server.json"])
async def test_a_named_pipe_in_the_place_of_a_document_is_replaced(tmp_path: Path, name: str) -> None:
    """Nobody will ever write to it: who waited for that would publish nothing more, even after it was removed."""
    await Publisher(tmp_path).publish(DOCUMENTS, now=NOW)
    (tmp_path / name).unlink()
    os.mkfifo(tmp_path / name)
    async with asyncio.timeout(5):
        await Publisher(tmp_path).publish(DOCUMENTS, now=NOW)
    assert {(tmp_path / one.name).read_bytes() for one in DOCUMENTS} == {one.body for one in DOCUMENTS}


KILLED = """
import asyncio, os, sys
from pathlib import Path
from auth_server.publication import publisher
from auth_server.publication.documents import Document
os.fsync = lambda _: os.kill(os.getpid(), 9)
asyncio.run(publisher.Publisher(Path(sys.argv[1])).publish([Document("jwks.json", "t", b"half")], now=1))
"""


def test_what_a_killed_writer_left_is_removed_and_what_a_live_one_writes_is_not(tmp_path: Path) -> None:
    """A kill in mid-write leaves the old document whole, and a temporary file that the next writer clears away."""
    asyncio.run(Publisher(tmp_path).publish(DOCUMENTS, now=NOW))
    assert subprocess.run([sys.executable, "-c", KILLED, tmp_path], check=False).returncode == -signal.SIGKILL
    (leftover,) = tmp_path.glob(".*")
    assert (tmp_path / "jwks.json").read_bytes() == DOCUMENTS[0].body
    live, foreign = tmp_path / ".jwks.json.1.aaaaaaaa.tmp", tmp_path / ".htaccess"
    live.write_text("somebody is writing this now")
    foreign.write_text("not ours")
    for old in (leftover, foreign):
        os.utime(old, (old.stat().st_mtime - 61,) * 2)
    asyncio.run(Publisher(tmp_path).publish(DOCUMENTS, now=NOW + 1))
    assert set(tmp_path.glob(".*")) == {live, foreign}


async def test_a_reader_never_sees_a_part(tmp_path: Path) -> None:
    """Read over and over while two replicas write: always one document or the other, whole."""
    small, large = Document("d", "t", b"a" * 10), Document("d", "t", b"b" * 200_000)
    writers = Publisher(tmp_path), Publisher(tmp_path)
    await writers[0].publish([small], now=NOW)
    ended, seen = threading.Event(), set()

    def read() -> None:
        while not ended.is_set():
            seen.add((tmp_path / "d").read_bytes())

    reader = threading.Thread(target=read)
    reader.start()
    try:
        for _ in range(40):
            await writers[0].publish([small], now=NOW)
            await writers[1].publish([large], now=NOW)
    finally:
        ended.set()
        reader.join()
    assert seen <= {small.body, large.body}


async def test_what_is_published_survives_a_power_cut(tmp_path: Path, monkeypatch) -> None:
    """Every file is on the disk before it gets its name, and at the end the names are too."""
    synced = []

    def record(descriptor: int) -> None:
        named = sorted(path.name for path in tmp_path.iterdir() if not path.name.startswith("."))
        synced.append(("directory" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file", named))

    monkeypatch.setattr(os, "fsync", record)
    await Publisher(tmp_path).publish(DOCUMENTS, now=NOW)
    first, second = (document.name for document in DOCUMENTS)
    assert synced == [("file", []), ("file", [first]), ("directory", [first, second])]


async def test_writing_again_renews_the_age(tmp_path: Path) -> None:
    """Unchanged documents get a new file, and so a new time: the heartbeat that verifiers measure."""
    publisher = Publisher(tmp_path)
    await publisher.publish(DOCUMENTS, now=NOW)
    old = tmp_path / "jwks.json"
    os.utime(old, (1, 1))
    await publisher.publish(DOCUMENTS, now=NOW + 60)
    assert os.stat(old).st_mtime > 1  # noqa: PTH116 - a file of the test's own


@pytest.mark.parametrize(
    ("documents", "later", "due"),
    [
        pytest.param(DOCUMENTS, 0, False, id="just-written"),
        pytest.param(DOCUMENTS, HEARTBEAT_SECONDS - 1, False, id="before-the-heartbeat"),
        pytest.param(DOCUMENTS, HEARTBEAT_SECONDS, True, id="heartbeat"),
        pytest.param(DOCUMENTS, -1, True, id="clock-set-back"),
        pytest.param((key_set(ONE, sequence=8), DOCUMENTS[1]), 0, True, id="changed"),
    ],
)
async def test_publication_is_due_on_change_and_at_the_heartbeat(
    tmp_path: Path, documents: tuple[Document, ...], later: int, due: bool
) -> None:
    """At most one write a minute while nothing changes."""
    publisher = Publisher(tmp_path)
    assert publisher.due(DOCUMENTS, now=NOW)
    await publisher.publish(DOCUMENTS, now=NOW)
    assert publisher.due(documents, now=NOW + later) is due


async def test_a_failure_is_told_and_tried_again(tmp_path: Path) -> None:
    """The reason stays until an attempt succeeds; the next attempt is due at once."""
    target = tmp_path / "out"
    target.write_text("a file where the directory should be")
    publisher = Publisher(target)
    with pytest.raises(OSError, match="exists"):
        await publisher.publish(DOCUMENTS, now=NOW)
    assert publisher.failure is not None
    assert str(target) in publisher.failure
    target.unlink()
    assert publisher.due(DOCUMENTS, now=NOW)
    await publisher.publish(DOCUMENTS, now=NOW)
    assert publisher.failure is None


async def test_a_document_that_cannot_take_its_name_leaves_nothing_behind(tmp_path: Path) -> None:
    """A rename that fails takes its temporary file along."""
    (tmp_path / "jwks.json" / "in-the-way").mkdir(parents=True)
    with pytest.raises(OSError, match="directory"):
        await Publisher(tmp_path).publish(DOCUMENTS, now=NOW)
    assert os.listdir(tmp_path) == ["jwks.json"]  # noqa: PTH208 - a directory of the test's own


# --- several writers, restored backups, slow disks ------------------------------------------------------------------


def test_the_set_says_whose_it_is_which_one_and_what_was_withdrawn() -> None:
    """One document: a withdrawn key is never listed beside its withdrawal."""
    said = json.loads(key_set(ONE, TWO, sequence=9, revoked=(TWO.kid, "old")).body)
    assert [key["kid"] for key in said["keys"]] == [ONE.kid]
    assert said["farseal"] == {"issuer": ISSUER, "sequence": 9, "revoked": sorted([TWO.kid, "old"])}


@pytest.mark.parametrize(
    ("theirs", "ours", "says"),
    [
        pytest.param(key_set(ONE, sequence=8), key_set(ONE, sequence=7), "restored from a backup", id="ahead"),
        pytest.param(
            key_set(ONE, sequence=7, revoked=("gone",)),
            key_set(ONE, sequence=9),
            "1 revoked keys",
            id="forgot-a-revocation",
        ),
        pytest.param(key_set(ONE, TWO), key_set(ONE), "restored from a backup", id="same-number-more-keys"),
        pytest.param(key_set(ONE, revoked=("x",)), key_set(ONE), "restored", id="same-number-more-withdrawals"),
        pytest.param(key_set(ONE, issuer="https://b.example"), key_set(ONE), "another issuer", id="another-issuer"),
        pytest.param(key_set(ONE), key_set(ONE, TWO), None, id="same-number-fewer-keys"),
        pytest.param(key_set(ONE, TWO), key_set(ONE, sequence=8), None, id="behind"),
        pytest.param(Document("jwks.json", "t", b'{"keys": []}'), key_set(ONE), None, id="of-an-older-version"),
        pytest.param(Document("jwks.json", "t", b'{"keys": '), key_set(ONE), None, id="half"),
        pytest.param(Document("jwks.json", "t", b" " * 2**21), key_set(ONE), None, id="huge"),
    ],
)
async def test_what_is_ahead_is_never_written_over(
    tmp_path: Path, theirs: Document, ours: Document, says: str | None
) -> None:
    """Verifiers refuse the older one, and somebody has to be told; what is behind or broken is replaced."""
    (tmp_path / "jwks.json").write_bytes(theirs.body)
    publisher = Publisher(tmp_path)
    if says is None:
        await publisher.publish([ours], now=NOW)
        assert (tmp_path / "jwks.json").read_bytes() == ours.body
        assert publisher.conflict is None
        return
    with pytest.raises(ConflictError, match=says):
        await publisher.publish([ours], now=NOW)
    assert (tmp_path / "jwks.json").read_bytes() == theirs.body
    assert says in (publisher.failure or "")
    assert publisher.conflict is not None
    (tmp_path / "jwks.json").unlink()
    await publisher.publish([ours], now=NOW)
    assert publisher.conflict is publisher.failure is None


async def test_replicas_on_one_volume_write_once_in_a_heartbeat(tmp_path: Path) -> None:
    """What another one wrote a moment ago is not written again, and the next heartbeat is reckoned from it."""
    one, other = Publisher(tmp_path), Publisher(tmp_path)
    moment = clock.now()
    await one.publish(DOCUMENTS, now=moment)
    written = (tmp_path / "jwks.json").stat()
    await other.publish(DOCUMENTS, now=moment + 30)
    assert (tmp_path / "jwks.json").stat() == written
    assert other.written == DOCUMENTS
    assert not other.due(DOCUMENTS, now=int(written.st_mtime) + HEARTBEAT_SECONDS - 1)
    assert other.due(DOCUMENTS, now=int(written.st_mtime) + HEARTBEAT_SECONDS)
    await other.publish(DOCUMENTS, now=int(written.st_mtime) + HEARTBEAT_SECONDS)
    assert (tmp_path / "jwks.json").stat().st_ino != written.st_ino


async def test_a_disk_that_does_not_answer_holds_up_one_thread_and_nothing_else(tmp_path: Path, monkeypatch) -> None:
    """One attempt at a time, told while it lasts; when the disk answers again all is well."""
    go, calls, elapsed = threading.Event(), [], [0.0]

    def stuck(_descriptor: int) -> None:
        calls.append(1)
        go.wait(10)

    monkeypatch.setattr(os, "fsync", stuck)
    publisher = Publisher(tmp_path, monotonic=lambda: elapsed[0])
    publisher.begin(DOCUMENTS, now=NOW)
    await publisher.wait(0.1)
    assert publisher.problem is None
    elapsed[0] = 7.0
    assert publisher.problem == f"writing to {tmp_path} for 7 s"
    for _ in range(3):
        publisher.begin(DOCUMENTS, now=NOW)
        await publisher.wait(0.01)
    assert len(calls) == 1
    go.set()
    await publisher.wait(5)
    assert publisher.problem is None
    assert publisher.written == DOCUMENTS


async def test_a_writer_that_hangs_does_not_keep_the_others_from_writing(tmp_path: Path) -> None:
    """Writers take turns; one that is stopped in the middle of its turn is passed after a while."""
    with files.taking_turns(tmp_path):
        async with asyncio.timeout(8):
            await Publisher(tmp_path).publish(DOCUMENTS, now=NOW)
    assert (tmp_path / "jwks.json").read_bytes() == DOCUMENTS[0].body


@pytest.mark.parametrize(
    ("error", "says"),
    [
        pytest.param(OSError(errno.ENOSPC, "No space left on device"), "No space left on device", id="full"),
        pytest.param(OSError(errno.EROFS, "Read-only file system"), "Read-only file system", id="read-only"),
    ],
)
async def test_a_full_or_read_only_disk_is_told_in_its_own_words(
    tmp_path: Path, monkeypatch, error: OSError, says: str
) -> None:
    """The old documents stay whole; nothing temporary is left."""
    publisher = Publisher(tmp_path)
    await publisher.publish(DOCUMENTS, now=NOW)

    def refuse(_descriptor: int) -> None:
        raise error

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", refuse)
        with pytest.raises(OSError, match=says):
            await publisher.publish((key_set(TWO, sequence=8),), now=NOW)
    assert says in (publisher.failure or "")
    left = {name: (tmp_path / name).read_bytes() for name in os.listdir(tmp_path)}  # noqa: PTH208 - of the test's own
    assert left == {one.name: one.body for one in DOCUMENTS}


# --- Last-Modified ---------------------------------------------------------------------------------------------------


def test_the_date_moves_with_the_heartbeat_and_with_every_change() -> None:
    """Between two heartbeats a copy stays current by its date; the age that it tells is never too young."""
    first, second = DOCUMENTS[0], key_set(ONE, sequence=8)
    served = Served(first, NOW)
    assert served.renewed(first, now=NOW + HEARTBEAT_SECONDS - 1) is served
    assert served.renewed(first, now=NOW + HEARTBEAT_SECONDS).modified == NOW + HEARTBEAT_SECONDS
    assert served.renewed(second, now=NOW + 5) == Served(second, NOW + 5, NOW)
    assert served.renewed(first, now=NOW - 5).modified == NOW - 5


@pytest.mark.parametrize(
    ("headers", "unmodified"),
    [
        pytest.param([], False, id="none"),
        pytest.param([http_date(NOW)], True, id="equal"),
        pytest.param([http_date(NOW + 1)], True, id="later"),
        pytest.param([http_date(NOW - 1)], False, id="earlier"),
        pytest.param([http_date(NOW), http_date(NOW)], False, id="twice"),
        pytest.param(["yesterday"], False, id="no-date"),
        pytest.param([""], False, id="empty"),
        pytest.param(["Mon, 99 Foo 9999999999 25:61:61 GMT"], False, id="impossible"),
        pytest.param(["\udcff"], False, id="bytes"),
    ],
)
def test_a_copy_is_current_from_its_date_on(headers: list[str], unmodified: bool) -> None:
    """RFC 9110 section 13.1.3."""
    assert is_unmodified(Served(DOCUMENTS[0], NOW), headers) is unmodified


def test_in_the_second_of_a_change_the_date_tells_nothing() -> None:
    """Two contents have had that date; until the next heartbeat the whole document is sent."""
    changed = Served(DOCUMENTS[0], NOW).renewed(key_set(TWO), now=NOW)
    assert not is_unmodified(changed, [http_date(NOW)])
    assert is_unmodified(changed, [http_date(NOW + 1)])
