"""Status lists from a watched directory: quick to follow a logout, deaf to what is no list of ours."""

import asyncio
import os
import shutil
import time
from pathlib import Path

import pytest

from farseal import clock
from farseal.sources import DirectorySource, lists_reading
from farseal.sources import file as file_source
from farseal.sources.lists import NO_ROOM
from farseal.sources.lists_reading import REJUDGE_SECONDS, ListsReader
from farseal.status_list import MAX_LIST_TOKEN_BYTES, StatusList
from farseal.trust import StatusLimits
from tests.support.tokens import ISSUER, Issuer, jwk, private_key, write
from tests.verification.test_file_source import until

NOW = clock.now()
FIRST, SECOND = Issuer(NOW, kid="first"), Issuer(NOW, kid="second")
URI = FIRST.list_uri
TWO = URI.replace("one", "two")


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return FIRST.publish_lists(FIRST.publish(tmp_path / "trust"))


def two(revoked=()) -> bytes:
    return FIRST.status_list(revoked, sub=TWO)


def publish(directory: Path, revoked=()) -> None:
    """As a publisher does it: the list first, then the index."""
    FIRST.publish_lists(directory, {URI: FIRST.status_list(revoked)})


def lists(source: DirectorySource) -> dict[str, StatusList]:
    trust = source.snapshot.issuers.get(ISSUER)
    return {} if trust is None else {uri.rpartition("/")[2]: one for uri, one in trust.lists.items()}


def revoked(source: DirectorySource, index: int = 3, name: str = "one.jwt") -> bool:
    one = lists(source).get(name)
    return one is not None and one.value(index) == 1


def refusal(source: DirectorySource) -> str | None:
    return source.status().issuers[ISSUER].lists.refusal


async def silence(*_paths: Path, **_options: object):
    await asyncio.Event().wait()
    yield set()


async def test_lists_are_in_force_before_the_first_request(directory) -> None:
    """`start` returns with keys and lists."""
    async with DirectorySource(directory, ISSUER, status_limits=StatusLimits(7, 9)) as source:
        assert set(lists(source)) == {"one.jwt"}
        assert source.snapshot.issuers[ISSUER].status_limits == StatusLimits(7, 9)
        assert (source.snapshot.generation, refusal(source)) == (1, None)


def renamed(directory: Path) -> None:
    write(directory / "status" / "one.jwt", FIRST.status_list([3]))


def whole(directory: Path) -> None:
    publish(directory, [3])


def overwritten(directory: Path) -> None:
    (directory / "status" / "one.jwt").write_bytes(FIRST.status_list([3]))


def folder_replaced(directory: Path) -> None:
    (directory / "status").rename(directory / "old")
    publish(directory, [3])


def directory_replaced(directory: Path) -> None:
    new = FIRST.publish(directory.parent / "new")
    publish(new, [3])
    directory.rename(directory.parent / "old")
    new.rename(directory)


@pytest.mark.parametrize("events", [pytest.param(True, id="events"), pytest.param(False, id="no-events")])
@pytest.mark.parametrize("change", [renamed, whole, overwritten, folder_replaced, directory_replaced])
async def test_a_logout_is_in_force_within_a_second(directory, change, events, monkeypatch) -> None:
    """However it came; also where the file system tells nobody. No verdict on a signature changes."""
    if not events:
        monkeypatch.setattr(file_source, "awatch", silence)
    async with DirectorySource(directory, ISSUER) as source:
        await asyncio.sleep(0.2)
        change(directory)
        await until(lambda: revoked(source))
        assert source.snapshot.generation == 1


@pytest.mark.parametrize("later", [False, True], ids=["there-at-the-start", "made-later"])
async def test_events_in_the_directory_of_lists_wake_the_look(tmp_path, later) -> None:
    """With looks of its own a minute apart, only an event can be as quick; twenty times in a row."""
    directory = FIRST.publish(tmp_path / "trust")
    if not later:
        publish(directory)
    async with DirectorySource(directory, ISSUER, poll_seconds=0.3) as source:
        await asyncio.sleep(0.5)
        if later:
            publish(directory)
            await until(lambda: "one.jwt" in lists(source))
            await asyncio.sleep(0.5)
        source._workers[ISSUER]._poll_seconds = 60
        await asyncio.sleep(0.5)
        for index in range(1, 6):
            write(directory / "status" / "one.jwt", FIRST.status_list(range(index)))
            await until(lambda: revoked(source, index - 1))  # noqa: B023 - awaited here


async def test_a_list_that_is_added_and_one_that_leaves(directory) -> None:
    """The index decides: a file that it does not name is nobody's."""
    write(directory / "status" / "two.jwt", two())
    async with DirectorySource(directory, ISSUER) as source:
        assert set(lists(source)) == {"one.jwt"}
        FIRST.publish_lists(directory, {URI: FIRST.status_list(), TWO: two()})
        await until(lambda: set(lists(source)) == {"one.jwt", "two.jwt"})
        FIRST.publish_lists(directory, {TWO: two()})
        await until(lambda: set(lists(source)) == {"two.jwt"})


async def test_an_issuer_without_an_index_has_no_lists(tmp_path) -> None:
    """That is no fault."""
    async with DirectorySource(FIRST.publish(tmp_path / "trust"), ISSUER) as source:
        assert (lists(source), refusal(source)) == ({}, None)


async def test_an_index_that_goes_leaves_its_lists_in_force(directory) -> None:
    """Whoever publishes none any more says so with an index that is empty; a file that is gone is an accident."""
    async with DirectorySource(directory, ISSUER) as source:
        (directory / "status-lists.json").unlink()
        await until(lambda: refusal(source) == "status-lists.json: missing")
        assert set(lists(source)) == {"one.jwt"}
        FIRST.publish_lists(directory, {})
        await until(lambda: lists(source) == {})
        assert refusal(source) is None


def link_to_a_device(file: Path) -> None:
    file.symlink_to("/dev/zero")


def link_in_a_circle(file: Path) -> None:
    file.symlink_to(file.name)


def link_to_nothing(file: Path) -> None:
    file.symlink_to(file.parent / "nothing")


def link_to_a_secret(file: Path) -> None:
    file.symlink_to("/etc/passwd")


def huge(file: Path) -> None:
    with file.open("wb") as sparse:
        sparse.truncate(MAX_LIST_TOKEN_BYTES + 1)


def half(file: Path) -> None:
    file.write_bytes(FIRST.status_list([3])[:-42])


def token(file: Path) -> None:
    file.write_bytes(FIRST.mint().encode())


HOSTILE = [
    pytest.param(os.mkfifo, "not a regular file", id="fifo"),
    pytest.param(link_to_a_device, "not a regular file", id="a-link-to-a-device"),
    pytest.param(link_in_a_circle, "too many levels of symbolic links", id="a-link-in-a-circle"),
    pytest.param(link_to_nothing, "missing", id="a-link-to-nothing"),
    pytest.param(Path.mkdir, "not a regular file", id="a-directory"),
    pytest.param(huge, f"larger than {MAX_LIST_TOKEN_BYTES} bytes", id="huge"),
    pytest.param(lambda _file: None, "missing", id="missing"),
    pytest.param(Path.touch, "The token does not have three parts", id="empty"),
    pytest.param(half, "The signature of the token does not match", id="half-written"),
    pytest.param(token, "The token is not a status list (typ statuslist+jwt)", id="an-access-token"),
    pytest.param(link_to_a_secret, "The token does not have three parts", id="a-link-to-a-file-of-others"),
]


@pytest.mark.parametrize(("put", "reason"), HOSTILE)
async def test_whatever_lies_in_the_place_of_a_list_the_last_good_one_stays(directory, put, reason) -> None:
    """And the lists beside it go on; what is right again is taken again."""
    FIRST.publish_lists(directory, {URI: FIRST.status_list([1]), TWO: two()})
    async with DirectorySource(directory, ISSUER) as source:
        file = directory / "status" / "one.jwt"
        file.unlink()
        put(file)
        await until(lambda: refusal(source) == f"status/one.jwt: {reason}")
        write(directory / "status" / "two.jwt", two([3]))
        await until(lambda: revoked(source, 3, "two.jwt"))
        assert revoked(source, 1)
        assert source.status().workers[ISSUER].failure is None
        file.rmdir() if file.is_dir() else file.unlink(missing_ok=True)
        write(file, FIRST.status_list([1, 3]))
        await until(lambda: revoked(source) and refusal(source) is None)


@pytest.mark.parametrize(
    ("put", "reason"),
    [
        pytest.param(os.mkfifo, "not a regular file", id="fifo"),
        pytest.param(link_to_a_device, "not a regular file", id="a-link-to-a-device"),
        pytest.param(half, "The index is not usable: JSON is malformed", id="no-json"),
        pytest.param(Path.mkdir, "not a regular file", id="a-directory"),
        pytest.param(huge, "larger than 1048576 bytes", id="huge"),
        pytest.param(
            lambda file: file.write_bytes(Issuer(NOW, issuer="https://other.example").status_index({})),
            "The index is of another issuer",
            id="of-another-issuer",
        ),
    ],
)
async def test_whatever_lies_in_the_place_of_the_index_all_lists_stay(directory, put, reason) -> None:
    """And so do the keys."""
    async with DirectorySource(directory, ISSUER) as source:
        file = directory / "status-lists.json"
        file.unlink()
        put(file)
        await until(lambda: (refusal(source) or "").startswith(f"status-lists.json: {reason}"))
        assert set(lists(source)) == {"one.jwt"}
        file.rmdir() if file.is_dir() else file.unlink()
        publish(directory, [3])
        await until(lambda: revoked(source))


@pytest.mark.parametrize("outside", [False, True], ids=["in-the-directory", "out-of-it"])
async def test_links_are_followed_because_volumes_are_made_of_them(directory, outside) -> None:
    """A list is believed for its signature, and never for where it lies."""
    place = directory.parent / "elsewhere" if outside else directory / "..data"
    shutil.move(directory / "status", place)
    (directory / "status").symlink_to(place)
    async with DirectorySource(directory, ISSUER) as source:
        assert set(lists(source)) == {"one.jwt"}
        write(place / "one.jwt", FIRST.status_list([3]))
        await until(lambda: revoked(source))


async def test_a_hundred_thousand_files_cost_nothing(directory) -> None:
    """Only what the index names is looked at."""
    for number in range(100_000):
        os.close(os.open(directory / "status" / f"{number}.jwt", os.O_CREAT | os.O_WRONLY))
    async with DirectorySource(directory, ISSUER) as source:
        assert set(lists(source)) == {"one.jwt"}
        publish(directory, [3])
        await until(lambda: revoked(source))


async def test_lists_past_the_bound_of_all_are_not_even_opened(directory, monkeypatch) -> None:
    """In the order of the index; those before it are in force."""
    monkeypatch.setattr(lists_reading, "MAX_ALL_LISTS_BYTES", 8)
    FIRST.publish_lists(directory, {URI: FIRST.status_list(), TWO: two()})
    async with DirectorySource(directory, ISSUER) as source:
        assert set(lists(source)) == {"one.jwt"}
        assert refusal(source) == f"status/two.jwt: {NO_ROOM}"


async def test_what_has_not_changed_is_not_read_again(directory, monkeypatch) -> None:
    """Nor judged: neither a list in force, nor for a while one that is no good."""
    FIRST.publish_lists(directory, {URI: FIRST.status_list(), TWO: FIRST.mint().encode()})
    read: list[str] = []
    judged: list[str] = []
    document, judge = lists_reading.read_document, lists_reading.read_status_list
    monkeypatch.setattr(
        lists_reading, "read_document", lambda name, *a, **k: (read.append(name), document(name, *a, **k))[1]
    )
    monkeypatch.setattr(
        lists_reading, "read_status_list", lambda d, uri, **k: (judged.append(uri[-7:]), judge(d, uri, **k))[1]
    )
    async with DirectorySource(directory, ISSUER) as source:
        trust = source.snapshot.issuers[ISSUER]
    read.clear()
    judged.clear()
    reader, at = ListsReader(directory, ISSUER), clock.now() + 60
    reader.look(trust, at)
    assert (read, judged) == (["status-lists.json", "one.jwt", "two.jwt"], ["one.jwt", "two.jwt"])
    for later in (0, 1, REJUDGE_SECONDS - 1):
        reader.look(trust, at + later)
    assert len(read) == 3
    reader.look(trust, at + REJUDGE_SECONDS)
    assert read[3:] == ["two.jwt"]


async def test_keys_and_a_list_signed_by_a_new_one_come_together(directory) -> None:
    """In one look, as after a rotation while the service slept; a list by a key not yet there waits for it."""
    async with DirectorySource(directory, ISSUER) as source:
        write(directory / "status" / "one.jwt", SECOND.status_list([3]))
        await until(lambda: refusal(source) == "status/one.jwt: Its key is not one of the issuer")
        write(directory / "jwks.json", FIRST.jwks(jwk(private_key("second"), "second")))
        await until(lambda: revoked(source) and refusal(source) is None)


async def test_a_withdrawn_key_takes_its_lists_with_it_until_they_are_signed_anew(directory) -> None:
    """At once, with the key set that withdraws it."""
    async with DirectorySource(directory, ISSUER) as source:
        write(directory / "jwks.json", SECOND.jwks(sequence=2, revoked=["first"]))
        await until(lambda: lists(source) == {} and source.snapshot.generation == 2)
        await until(lambda: refusal(source) == "status/one.jwt: Its key has been withdrawn")
        write(directory / "status" / "one.jwt", SECOND.status_list([3]))
        await until(lambda: revoked(source))


async def test_a_list_from_the_future_is_taken_once_the_clock_is_right(directory) -> None:
    """A machine without a clock of its own begins in 1970."""
    at = [0]
    async with DirectorySource(directory, ISSUER, clock=lambda: at[0]) as source:
        assert refusal(source) == "status/one.jwt: It was issued in the future"
        at[0] = clock.now()
        await until(lambda: "one.jwt" in lists(source))


async def test_a_directory_that_is_gone_leaves_everything_in_force(directory) -> None:
    """And is told of both."""
    async with DirectorySource(directory, ISSUER) as source:
        directory.rename(directory.parent / "gone")
        await until(lambda: refusal(source) == "status-lists.json: the directory: missing")
        assert set(lists(source)) == {"one.jwt"}
        (directory.parent / "gone").rename(directory)
        await until(lambda: refusal(source) is None)
        shutil.rmtree(directory / "status")
        await until(lambda: refusal(source) == "status/one.jwt: the directory: missing")
        assert set(lists(source)) == {"one.jwt"}


def follow(directory: Path) -> Path:
    """Beside the directory, its successor: the key that signed the lists is withdrawn, and they are signed anew."""
    new = SECOND.publish(directory.parent / "new")
    write(new / "jwks.json", SECOND.jwks(revoked=["first"]))
    names = {f"{URI.rpartition('/')[0]}/{number}.jwt": number for number in range(20)}
    FIRST.publish_lists(directory, {uri: FIRST.status_list(sub=uri) for uri in names})
    SECOND.publish_lists(new, {uri: SECOND.status_list(sub=uri) for uri in names})
    return new


async def test_keys_and_the_lists_that_follow_them_are_in_force_in_one_moment(directory) -> None:
    """A volume shows a new state whole: no request must find keys without lists, and get 503."""
    new, place = follow(directory), directory.parent / "link"
    place.symlink_to(directory)
    async with DirectorySource(place, ISSUER) as source:
        await until(lambda: len(lists(source)) == 20)
        (directory.parent / "next").symlink_to(new)
        (directory.parent / "next").rename(place)
        seen = set()
        async with asyncio.timeout(5):
            while (0, frozenset({"second"})) not in seen and (20, frozenset({"second"})) not in seen:
                seen.add((len(lists(source)), frozenset(source.snapshot.issuers[ISSUER].keys)))
                await asyncio.sleep(0)
        assert seen == {(20, frozenset({"first"})), (20, frozenset({"second"}))}
        assert {one.kid for one in lists(source).values()} == {"second"}


async def test_a_withdrawn_key_does_not_wait_for_lists_that_hang(directory, monkeypatch) -> None:
    """It is out of force within a second, and the lists that it signed with it."""
    new = follow(directory)
    async with DirectorySource(directory, ISSUER) as source:
        await until(lambda: len(lists(source)) == 20)
        look = ListsReader.look

        def slow(self, trust, at):
            if trust.revoked:
                time.sleep(3)
            return look(self, trust, at)

        monkeypatch.setattr(ListsReader, "look", slow)
        directory.rename(directory.parent / "old")
        new.rename(directory)
        await until(lambda: "first" not in source.snapshot.issuers[ISSUER].keys)
        assert lists(source) == {}
        await until(lambda: len(lists(source)) == 20, 10)
