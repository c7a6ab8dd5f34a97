"""The list: pages that join without a gap or a repetition, whatever happens between them."""

import asyncio
import random
from typing import Any

import pytest

from farseal_testing.issuer import Issuer
from tests.resources.people import Person, person
from tests.resources.stack import Service


async def create(notes: Service, who: Person, title: str = "t", body: str = "") -> str:
    answer = await notes.ask("POST", "/notes", who.token(), json={"title": title, "body": body})
    note_id = answer.json["id"]
    assert isinstance(note_id, str)
    return note_id


async def page(notes: Service, who: Person, limit: int, cursor: str | None = None, more: str = "") -> Any:
    query = f"/notes?limit={limit}" + (f"&cursor={cursor}" if cursor else "") + more
    answer = await notes.ask("GET", query, who.token())
    assert answer.status == 200, answer.body
    return answer.json


async def walk(notes: Service, who: Person, limit: int, more: str = "") -> list[str]:
    """All ids, page by page."""
    ids: list[str] = []
    cursor = None
    while True:
        found = await page(notes, who, limit, cursor, more)
        ids += [note["id"] for note in found["notes"]]
        cursor = found["next_cursor"]
        if cursor is None:
            return ids
        assert len(found["notes"]) == limit


async def test_an_empty_list(notes: Service, issuer: Issuer) -> None:
    """No notes is no error."""
    answer = await notes.ask("GET", "/notes", person(issuer).token())
    assert (answer.status, answer.json) == (200, {"notes": [], "next_cursor": None})
    assert answer.headers["Cache-Control"] == "private, no-cache"


async def test_what_an_entry_shows(notes: Service, issuer: Issuer) -> None:
    """All but the body, of which it tells the length in code points."""
    alice = person(issuer, org_id="acme")
    note_id = await create(notes, alice, "title", "ü☕\U0001f600")
    note = (await notes.ask("GET", f"/notes/{note_id}", alice.token())).json
    del note["body"]
    assert (await page(notes, alice, 1))["notes"] == [note | {"characters": 3}]


@pytest.mark.parametrize("limit", [1, 2, 3, 6, 7, 8, 100])
async def test_pages_join(notes: Service, issuer: Issuer, limit: int) -> None:
    """Any page size gives the same seven notes, newest first, and no empty page at the end."""
    alice = person(issuer)
    made = [await create(notes, alice) for _ in range(7)]
    assert await walk(notes, alice, limit) == made[::-1]


async def test_a_page_is_twenty_unless_told(notes: Service, issuer: Issuer) -> None:
    """The default limit."""
    alice = person(issuer)
    for _ in range(21):
        await create(notes, alice)
    answer = await notes.ask("GET", "/notes", alice.token())
    assert len(answer.json["notes"]) == 20
    assert answer.json["next_cursor"] is not None


@pytest.mark.parametrize("seed", range(4))
async def test_pages_are_stable_under_changes(notes: Service, issuer: Issuer, seed: int) -> None:
    """Notes that stay are listed exactly once, while others are created, changed and deleted between the pages."""
    chance = random.Random(seed)
    alice = person(issuer)
    made = [await create(notes, alice) for _ in range(20)]
    doomed = set(chance.sample(made, 6))
    listed: list[str] = []
    cursor = None
    while True:
        found = await page(notes, alice, 3, cursor)
        listed += [note["id"] for note in found["notes"]]
        cursor = found["next_cursor"]
        if cursor is None:
            break
        await asyncio.gather(*(create(notes, alice) for _ in range(3)))
        changed = chance.choice(made)
        await notes.ask(
            "PUT", f"/notes/{changed}", alice.token(), headers={"If-Match": "*"}, json={"title": "u", "body": "v"}
        )
        # The very note that the cursor stands on may be the one that goes.
        for gone in [listed[-1]] if listed[-1] in doomed else chance.sample(sorted(doomed), 1):
            await notes.ask("DELETE", f"/notes/{gone}", alice.token())
    stayed = [note_id for note_id in made[::-1] if note_id not in doomed]
    assert [note_id for note_id in listed if note_id in set(stayed)] == stayed
    assert len(listed) == len(set(listed))


async def test_an_admins_list_joins_two_walks(notes: Service, issuer: Issuer) -> None:
    """Own notes of any organisation and everybody's of this one, in one order, each once, at every page size."""
    org = f"org-{random.getrandbits(64):x}"
    admin = person(issuer, org_id=org, roles=["org_admin"])
    moved = Person(issuer, admin.subject, {"org_id": "elsewhere"})
    bob, stranger = person(issuer, org_id=org), person(issuer, org_id="elsewhere")
    made = []
    for writer in (admin, bob, moved, bob, stranger, admin, moved, bob, stranger, bob):
        note_id = await create(notes, writer)
        if writer is not stranger:
            made.append(note_id)
    own = [made[0], made[2], made[4], made[5]]
    for limit in range(1, 10):
        assert await walk(notes, admin, limit) == made[::-1]
        assert await walk(notes, admin, limit, "&owner=me") == own[::-1]


async def test_a_cursor_of_somebody_else_shows_ones_own_notes(notes: Service, issuer: Issuer) -> None:
    """A cursor is a place and no permission."""
    alice, bob = person(issuer), person(issuer)
    bobs = [await create(notes, bob) for _ in range(2)]
    for _ in range(3):
        await create(notes, alice)
    cursor = (await page(notes, alice, 1))["next_cursor"]
    assert [note["id"] for note in (await page(notes, bob, 100, cursor))["notes"]] == bobs[::-1]


@pytest.mark.parametrize(
    ("query", "code"),
    [
        pytest.param("limit=0", "parameter_invalid", id="limit-0"),
        pytest.param("limit=101", "parameter_invalid", id="limit-101"),
        pytest.param("limit=-1", "parameter_invalid", id="limit-negative"),
        pytest.param("limit=", "parameter_invalid", id="limit-empty"),
        pytest.param("limit=1.0", "parameter_invalid", id="limit-fraction"),
        pytest.param("limit=%2B1", "parameter_invalid", id="limit-with-a-sign"),
        pytest.param("limit=%D9%A3", "parameter_invalid", id="limit-in-other-digits"),
        pytest.param("limit=1_0", "parameter_invalid", id="limit-as-python-reads-it"),
        pytest.param("limit=" + "9" * 5000, "parameter_invalid", id="limit-enormous"),
        pytest.param("limit=1&limit=2", "parameter_repeated", id="limit-twice"),
        pytest.param("cursor=", "parameter_invalid", id="cursor-empty"),
        pytest.param("cursor=0", "parameter_invalid", id="cursor-made-up"),
        pytest.param("cursor=%00", "parameter_invalid", id="cursor-nul"),
        pytest.param("cursor=AAAAAAAAAAAAAAAAAAAAAA", "parameter_invalid", id="cursor-of-the-right-length"),
        pytest.param("owner=", "parameter_invalid", id="owner-empty"),
        pytest.param("owner=you", "parameter_invalid", id="owner-somebody"),
        pytest.param("curser=x", "parameter_unknown", id="unknown"),
        pytest.param("Limit=1", "parameter_unknown", id="names-are-compared-with-case"),
        pytest.param("%FF=1", "parameter_unknown", id="name-not-utf-8"),
    ],
)
async def test_bad_parameters(notes: Service, issuer: Issuer, query: str, code: str) -> None:
    """Each is refused with its name, none is guessed at."""
    answer = await notes.ask("GET", f"/notes?{query}", person(issuer).token())
    assert (answer.status, answer.code) == (400, code)


async def test_an_edited_cursor_is_refused(notes: Service, issuer: Issuer) -> None:
    """Each of its characters counts."""
    alice = person(issuer)
    for _ in range(2):
        await create(notes, alice)
    cursor = (await page(notes, alice, 1))["next_cursor"]
    for place, old in enumerate(cursor):
        edited = cursor[:place] + ("A" if old != "A" else "B") + cursor[place + 1 :]
        assert (await notes.ask("GET", f"/notes?cursor={edited}", alice.token())).code == "parameter_invalid"
