"""Whose notes are whose: every kind of caller against every kind of note, with every method."""

from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import pytest

from farseal_testing.forge import Forgery
from farseal_testing.issuer import Issuer
from tests.resources.people import Person, person, token_of
from tests.resources.stack import Service

OWN = {"GET": 200, "PUT": 200, "DELETE": 204}
READ_ONLY = {"GET": 200, "PUT": 403, "DELETE": 403}
HIDDEN = {"GET": 404, "PUT": 404, "DELETE": 404}


@dataclass(frozen=True, slots=True)
class Asks:
    """A caller, told by what differs from the owner of the note."""

    claims: dict[str, Any]
    note_org: str | None = "acme"
    same_person: bool = False


@pytest.mark.parametrize(
    ("asks", "answers"),
    [
        pytest.param(Asks({"org_id": "acme"}, same_person=True), OWN, id="the-owner"),
        pytest.param(Asks({"org_id": "acme", "roles": ["org_admin"]}, same_person=True), OWN, id="an-owning-admin"),
        pytest.param(Asks({"org_id": "globex"}, same_person=True), OWN, id="the-owner-after-a-move"),
        pytest.param(Asks({"org_id": None}, same_person=True), OWN, id="the-owner-without-an-organisation"),
        pytest.param(Asks({"org_id": "acme"}), HIDDEN, id="a-colleague"),
        pytest.param(Asks({"org_id": "acme", "roles": ["analyst"]}), HIDDEN, id="a-colleague-of-another-role"),
        pytest.param(Asks({"org_id": "acme", "roles": ["org_admin"]}), READ_ONLY, id="the-admin"),
        pytest.param(Asks({"org_id": "globex", "roles": ["org_admin"]}), HIDDEN, id="the-admin-of-another"),
        pytest.param(Asks({"org_id": "ACME", "roles": ["org_admin"]}), HIDDEN, id="compared-with-case"),
        pytest.param(Asks({"org_id": "acme ", "roles": ["org_admin"]}), HIDDEN, id="compared-with-blanks"),
        pytest.param(Asks({"org_id": "%", "roles": ["org_admin"]}), HIDDEN, id="no-pattern"),
        pytest.param(Asks({"org_id": None, "roles": ["org_admin"]}), HIDDEN, id="an-admin-of-nothing"),
        pytest.param(
            Asks({"org_id": None, "roles": ["org_admin"]}, note_org=None), HIDDEN, id="having-none-is-nothing-shared"
        ),
        pytest.param(Asks({"org_id": "globex"}, note_org="globex"), HIDDEN, id="a-stranger"),
    ],
)
async def test_who_may_do_what(notes: Service, issuer: Issuer, asks: Asks, answers: dict[str, int]) -> None:
    """Another person's note is 404; one that the caller may read and not change is 403 for a change."""
    owner = person(issuer, org_id=asks.note_org)
    caller = Person(issuer, owner.subject, asks.claims) if asks.same_person else person(issuer, **asks.claims)
    created = await notes.ask("POST", "/notes", owner.token(), json={"title": "t"})
    path, note_id = created.headers["Location"], created.json["id"]

    listed = await notes.ask("GET", "/notes?limit=100", caller.token())
    assert (note_id in {note["id"] for note in listed.json["notes"]}) == (answers["GET"] == 200)
    mine = await notes.ask("GET", "/notes?limit=100&owner=me", caller.token())
    assert (note_id in {note["id"] for note in mine.json["notes"]}) == asks.same_person

    stale = await notes.ask("PUT", path, caller.token(), headers={"If-Match": '"9"'}, json={"title": "u", "body": ""})
    assert stale.status == (412 if answers is OWN else answers["PUT"])
    requests: dict[str, dict[str, Any]] = {
        "GET": {},
        "PUT": {"headers": {"If-Match": "*"}, "json": {"title": "u", "body": ""}},
        "DELETE": {},
    }
    for method, extra in requests.items():
        answer = await notes.ask(method, path, caller.token(), **extra)
        assert answer.status == answers[method], method
        if answer.status >= 400:
            assert answer.code == {403: "not_owner", 404: "note_not_found"}[answer.status]

    left = await notes.ask("GET", path, owner.token())
    assert (left.status, left.json) == ((404, left.json) if answers is OWN else (200, created.json))


async def test_writing_alone_tells_nothing_of_others(notes: Service, issuer: Issuer) -> None:
    """An admin without notes:read cannot learn by trying to write which notes there are."""
    created = await notes.ask("POST", "/notes", person(issuer, org_id="acme").token(), json={"title": "t"})
    admin = person(issuer, org_id="acme", roles=["org_admin"], scope="notes:write")
    for path in (created.headers["Location"], f"/notes/{uuid4()}"):
        answer = await notes.ask("DELETE", path, admin.token())
        assert (answer.status, answer.code) == (404, "note_not_found")


async def test_a_client_is_an_owner_like_any_other(notes: Service, issuer: Issuer) -> None:
    """A token of client_credentials has the client as its subject, and notes of its own."""
    token = token_of(issuer, sub="nightly-job", client_id="nightly-job", org_id=None)
    created = await notes.ask("POST", "/notes", token, json={"title": "t"})
    assert created.json["owner"] == "nightly-job"
    assert (await notes.ask("GET", created.headers["Location"], token)).status == 200
    assert (await notes.ask("GET", created.headers["Location"], person(issuer).token())).status == 404


async def test_the_token_decides_and_nothing_else(notes: Service, issuer: Issuer) -> None:
    """A body, a header or a parameter that names an owner does not make one."""
    alice, mallory = person(issuer), person(issuer)
    created = await notes.ask("POST", "/notes", alice.token(), json={"title": "t"})
    for headers in ({"X-User": alice.subject}, {"X-Forwarded-User": alice.subject}, {"From": alice.subject}):
        assert (await notes.ask("GET", created.headers["Location"], mallory.token(), headers=headers)).status == 404
    listed = await notes.ask("GET", f"/notes?owner={alice.subject}", mallory.token())
    assert (listed.status, listed.code) == (400, "parameter_invalid")


async def test_a_forged_token_opens_nothing(notes: Service, issuer: Issuer) -> None:
    """The claims of the owner under another key: 401, before any note is looked for."""
    alice = person(issuer)
    created = await notes.ask("POST", "/notes", alice.token(), json={"title": "t"})
    forged = issuer.forged(Forgery.STOLEN_KID, alice.token())
    answer = await notes.ask("GET", created.headers["Location"], forged)
    assert (answer.status, answer.code) == (401, "signature_invalid")
