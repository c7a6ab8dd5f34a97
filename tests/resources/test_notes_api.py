"""The notes API over HTTP: what a note goes through, and what each kind of bad request is answered."""

import asyncio
import json
from typing import Any
from uuid import uuid4

import pytest
from yarl import URL

from farseal_testing.issuer import Issuer
from tests.resources.people import Person, person, token_of
from tests.resources.stack import Service


@pytest.fixture
def alice(issuer: Issuer) -> Person:
    """Somebody with both scopes and no role."""
    return person(issuer, org_id="acme")


async def create(notes: Service, who: Person, **changes: Any) -> dict[str, Any]:
    """A note of theirs."""
    answer = await notes.ask("POST", "/notes", who.token(), json={"title": "t", "body": "b"} | changes)
    assert answer.status == 201, answer.body
    created = answer.json
    assert isinstance(created, dict)
    return created


async def test_the_life_of_a_note(notes: Service, alice: Person) -> None:
    """Created, read, found current, replaced, deleted, gone."""
    created = await notes.ask("POST", "/notes", alice.token(), json={"title": "Über", "body": "☕ \U0001f600"})
    assert created.status == 201
    note = created.json
    assert created.headers["Location"] == f"/notes/{note['id']}"
    assert created.headers["ETag"] == '"1"'
    assert (note["owner"], note["org_id"], note["title"], note["body"], note["version"]) == (
        alice.subject,
        "acme",
        "Über",
        "☕ \U0001f600",
        1,
    )
    assert note["created_at"] == note["updated_at"]
    assert note["created_at"].endswith("Z")

    read = await notes.ask("GET", created.headers["Location"], alice.token())
    assert (read.status, read.json, read.headers["ETag"]) == (200, note, '"1"')
    assert read.headers["Cache-Control"] == "private, no-cache"
    assert read.headers["X-Request-Id"]

    current = await notes.ask("GET", f"/notes/{note['id']}", alice.token(), headers={"If-None-Match": 'W/"1"'})
    assert (current.status, current.body, current.headers["ETag"]) == (304, b"", '"1"')

    replaced = await notes.ask(
        "PUT", f"/notes/{note['id']}", alice.token(), headers={"If-Match": '"1"'}, json={"title": "t", "body": ""}
    )
    assert (replaced.status, replaced.headers["ETag"]) == (200, '"2"')
    assert (replaced.json["title"], replaced.json["body"], replaced.json["version"]) == ("t", "", 2)

    changed = await notes.ask("GET", f"/notes/{note['id']}", alice.token(), headers={"If-None-Match": '"1"'})
    assert changed.status == 200

    deleted = await notes.ask("DELETE", f"/notes/{note['id']}", alice.token())
    assert (deleted.status, deleted.body) == (204, b"")
    for method in ("GET", "DELETE"):
        assert (await notes.ask(method, f"/notes/{note['id']}", alice.token())).code == "note_not_found"


async def test_a_note_without_a_body(notes: Service, alice: Person) -> None:
    """A new note may be a title alone; a replacement may not, since what it forgot would be erased."""
    created = await notes.ask("POST", "/notes", alice.token(), json={"title": "t"})
    assert (created.status, created.json["body"]) == (201, "")
    replaced = await notes.ask(
        "PUT", created.headers["Location"], alice.token(), headers={"If-Match": "*"}, json={"title": "t"}
    )
    assert (replaced.status, replaced.code) == (400, "body_invalid")


async def test_a_token_without_an_organisation(notes: Service, issuer: Issuer) -> None:
    """Its notes belong to none."""
    nobody = person(issuer, org_id=None)
    assert (await create(notes, nobody))["org_id"] is None


async def test_claims_that_cannot_own_a_note(notes: Service, issuer: Issuer) -> None:
    """A good token whose org_id is no identifier is told so, and nothing is stored or listed."""
    for method in ("POST", "GET"):
        answer = await notes.ask(method, "/notes", token_of(issuer, org_id=["acme"]), json={"title": "t"})
        assert (answer.status, answer.code) == (403, "claims_unusable")
        assert "org_id" in answer.json["detail"]


@pytest.mark.parametrize(
    ("method", "headers", "status", "code"),
    [
        pytest.param("PUT", {"If-Match": '"1"'}, 200, None, id="put-current"),
        pytest.param("PUT", {"If-Match": '"7", "1"'}, 200, None, id="put-one-of-a-list"),
        pytest.param("PUT", {"If-Match": "*"}, 200, None, id="put-anything"),
        pytest.param("PUT", {}, 428, "precondition_required", id="put-without"),
        pytest.param("PUT", {"If-Match": '"2"'}, 412, "note_changed", id="put-stale"),
        pytest.param("PUT", {"If-Match": 'W/"1"'}, 412, "note_changed", id="put-weak"),
        pytest.param("PUT", {"If-Match": '"else"'}, 412, "note_changed", id="put-not-ours"),
        pytest.param("PUT", {"If-Match": "1"}, 400, "header_invalid", id="put-unquoted"),
        pytest.param("PUT", {"If-Match": ""}, 400, "header_invalid", id="put-empty"),
        pytest.param("DELETE", {}, 204, None, id="delete-without"),
        pytest.param("DELETE", {"If-Match": '"1"'}, 204, None, id="delete-current"),
        pytest.param("DELETE", {"If-Match": "*"}, 204, None, id="delete-anything"),
        pytest.param("DELETE", {"If-Match": '"2"'}, 412, "note_changed", id="delete-stale"),
        pytest.param("DELETE", {"If-Match": '"1'}, 400, "header_invalid", id="delete-malformed"),
        pytest.param("GET", {"If-None-Match": '"1"'}, 304, None, id="get-current"),
        pytest.param("GET", {"If-None-Match": "*"}, 304, None, id="get-anything"),
        pytest.param("GET", {"If-None-Match": '"2"'}, 200, None, id="get-another"),
        pytest.param("GET", {"If-None-Match": "no tag"}, 400, "header_invalid", id="get-malformed"),
    ],
)
async def test_preconditions_on_version_1(
    notes: Service, alice: Person, *, method: str, headers: dict[str, str], status: int, code: str | None
) -> None:
    """RFC 9110 section 13.1; a refused change leaves the note as it was."""
    note = await create(notes, alice)
    path = f"/notes/{note['id']}"
    body: dict[str, Any] = {"json": {"title": "new", "body": "new"}} if method == "PUT" else {}
    answer = await notes.ask(method, path, alice.token(), headers=headers, **body)
    assert answer.status == status
    if code is not None:
        assert answer.code == code
        assert (await notes.ask("GET", path, alice.token())).json == note


@pytest.mark.parametrize("headers", [{"If-Match": '"1"'}, {"If-Match": "*"}], ids=["a-tag", "anything"])
async def test_what_does_not_exist_is_not_found_before_it_is_stale(
    notes: Service, alice: Person, headers: dict[str, str]
) -> None:
    """A precondition is not evaluated where the answer would be 404 without it (RFC 9110 section 13.2.1)."""
    bodies: dict[str, dict[str, Any]] = {"PUT": {"json": {"title": "t", "body": ""}}, "DELETE": {}}
    for method, body in bodies.items():
        answer = await notes.ask(method, f"/notes/{uuid4()}", alice.token(), headers=headers, **body)
        assert (answer.status, answer.code) == (404, "note_not_found")


async def test_of_two_writers_one_wins(notes: Service, alice: Person) -> None:
    """Ten write over the same version at once: one succeeds, nine read 412, and the note is the winner's."""
    for _ in range(5):
        note = await create(notes, alice)
        answers = await asyncio.gather(
            *(
                notes.ask(
                    "PUT",
                    f"/notes/{note['id']}",
                    alice.token(),
                    headers={"If-Match": '"1"'},
                    json={"title": f"writer {writer}", "body": ""},
                )
                for writer in range(10)
            )
        )
        assert sorted(answer.status for answer in answers) == [200] + [412] * 9
        won = next(answer for answer in answers if answer.status == 200)
        final = await notes.ask("GET", f"/notes/{note['id']}", alice.token())
        assert (final.json, final.json["version"]) == (won.json, 2)


async def test_of_a_writer_and_a_deleter_one_wins(notes: Service, alice: Person) -> None:
    """A note that was deleted under a writer is not found, one that was written under a deleter has changed."""
    for _ in range(10):
        path = f"/notes/{(await create(notes, alice))['id']}"
        condition = {"If-Match": '"1"'}
        written, deleted = await asyncio.gather(
            notes.ask("PUT", path, alice.token(), headers=condition, json={"title": "t", "body": ""}),
            notes.ask("DELETE", path, alice.token(), headers=condition),
        )
        assert (written.status, deleted.status) in {(200, 412), (404, 204)}


@pytest.mark.parametrize(
    ("note_id", "status"),
    [
        pytest.param("00000000-0000-4000-8000-000000000000", 404, id="unknown"),
        pytest.param("1", 404, id="number"),
        pytest.param("x" * 36, 404, id="right-length"),
        pytest.param("00000000000040008000000000000000", 404, id="without-hyphens"),
        pytest.param("%7B00000000-0000-4000-8000-000000000000%7D", 404, id="braces"),
        pytest.param("%D9%A3" * 36, 404, id="other-digits"),
        pytest.param("00000000-0000-4000-8000-000000000000%0A", 400, id="line-end"),
        pytest.param("%00", 400, id="nul"),
        pytest.param("%FF", 400, id="not-utf-8"),
        pytest.param("..%2F..", 400, id="an-encoded-slash"),
    ],
)
async def test_what_names_no_note_is_not_found(notes: Service, alice: Person, note_id: str, status: int) -> None:
    """A malformed id names nothing, as an unknown one does; what is no path at all is refused before."""
    for method in ("GET", "DELETE"):
        answer = await notes.ask(method, URL(f"{notes.url}/notes/{note_id}", encoded=True), alice.token())
        assert answer.status == status
        assert answer.code


async def test_an_id_in_capitals_names_the_same_note(notes: Service, alice: Person) -> None:
    """RFC 9562 section 4: capitals are read, though not written."""
    note = await create(notes, alice)
    assert (await notes.ask("GET", f"/notes/{note['id'].upper()}", alice.token())).json == note


JSON = {"Content-Type": "application/json"}


@pytest.mark.parametrize(
    ("data", "headers", "status", "detail"),
    [
        pytest.param(b'{"title": "t"}', {"Content-Type": "text/plain"}, 415, "application/json", id="text"),
        pytest.param(b'{"title": "t"}', {"Content-Type": "application/x-www-form-urlencoded"}, 415, "", id="form"),
        pytest.param(b'{"title": "t"}', {**JSON, "Content-Encoding": "gzip"}, 415, "", id="compressed"),
        pytest.param(b"", JSON, 400, "", id="empty"),
        pytest.param(b'{"title": "t"', JSON, 400, "", id="unended"),
        pytest.param(b'{"title": }', JSON, 400, "byte 10", id="malformed-with-its-place"),
        pytest.param(b'{"title": "t", "title": "u"}', JSON, 400, "", id="a-member-twice"),
        pytest.param(b'{"title": "\xff"}', JSON, 400, "", id="not-utf-8"),
        pytest.param(b'{"title": "t", "owner": "me"}', JSON, 400, "owner", id="unknown-member"),
        pytest.param(b'["title"]', JSON, 400, "", id="list"),
        pytest.param(b"null", JSON, 400, "", id="null"),
        pytest.param(b'{"body": "b"}', JSON, 400, "title", id="no-title"),
        pytest.param(b'{"title": ""}', JSON, 400, "$.title", id="empty-title"),
        pytest.param(b'{"title": 7}', JSON, 400, "$.title", id="title-is-a-number"),
        pytest.param(b'{"title": null}', JSON, 400, "$.title", id="title-is-null"),
        pytest.param(b'{"title": "a\\u0000b"}', JSON, 400, "$.title", id="nul-in-the-title"),
        pytest.param(b'{"title": "t", "body": "\\u0000"}', JSON, 400, "$.body", id="nul-in-the-body"),
        pytest.param(b'{"title": "\\ud800"}', JSON, 400, "", id="lone-surrogate"),
        pytest.param(b'{"title": "%s"}' % (b"x" * 201), JSON, 400, "$.title", id="title-of-201"),
        pytest.param(b'{"title": "t", "body": "%s"}' % (b"x" * 20_001), JSON, 400, "$.body", id="body-of-20001"),
        pytest.param(b'{"title": "t", "body": "%s"}' % (b"x" * 65_536), JSON, 413, "", id="beyond-64-kib"),
        pytest.param(b"[" * 20_000, JSON, 400, "", id="deeply-nested"),
    ],
)
async def test_bad_bodies(
    notes: Service, issuer: Issuer, *, data: bytes, headers: dict[str, str], status: int, detail: str
) -> None:
    """Each is told what and where, and nothing is stored; for creating and for replacing alike."""
    alice = person(issuer)
    created = await notes.ask("POST", "/notes", alice.token(), data=data, headers=headers)
    assert (created.status, detail in created.json["detail"]) == (status, True), created.json
    replaced = await notes.ask(
        "PUT", f"/notes/{uuid4()}", alice.token(), data=data, headers={**headers, "If-Match": "*"}
    )
    assert replaced.status == status
    assert (await notes.ask("GET", "/notes", alice.token())).json["notes"] == []


@pytest.mark.parametrize(
    ("title", "body"),
    [
        pytest.param("x" * 200, "y" * 20_000, id="ascii"),
        pytest.param("\U0001f600" * 200, "ü" * 20_000, id="code-points-not-bytes"),
        pytest.param("\x01\x1f\x7f\ufeff\u2028", "\r\n\t\uffff\U0010ffff", id="odd-and-legal"),
    ],
)
async def test_the_longest_and_the_oddest_texts(notes: Service, alice: Person, title: str, body: str) -> None:
    """The bounds are inclusive, and what goes in comes out."""
    data = json.dumps({"title": title, "body": body}, ensure_ascii=False).encode()
    created = await notes.ask("POST", "/notes", alice.token(), data=data, headers=JSON)
    assert created.status == 201, created.body
    read = await notes.ask("GET", created.headers["Location"], alice.token())
    assert (read.json["title"], read.json["body"]) == (title, body)
    listed = (await notes.ask("GET", "/notes?limit=1", alice.token())).json["notes"][0]
    assert listed["characters"] == len(body)


@pytest.mark.parametrize(
    ("method", "path", "scope", "needed"),
    [
        pytest.param("GET", "/notes", "notes:write", "notes:read", id="list"),
        pytest.param("GET", "/notes/{id}", "notes:write", "notes:read", id="read"),
        pytest.param("HEAD", "/notes/{id}", "notes:write", "notes:read", id="head"),
        pytest.param("POST", "/notes", "notes:read", "notes:write", id="create"),
        pytest.param("PUT", "/notes/{id}", "notes:read", "notes:write", id="replace"),
        pytest.param("DELETE", "/notes/{id}", "notes:read", "notes:write", id="delete"),
        pytest.param("DELETE", "/notes/{id}", None, "notes:write", id="no-scope-at-all"),
        pytest.param("DELETE", "/notes/{id}", "notes:*", "notes:write", id="no-wildcards"),
    ],
)
async def test_each_method_needs_its_scope(
    notes: Service, alice: Person, *, method: str, path: str, scope: str | None, needed: str
) -> None:
    """403 with a challenge that names the scope (RFC 6750 section 3.1)."""
    note = await create(notes, alice)
    answer = await notes.ask(method, path.format(id=note["id"]), alice.token(scope=scope))
    assert answer.status == 403
    assert 'error="insufficient_scope"' in answer.headers["WWW-Authenticate"]
    assert f'scope="{needed}"' in answer.headers["WWW-Authenticate"]


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/notes"), ("POST", "/notes"), ("PUT", "/notes/x"), ("GET", "/nowhere"), ("GET", "/")],
)
async def test_without_a_token_nothing_is_told(notes: Service, method: str, path: str) -> None:
    """401 with the address of the metadata, for routes that exist and for others."""
    answer = await notes.ask(method, path)
    assert (answer.status, answer.code) == (401, "credentials_missing")
    assert "resource_metadata=" in answer.headers["WWW-Authenticate"]
    assert "error=" not in answer.headers["WWW-Authenticate"]


async def test_with_a_token_unknown_paths_and_methods_are_told(notes: Service, alice: Person) -> None:
    """404 and 405 with Allow."""
    assert (await notes.ask("GET", "/nowhere", alice.token())).status == 404
    assert (await notes.ask("GET", "/notes/", alice.token())).status == 404
    answer = await notes.ask("PATCH", "/notes", alice.token())
    assert answer.status == 405
    assert set(answer.headers["Allow"].split(",")) >= {"GET", "POST"}


async def test_public_documents(notes: Service) -> None:
    """Metadata, description and probes need no token; the API's port has no probes."""
    metadata = await notes.ask("GET", "/.well-known/oauth-protected-resource")
    assert metadata.json["scopes_supported"] == ["notes:read", "notes:write"]
    described = await notes.ask("GET", "/openapi.yaml")
    assert (described.status, described.headers["Content-Type"]) == (200, "application/yaml; charset=utf-8")
    for probe in ("/livez", "/readyz", "/metrics"):
        assert (await notes.ask("GET", probe, ops=True)).status == 200
        assert (await notes.ask("GET", probe)).status == 401
