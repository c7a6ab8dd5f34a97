"""The status lists in a directory that several servers may write to, and that may be full, or hang."""

import asyncio
import json
import os
import threading
from pathlib import Path

import pytest

from auth_server.keys.signer import Signer
from auth_server.publication import files
from auth_server.publication.documents import jwks
from auth_server.status.directory import StatusDirectory
from auth_server.status.documents import ListDocument, ListTerms, encoded, index_document, list_document, list_payload
from tests.support.accounts import accounts_pool
from tests.support.status import ISSUER, NOW, Said, add_list, key, replica, revoke, until, until_told, written

LIST, NEXT = "A" * 16, "B" * 16
TERMS = ListTerms(ISSUER, life=3600, ttl=5)
SIGNED_AT = NOW - 40


@pytest.fixture
async def pool(new_database):
    async with accounts_pool(await new_database()) as pool:
        yield pool


@pytest.fixture
def signer():
    signer = Signer(threads=1)
    yield signer
    signer.close()


async def signed(
    signer: Signer,
    *set_bits: int,
    list_id: str = LIST,
    version: int = 1,
    at: int = SIGNED_AT,
    kid: int = 1,
    terms: ListTerms = TERMS,
) -> ListDocument:
    bits = bytearray(128)
    for index in set_bits:
        bits[index >> 3] |= 1 << (index & 7)
    payload = list_payload(terms, list_id, lst=encoded(bits), version=version, issued_at=at)
    token = await signer.sign(payload, key(kid), token_type="statuslist+jwt")
    return list_document(token, list_id, version=version, issued_at=at, kid=f"kid-{kid}", bits=bytes(bits))


async def write(directory: Path, *lists: ListDocument, gone=(), issuer: str = ISSUER) -> StatusDirectory:
    """By a server of its own."""
    writer = StatusDirectory(directory, issuer=issuer)
    writer.begin(lists, gone=gone, now=NOW)
    await writer.wait()
    return writer


@pytest.mark.parametrize(
    ("theirs", "ours", "stays"),
    [
        pytest.param({}, {}, True, id="the-same"),
        pytest.param({"version": 1}, {"version": 2}, False, id="older"),
        pytest.param({"version": 2}, {"version": 1}, True, id="newer"),
        pytest.param({"at": SIGNED_AT - 60}, {}, False, id="signed-earlier"),
        pytest.param({"at": SIGNED_AT + 60}, {}, True, id="signed-later"),
        pytest.param({"at": SIGNED_AT + 120}, {}, False, id="signed-in-the-future"),
        pytest.param({"terms": ListTerms(ISSUER, life=7200, ttl=5)}, {}, False, id="of-another-life"),
        pytest.param({"kid": 2}, {}, False, id="another-key"),
        pytest.param({"kid": 2, "version": 2}, {}, True, id="another-key-newer"),
        pytest.param({"bits": (3,)}, {"bits": (3, 4), "version": 2}, False, id="fewer-ended"),
        pytest.param({"bits": (3, 5)}, {"bits": (3, 4), "version": 2}, True, id="another-ended"),
        pytest.param({"bits": (3,)}, {}, True, id="one-more-ended-of-the-same-version"),
    ],
)
async def test_a_list_that_knows_more_stays(tmp_path: Path, signer, theirs, ours, stays: bool) -> None:
    """Newer, or an entry would be unset: never written over. The index tells the digest of what is there."""
    one = await signed(signer, *theirs.pop("bits", ()), **theirs)
    two = await signed(signer, *ours.pop("bits", ()), **ours)
    await write(tmp_path, one)
    writer = await write(tmp_path, two)
    there = (tmp_path / one.name).read_bytes()
    assert there == (one if stays else two).body
    (digest,) = json.loads((tmp_path / "status-lists.json").read_bytes())["farseal"]["lists"].values()
    assert digest == (one if stays else two).digest
    knows_more = one.version > two.version or (stays and one.bits != two.bits)
    assert set(writer.written.ahead) == ({LIST} if knows_more else set())
    assert writer.written.lists == (frozenset() if knows_more else {LIST})


@pytest.mark.parametrize("what", ["rubbish", "pipe", "link", "another"])
async def test_what_is_no_list_of_ours_is_replaced(tmp_path: Path, signer, what: str) -> None:
    """Whatever lies under its name, nobody waits for it and nothing behind a link is touched."""
    ours, outside = await signed(signer), tmp_path / "outside"
    (tmp_path / "out" / "status").mkdir(parents=True)
    place = tmp_path / "out" / ours.name
    outside.write_bytes((await signed(signer, version=9)).body)
    match what:
        case "rubbish":
            place.write_text("rubbish")
        case "pipe":
            os.mkfifo(place)
        case "link":
            place.symlink_to(outside)
        case "another":
            place.write_bytes((await signed(signer, list_id=NEXT, version=9)).body)
    async with asyncio.timeout(5):
        await write(tmp_path / "out", ours)
    assert place.read_bytes() == ours.body
    assert not place.is_symlink()
    assert outside.read_bytes() != ours.body


async def test_lists_are_there_before_the_index_names_them(tmp_path: Path, signer, monkeypatch) -> None:
    """No reader of the index looks for a list that is not there; one that is gone leaves the index first."""
    seen, replace = [], files.replace

    def record(path: Path, body: bytes) -> None:
        replace(path, body)
        seen.append(path.name)

    monkeypatch.setattr(files, "replace", record)
    one, two = await signed(signer), await signed(signer, list_id=NEXT)
    await write(tmp_path, one, two)
    assert seen == [f"{LIST}.jwt", f"{NEXT}.jwt", "status-lists.json"]
    seen.clear()
    await write(tmp_path, one, two)
    assert seen == [], "what is there already is not written again"
    await write(tmp_path, one, gone=[NEXT])
    assert seen == ["status-lists.json"]
    assert not (tmp_path / two.name).exists()


async def test_the_directory_of_another_issuer_is_left_alone(tmp_path: Path, signer) -> None:
    """Told by readiness; nothing of it is changed."""
    index = index_document("https://other.example", {})
    (tmp_path / "status-lists.json").write_bytes(index.body)
    writer = await write(tmp_path, await signed(signer))
    assert "another issuer" in (writer.problem or "")
    assert (tmp_path / "status-lists.json").read_bytes() == index.body
    assert not list((tmp_path / "status").iterdir())


async def test_two_servers_with_one_directory_never_go_back(pool, tmp_path: Path) -> None:
    """Each sees some of the ends before the other: readers see versions that only grow, and sets that only grow."""
    async with replica(pool, tmp_path) as one, replica(pool, tmp_path) as two:
        list_id = await pool.fetchval("SELECT id FROM status_lists")
        path, seen, ended = tmp_path / "status" / f"{list_id}.jwt", [], threading.Event()

        def read() -> None:
            while not ended.is_set():
                body = path.read_bytes()
                if not seen or seen[-1] != body:
                    seen.append(body)

        reader = threading.Thread(target=read)
        reader.start()
        try:
            async with pool.acquire() as conn:
                for index in range(60):
                    await revoke(conn, list_id, [index])
                    turns = [one.lists.turn(), two.lists.turn()]
                    await (asyncio.gather(*turns) if index % 3 else turns[index % 2])
                    if not index % 3:
                        turns[1 - index % 2].close()
        finally:
            ended.set()
            reader.join()
        await asyncio.gather(one.lists.turn(), two.lists.turn())
        assert written(tmp_path)[list_id].revoked == set(range(60))
        assert [await each.lists.check() for each in (one, two)] == [None, None]
        versions = [Said.of(body).version for body in seen]
        assert versions == sorted(versions)


async def test_a_server_that_is_behind_waits_for_its_next_look(pool, tmp_path: Path) -> None:
    """It has read before the other wrote: the newer list stays, nothing is told, and the next turn is soon."""
    async with replica(pool, tmp_path) as ahead, replica(pool, tmp_path) as behind:
        list_id = await pool.fetchval("SELECT id FROM status_lists")
        async with pool.acquire() as conn:
            await revoke(conn, list_id, [1])
        await ahead.lists.turn()
        assert behind.writer is not None
        behind.writer.begin(behind.memory.documents, gone=(), now=NOW)
        await behind.writer.wait()
        assert written(tmp_path)[list_id].version == 2
        assert await behind.lists.check() is None
        await behind.lists.turn()
        assert behind.said(list_id).version == 2
        assert await behind.lists.check() is None
        assert (await behind.entries.take()).list_id == list_id


async def test_two_servers_with_a_directory_each_write_the_same(pool, tmp_path: Path) -> None:
    """Their readers get one list, whichever they ask."""
    async with replica(pool, tmp_path / "one") as one, replica(pool, tmp_path / "two") as two:
        list_id = await pool.fetchval("SELECT id FROM status_lists")
        async with pool.acquire() as conn:
            await revoke(conn, list_id, [1, 2])
        await asyncio.gather(one.lists.turn(), two.lists.turn())
        bodies = {(tmp_path / place / "status" / f"{list_id}.jwt").read_bytes() for place in ("one", "two")}
        assert len(bodies) == 1
        assert written(tmp_path / "two")[list_id].revoked == {1, 2}


async def test_a_disk_that_is_full_is_told_and_holds_a_new_list_back(pool, tmp_path: Path, monkeypatch) -> None:
    """Ends go out over HTTP all the same; entries of the list before are given out; it goes on when there is room."""
    async with replica(pool, tmp_path) as one:
        first = await pool.fetchval("SELECT id FROM status_lists")
        replace = files.replace
        monkeypatch.setattr(files, "replace", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
        await pool.execute("UPDATE status_lists SET taken = 600")
        async with pool.acquire() as conn:
            await revoke(conn, first, [7])
        for _ in range(2):
            await one.lists.turn()
        assert one.said(first).revoked == {7}
        assert "No space left" in (await one.lists.check() or "")
        assert await pool.fetchval("SELECT published_at FROM status_lists WHERE id <> $1", first) is None
        assert (await one.entries.take()).list_id == first
        monkeypatch.setattr(files, "replace", replace)
        for _ in range(2):
            await one.lists.turn()
        assert await one.lists.check() is None
        assert len(written(tmp_path)) == 2
        assert await pool.fetchval("SELECT published_at IS NOT NULL FROM status_lists WHERE id <> $1", first)
        assert one.metrics.registry.get_sample_value("auth_status_failures_total") >= 2


async def test_a_disk_that_hangs_holds_up_nothing_else(pool, tmp_path: Path, monkeypatch) -> None:
    """One write waits in a thread of its own; HTTP tells what ends meanwhile, and readiness that the disk hangs."""
    async with replica(pool, tmp_path) as one:
        list_id = await pool.fetchval("SELECT id FROM status_lists")
        mended, replace = threading.Event(), files.replace

        def hang(path: Path, body: bytes) -> None:
            mended.wait(20)
            replace(path, body)

        monkeypatch.setattr(files, "replace", hang)
        async with pool.acquire() as conn:
            for index in range(3):
                await revoke(conn, list_id, [index])
                async with asyncio.timeout(2):
                    await one.lists.turn()
                assert index in one.said(list_id).revoked
        await until_told(one, "writing to")
        mended.set()
        assert one.writer is not None
        await until(lambda: not one.writer.is_busy())
        await one.lists.turn()
        assert written(tmp_path)[list_id].revoked == {0, 1, 2}
        assert await one.lists.check() is None


async def test_a_directory_that_was_emptied_is_filled_at_the_next_heartbeat(pool, tmp_path: Path) -> None:
    async with replica(pool, tmp_path) as one:
        list_id = await pool.fetchval("SELECT id FROM status_lists")
        async with pool.acquire() as conn:
            await add_list(conn, NEXT)
        await one.lists.turn()
        for path in (tmp_path / "status-lists.json", tmp_path / "status" / f"{list_id}.jwt"):
            path.unlink()
        one.now += 60
        await one.lists.turn()
        assert set(written(tmp_path)) == {list_id, NEXT}


@pytest.mark.parametrize(
    ("theirs", "withdrawn", "stays"),
    [
        pytest.param({"kid": 2}, ("kid-1",), True, id="ours-is-withdrawn"),
        pytest.param({"kid": 2}, ("kid-2",), False, id="theirs-is-withdrawn"),
        pytest.param({"kid": 2}, ("kid-1", "kid-2"), False, id="both-are"),
    ],
)
async def test_a_list_of_a_good_key_is_not_replaced_by_one_of_a_withdrawn_key(
    tmp_path: Path, signer, theirs, withdrawn: tuple[str, ...], stays: bool
) -> None:
    """A replica that has not heard of an emergency yet does not undo what another one has published; verifiers would
    drop its list and answer 503."""
    await write(tmp_path, await signed(signer, **theirs))
    (tmp_path / "jwks.json").write_bytes(jwks([], issuer=ISSUER, sequence=5, revoked=withdrawn).body)
    await write(tmp_path, await signed(signer, 7, version=2))
    assert written(tmp_path)[LIST].header["kid"] == ("kid-2" if stays else "kid-1")
