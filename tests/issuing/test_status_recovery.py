"""A database that was restored from a backup learns from the published lists which sessions had ended."""

import shutil
from pathlib import Path

import asyncpg
import pytest

from auth_server.publication.refresher import NothingPublished
from auth_server.status.entries import NoListOpen
from auth_server.status.recovery import read_directory, recover
from tests.support.accounts import accounts_pool
from tests.support.status import ISSUER, NOW, add_grant, add_list, replica, revoke, running, until, written

LIST, NEXT = "A" * 16, "B" * 16


@pytest.fixture
async def dsn(new_database) -> str:
    return await new_database()


@pytest.fixture
async def pool(dsn):
    async with accounts_pool(dsn) as pool:
        yield pool


async def restored(pool, tmp_path: Path) -> None:
    """As of the backup: a list with one end. Published since: two more ends, and another list with one."""
    async with pool.acquire() as conn:
        await add_list(conn, LIST, taken=64)
        await revoke(conn, LIST, [1])
        await add_list(conn, NEXT)
        await revoke(conn, NEXT, [9])
        await revoke(conn, LIST, [2])
        await revoke(conn, LIST, [3])
    async with replica(pool, tmp_path):
        pass
    async with pool.acquire() as conn:
        await conn.execute("DELETE FROM status_lists WHERE id = $1", NEXT)
        await conn.execute("DELETE FROM status_revocations WHERE index IN (2, 3)")
        await conn.execute("UPDATE status_lists SET version = 2")
        for index in (1, 2, 3, 4):
            await add_grant(conn, LIST, index)


async def test_what_was_published_is_neither_written_over_nor_served_away(pool, tmp_path: Path) -> None:
    """Until it is recovered: told by readiness, and no entry of the list is given out; nor does time help."""
    await restored(pool, tmp_path)
    async with replica(pool, tmp_path) as one:
        for _ in range(4):
            await one.lists.turn()
            assert written(tmp_path)[LIST].revoked == {1, 2, 3}
            assert "sessions recover" in (await one.lists.check() or "")
            async with pool.acquire() as conn:
                await revoke(conn, LIST, [50])
        assert written(tmp_path)[LIST].version == 4


async def test_what_has_ended_has_ended_again(pool, tmp_path: Path) -> None:
    """Revocations, their grants and the lost list come back; versions pass what was published; all lists are closed."""
    await restored(pool, tmp_path)
    lists, faults = read_directory(tmp_path, issuer=ISSUER)
    assert not faults
    async with pool.acquire() as conn:
        done = await recover(conn, lists, now=NOW)
        assert (done.merged, done.added, done.revocations, done.sessions) == (1, 1, 3, 3)
        ended = "SELECT status_index FROM grants WHERE ended_by = 'recovered' ORDER BY 1"
        assert [row[0] for row in await conn.fetch(ended)] == [1, 2, 3]
        assert await conn.fetchval("SELECT count(*) FROM status_lists WHERE closed_at IS NULL") == 0
    async with replica(pool, tmp_path) as one:
        await one.lists.turn()
        said = written(tmp_path)
        assert said[LIST].revoked == {1, 2, 3}
        assert said[NEXT].revoked == {9}
        assert (said[LIST].version, said[NEXT].version) == (5, 3)
        assert one.lists.find(LIST) is not None
        entry_lists = await pool.fetch("SELECT id FROM status_lists WHERE closed_at IS NULL")
        assert len(entry_lists) == 1, "a new one was made"


async def test_a_running_server_gives_out_nothing_more_of_what_a_recovery_closed(pool, dsn, tmp_path: Path) -> None:
    """Blocks in its memory are thrown away when it hears of it: somebody may have their entries since the backup. And
    readiness says that nobody can log in when that is so."""
    async with replica(pool, tmp_path) as one, running(one, dsn):
        first = (await one.entries.take()).list_id
        assert one.entries.held > 0
        lists, _ = read_directory(tmp_path, issuer=ISSUER)
        async with pool.acquire() as conn:
            await recover(conn, lists, now=NOW)
        await until(lambda: one.entries.held == 0)
        with pytest.raises(NoListOpen):
            await one.entries.take()
        assert (await one.lists.check()) == "no status list is open yet: nobody can log in"
        await pool.execute("UPDATE status_lists SET open_after = now(), published_at = now() WHERE closed_at IS NULL")
        assert (await one.entries.take()).list_id != first


async def test_to_recover_twice_does_no_harm(pool, tmp_path: Path) -> None:
    """Nobody is ended for it, and nothing is set anew."""
    await restored(pool, tmp_path)
    lists, _ = read_directory(tmp_path, issuer=ISSUER)
    async with pool.acquire() as conn:
        await recover(conn, lists, now=NOW)
        again = await recover(conn, lists, now=NOW)
    assert (again.merged, again.added, again.closed, again.revocations, again.sessions) == (2, 0, 0, 0, 0)


async def test_what_is_no_list_of_this_issuer_is_told_and_left_out(pool, tmp_path: Path) -> None:
    """A copy under another name, rubbish, another issuer's: none of them ends a session."""
    await restored(pool, tmp_path)
    status = tmp_path / "status"
    shutil.copy(status / f"{NEXT}.jwt", status / ("C" * 16 + ".jwt"))
    (status / ("D" * 16 + ".jwt")).write_text("rubbish")
    (status / ".hidden.jwt").write_text("rubbish")
    (status / "README").write_text("rubbish")
    lists, faults = read_directory(tmp_path, issuer=ISSUER)
    assert [one.list_id for one in lists] == [LIST, NEXT]
    assert len(faults) == 2
    lists, faults = read_directory(tmp_path, issuer="https://other.example")
    assert not lists
    assert len(faults) == 4


async def test_a_recovery_that_fails_leaves_nothing_behind(pool, tmp_path: Path) -> None:
    """One transaction: a database that breaks it in the middle is as it was."""
    await restored(pool, tmp_path)
    lists, _ = read_directory(tmp_path, issuer=ISSUER)
    async with pool.acquire() as conn:
        await conn.execute("ALTER TABLE grants ADD CHECK (ended_by <> 'recovered')")
        with pytest.raises(asyncpg.CheckViolationError):
            await recover(conn, lists, now=NOW)
        assert await conn.fetchval("SELECT count(*) FROM status_lists WHERE id = $1", NEXT) == 0
        assert await conn.fetchval("SELECT count(*) FROM grants WHERE ended_at IS NOT NULL") == 0


def test_a_directory_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        read_directory(tmp_path / "nowhere", issuer=ISSUER)


async def test_a_version_that_falls_under_a_running_server_stops_its_list(pool) -> None:
    """Without any directory: memory knows more. It is not served and not signed, nothing is given out of it, and what
    was set stays set when the version has passed it again."""
    async with pool.acquire() as conn:
        await add_list(conn, LIST)
        await revoke(conn, LIST, [1])
        await revoke(conn, LIST, [2])
        async with replica(pool) as one:
            assert (await one.entries.take()).list_id == LIST
            await conn.execute("DELETE FROM status_revocations WHERE index = 2")
            await conn.execute("UPDATE status_lists SET version = 2")
            await one.lists.turn()
            assert "has fallen to 2" in (await one.lists.check() or "")
            with pytest.raises(NothingPublished):
                one.lists.find(LIST)
            with pytest.raises(NoListOpen):
                await one.entries.take()
            await revoke(conn, LIST, [3])
            await one.lists.turn()
            assert one.said(LIST).revoked == {1, 2, 3}
            assert await one.lists.check() is None
