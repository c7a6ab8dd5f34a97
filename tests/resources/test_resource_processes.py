"""Both resource servers as processes: start, refusal to start, restart without an issuer, and the end."""

import asyncio
import socket
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from farseal_testing.issuer import Issuer
from tests.resources.people import person, token_of
from tests.resources.processes import notes_environment, reports_environment, run_to_end, serving
from tests.resources.stack import Service
from tests.support.postgres import NewDatabase

NO_STOP = None


def service(url: str, ops_url: str) -> Service:
    return Service(url, ops_url, NO_STOP)  # type: ignore[arg-type] # a process is stopped by its signal


async def test_restarts_while_the_issuer_is_absent(new_database: NewDatabase, issuer: Issuer) -> None:
    """Nothing answers at the issuer's address, ever: both servers start, verify, restart, and verify the same token."""
    environ = notes_environment(await new_database(), issuer, RESOURCE_A_MIGRATE_ON_START="true")
    token = token_of(issuer)
    created = None
    for _ in range(2):
        async with serving("resource_a", environ=environ) as one:
            notes = service(one.url, one.ops_url)
            if created is None:
                created = await notes.ask("POST", "/notes", token, json={"title": "kept"})
                assert created.status == 201
            assert (await notes.ask("GET", created.headers["Location"], token)).json == created.json
            async with serving("resource_b", environ=reports_environment(one.url, issuer)) as two:
                reports = service(two.url, two.ops_url)
                report = await reports.ask("GET", "/reports/mine", token)
                assert (report.status, report.json["notes"]["count"]) == (200, 1)
                for one_of_both in (notes, reports):
                    (trusted,) = (await one_of_both.ask("GET", "/trust", ops=True)).json["issuers"]
                    assert (trusted["issuer"], trusted["kids"]) == (issuer.issuer, [issuer.signer])
                    assert (await one_of_both.ask("GET", "/trust")).status == 401, "not where the API is"


async def test_a_start_without_documents(new_database: NewDatabase, tmp_path: Path, issuer: Issuer) -> None:
    """No key has ever arrived: it starts, is not ready, answers 503 and never 401, and recovers when they come."""
    environ = notes_environment(await new_database(), issuer, RESOURCE_A_MIGRATE_ON_START="true")
    unpublished = issuer.directory.rename(tmp_path / "unpublished")
    async with serving("resource_a", environ=environ) as one:
        notes = service(one.url, one.ops_url)
        answer = await notes.ask("GET", "/notes", token_of(issuer))
        assert (answer.status, answer.code) == (503, "trust_unavailable")
        ready = await notes.ask("GET", "/readyz", ops=True)
        assert (ready.status, "trust" in ready.json["reasons"]) == (503, True)
        unpublished.rename(issuer.directory)
        began = time.monotonic()
        while (await notes.ask("GET", "/readyz", ops=True)).status != 200:
            assert time.monotonic() - began < 5
        assert (await notes.ask("GET", "/notes", token_of(issuer))).status == 200


async def test_migrating_by_hand(new_database: NewDatabase, issuer: Issuer) -> None:
    """Without tables it says so and ends; after `migrate` it would serve; a second `migrate` does nothing."""
    environ = notes_environment(await new_database(), issuer)
    refused = await run_to_end("resource_a", environ=environ)
    assert refused.code == 1
    assert "python -m resource_a migrate" in refused.err
    assert "Traceback" not in refused.err
    own = {name: value for name, value in environ.items() if name.startswith("RESOURCE_A_")}
    first = await run_to_end("resource_a", "migrate", environ=own)
    assert (first.code, first.out) == (0, "applied 0001_notes.sql\n"), first.err
    second = await run_to_end("resource_a", "migrate", environ=own)
    assert (second.code, second.out) == (0, "nothing to apply\n")
    async with serving("resource_a", environ=environ):
        pass


async def test_migrating_what_is_not_there() -> None:
    """One line, an exit code, no traceback and no password."""
    ended = await run_to_end(
        "resource_a",
        "migrate",
        environ={
            "RESOURCE_A_DATABASE_URL": "postgresql://notes:s3cret@127.0.0.1:1/notes",
            "RESOURCE_A_START_SECONDS": "0.2",
        },
    )
    assert ended.code == 1
    assert "cannot migrate" in ended.err
    assert "Traceback" not in ended.err
    assert "s3cret" not in ended.err + ended.out


@pytest.mark.parametrize("module", ["resource_a", "resource_b"])
async def test_every_fault_of_the_settings_at_once(module: str) -> None:
    """Five faults, of both prefixes, are five lines; the code is 2, and a secret is not quoted."""
    own = module.upper()
    environ = {
        f"{own}_PORT": "70000",
        f"{own}_LOG_LEVEL": "loud",
        f"{own}_PROT": "9001",
        "FARSEAL_ISSUER": "ftp://issuer",
        "FARSEAL_LEEWAY_SECONDS": "-1",
        "RESOURCE_A_DATABASE_URL": "mysql://s3cret",
        "RESOURCE_B_NOTES_URL": "http://user:s3cret@notes?x=1",
    }
    ended = await run_to_end(module, environ=environ)
    assert ended.code == 2
    for name in (f"{own}_PORT", f"{own}_LOG_LEVEL", f"{own}_PROT", "FARSEAL_ISSUER", "FARSEAL_LEEWAY_SECONDS"):
        assert name in ended.err
    assert f"did you mean {own}_PORT?" in ended.err
    assert "FARSEAL_AUDIENCE" in ended.err
    assert "s3cret" not in ended.err
    assert "Traceback" not in ended.err


@pytest.mark.parametrize("url", ["http://user:s3cret@notes", "http://notes?x=1", "file:///notes", "notes"])
async def test_where_a_token_may_not_be_sent(url: str, issuer: Issuer) -> None:
    """The address of the notes service is an http(s) URL without query or credentials."""
    ended = await run_to_end("resource_b", environ=reports_environment(url, issuer))
    assert ended.code == 2
    assert "RESOURCE_B_NOTES_URL" in ended.err


async def test_a_busy_port_is_one_line(issuer: Issuer) -> None:
    """Told with the variable to change."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        ended = await run_to_end(
            "resource_b", environ=reports_environment("http://127.0.0.1:1", issuer, RESOURCE_B_PORT=port)
        )
    assert ended.code == 2
    assert "RESOURCE_B_PORT" in ended.err
    assert "Traceback" not in ended.err


async def test_the_log_holds_no_secret(new_database: NewDatabase, issuer: Issuer) -> None:
    """At the finest level, over good and bad requests: no token, no password, no text of a note."""
    dsn = await new_database()
    good, bad = person(issuer).token(), token_of(issuer, lifetime=-3600)
    environ = notes_environment(dsn, issuer, RESOURCE_A_MIGRATE_ON_START="true", RESOURCE_A_LOG_LEVEL="debug")
    async with serving("resource_a", environ=environ) as one:
        notes = service(one.url, one.ops_url)
        for token in (good, bad, "x.y.z"):
            await notes.ask("POST", "/notes", token, json={"title": "a private title"})
            await notes.ask("GET", f"/notes?access_token={good}", token)
            await notes.ask("GET", f"/notes/{good[:40]}", token)
        reports_environ = reports_environment(one.url, issuer, RESOURCE_B_LOG_LEVEL="debug")
        async with serving("resource_b", environ=reports_environ) as two:
            await service(two.url, two.ops_url).ask("GET", "/reports/mine", good)
            one.process.kill()
            await one.process.wait()
            failed = await service(two.url, two.ops_url).ask("GET", "/reports/mine", good)
            assert failed.code == "upstream_unreachable"
    log = "\n".join(one.lines + two.lines)
    assert one.events
    assert any(event.get("code") == "upstream_unreachable" for event in two.events)
    for secret in (good, good[-60:], bad[-60:], urlsplit(dsn).password, "a private title", "Bearer"):
        assert secret
        assert secret not in log


async def test_the_end_lets_requests_finish(new_database: NewDatabase, issuer: Issuer) -> None:
    """A body that is still arriving when SIGTERM comes is read to its end and answered."""
    environ = notes_environment(
        await new_database(), issuer, RESOURCE_A_MIGRATE_ON_START="true", RESOURCE_A_DRAIN_SECONDS="1"
    )
    async with serving("resource_a", environ=environ) as one:
        port = int(one.url.rpartition(":")[2])
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        body = b'{"title": "slow"}'
        head = (
            f"POST /notes HTTP/1.1\r\nHost: notes\r\nAuthorization: Bearer {token_of(issuer)}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        writer.write(head.encode() + body[:5])
        await writer.drain()
        await asyncio.sleep(0.2)
        one.process.terminate()
        await asyncio.sleep(0.3)
        writer.write(body[5:])
        await writer.drain()
        assert (await reader.readline()).startswith(b"HTTP/1.1 201")
        assert await one.process.wait() == 0
        writer.close()
