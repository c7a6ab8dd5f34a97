"""Bodies: bounded, of the right kind, strict, and a fault is told with its place."""

import asyncio
import gzip
import json

import msgspec
import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from farseal.service import bodies
from farseal.service.bodies import read_body, read_form, read_json
from farseal.service.forms import Form, FormError, parse_form
from farseal.service.metrics import ServiceMetrics
from farseal.service.requests import install

JSON = {"Content-Type": "application/json"}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


class Author(msgspec.Struct, forbid_unknown_fields=True):
    """A nested struct."""

    name: str


class Note(msgspec.Struct):
    """What the test's endpoint takes."""

    title: str
    count: int = 0
    tags: list[str] = []
    author: Author | None = None


@pytest.fixture
async def client(aiohttp_client):
    """An application that reads bodies."""

    async def post_json(request: web.Request) -> web.Response:
        note = await read_json(request, Note, max_bytes=1000)
        return web.json_response(msgspec.to_builtins(note))

    async def post_form(request: web.Request) -> web.Response:
        form = await read_form(request, max_bytes=1000)
        return web.json_response(form.fields)

    async def post_text(request: web.Request) -> web.Response:
        return web.Response(body=await read_body(request, "text/plain", max_bytes=10))

    app = web.Application()
    install(app, metrics=ServiceMetrics("test"))
    app.router.add_post("/json", post_json)
    app.router.add_post("/form", post_form)
    app.router.add_post("/text", post_text)
    return await aiohttp_client(app)


async def refusal(response) -> tuple[int, str, str]:
    """Status, code and detail of a problem."""
    assert response.content_type == "application/problem+json"
    body = json.loads(await response.read())
    assert body["status"] == response.status
    return response.status, body["code"], body["detail"]


async def chunks(*parts: bytes):
    """A body without a stated length."""
    for part in parts:
        yield part
        await asyncio.sleep(0)


async def test_a_good_body_is_typed(client) -> None:
    """With and without a charset, of a stated length and chunked."""
    data = '{"title": "ü", "count": 2, "author": {"name": "a"}}'.encode()
    expected = {"title": "ü", "count": 2, "tags": [], "author": {"name": "a"}}
    for content_type in ("application/json", "application/json; charset=UTF-8", "Application/JSON"):
        response = await client.post("/json", data=data, headers={"Content-Type": content_type})
        assert (response.status, await response.json()) == (200, expected)
    response = await client.post("/json", data=chunks(data[:10], data[10:]), headers=JSON)
    assert (response.status, await response.json()) == (200, expected)


@pytest.mark.parametrize(
    ("data", "code", "detail"),
    [
        pytest.param(b"", "json_malformed", "the body is empty", id="empty"),
        pytest.param(b" \n", "json_malformed", "the body is empty", id="blank"),
        pytest.param(b'{"title": }', "json_malformed", "byte 10", id="syntax-has-the-byte"),
        pytest.param(b'{"title": "a"} x', "json_malformed", "byte 16", id="trailing"),
        pytest.param(b'\xef\xbb\xbf{"title": "a"}', "json_malformed", "byte 0", id="bom"),
        pytest.param(b'{"title": "a", "title": "b"}', "json_malformed", "duplicate", id="duplicate"),
        pytest.param(b'{"title": "a", "titl\\u0065": "b"}', "json_malformed", "duplicate", id="duplicate-escaped"),
        pytest.param(b'{"title": "\xff"}', "json_malformed", "UTF-8", id="utf-8"),
        pytest.param(b'{"title": "\\ud800"}', "json_malformed", "", id="lone-surrogate"),
        pytest.param(b'{"title": "\xed\xa0\x80"}', "json_malformed", "", id="encoded-surrogate"),
        pytest.param(b'{"title": "a", "count": NaN}', "json_malformed", "", id="nan"),
        pytest.param(b'{"title": "a", "count": 1e999}', "json_malformed", "", id="beyond-a-double"),
        pytest.param(b"[" * 100 + b"]" * 100, "json_malformed", "deeper", id="deep"),
        pytest.param('{"title": "a"}'.encode("utf-16"), "json_malformed", "", id="utf-16"),
        pytest.param(b'{"title": "a\\u0000b"}', "body_invalid", "$.title: a NUL character", id="nul"),
        pytest.param(b'{"title": "a", "tags": ["b", "\\u0000"]}', "body_invalid", "$.tags[1]: a NUL", id="nul-deep"),
        pytest.param(b'{"ti\\u0000tle": "a"}', "body_invalid", "$ (a member's name): a NUL", id="nul-in-a-name"),
        pytest.param(b'{"title": 5}', "body_invalid", "$.title: expected str, got int", id="type"),
        pytest.param(
            b'{"title": "a", "count": "5"}', "body_invalid", "$.count: expected int, got str", id="no-coercion"
        ),
        pytest.param(b'{"title": "a", "tags": [1]}', "body_invalid", "$.tags[0]: expected str", id="index"),
        pytest.param(b'{"count": 1}', "body_invalid", "$: object missing required field title", id="missing"),
        pytest.param(b'{"title": "a", "x": 1}', "body_invalid", "$: unknown member 'x'", id="unknown"),
        pytest.param(
            b'{"title": "a", "author": {"name": "b", "x": 1}}', "body_invalid", "$.author: ", id="unknown-deep"
        ),
        pytest.param(b'["a"]', "body_invalid", "$: expected object, got array", id="array"),
        pytest.param(b"null", "body_invalid", "$: expected object, got null", id="null"),
    ],
)
async def test_a_bad_body_is_400_with_the_place(client, data, code, detail) -> None:
    """The caller learns where, and one reading of the bytes is the only one."""
    status, told, where = await refusal(await client.post("/json", data=data, headers=JSON))
    assert (status, told) == (400, code)
    assert detail in where


async def test_an_unknown_member_is_quoted_safely_and_in_part(client) -> None:
    """Its name is the caller's text."""
    name = "é" + "x" * 200
    _, _, detail = await refusal(await client.post("/json", json={"title": "a", name: 1}))
    assert detail.isascii()
    assert len(detail) < 100


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        pytest.param({"Content-Type": "text/plain"}, "media_type_unsupported", id="other"),
        pytest.param({"Content-Type": "application/json5"}, "media_type_unsupported", id="prefix"),
        pytest.param({"Content-Type": ""}, "media_type_unsupported", id="empty"),
        pytest.param({"Content-Type": "application/json; charset=latin-1"}, "charset_unsupported", id="charset"),
        pytest.param(JSON | {"Content-Encoding": "gzip"}, "content_coding_unsupported", id="gzip"),
        pytest.param(JSON | {"Content-Encoding": "identity, br"}, "content_coding_unsupported", id="two-codings"),
    ],
)
async def test_another_kind_of_body_is_415(client, headers, code) -> None:
    """Told with what would be accepted (RFC 9110 section 15.5.16)."""
    data = gzip.compress(b'{"title": "a"}') if "gzip" in str(headers) else b'{"title": "a"}'
    response = await client.post("/json", data=data, headers=headers)
    assert (await refusal(response))[:2] == (415, code)
    assert "Accept" in response.headers or "Accept-Encoding" in response.headers


async def test_a_missing_media_type_is_415(client) -> None:
    """Nothing is guessed."""
    response = await client.post("/json", data=b"{}", skip_auto_headers=["Content-Type"])
    assert (await refusal(response))[:2] == (415, "media_type_unsupported")


@pytest.mark.parametrize("chunked", [False, True], ids=["stated-length", "chunked"])
@pytest.mark.parametrize(("length", "status"), [(10, 200), (11, 413), (900_000, 413)])
async def test_a_body_beyond_the_limit_is_413(client, chunked, length, status) -> None:
    """The limit itself is allowed; of a longer body no more than the limit is kept."""
    data = b"x" * length
    body = chunks(data[: length // 2], data[length // 2 :]) if chunked else data
    try:
        response = await client.post("/text", data=body, headers={"Content-Type": "text/plain"})
    except ConnectionError:
        assert length > 11, "only a client that sends megabytes may miss the answer"
        return
    assert response.status == status
    if status == 413:
        assert (await refusal(response))[1] == "body_too_large"


async def test_a_body_that_does_not_arrive_is_408(client, monkeypatch) -> None:
    """A slow sender does not hold a handler for ever."""
    monkeypatch.setattr(bodies, "BODY_SECONDS", 0.05)
    release = asyncio.Event()

    async def slow():
        yield b"x"
        await release.wait()

    response = await client.post("/text", data=slow(), headers={"Content-Type": "text/plain"})
    assert (await refusal(response))[:2] == (408, "body_timeout")
    release.set()


async def test_a_good_form_is_read(client) -> None:
    """Order, repetition, plus and percent are kept or decoded as the URL standard says."""
    response = await client.post("/form", data=b"a=1&b=x+y%2B%C3%BC&a=&&c", headers=FORM)
    assert await response.json() == [["a", "1"], ["b", "x y+ü"], ["a", ""], ["c", ""]]


@pytest.mark.parametrize(
    ("data", "detail"),
    [
        pytest.param(b"a=%zz", "value of field 1: a stray percent sign", id="percent"),
        pytest.param(b"a=1&b%=2", "name of field 2: a stray percent sign", id="percent-at-the-end"),
        pytest.param(b"a=%ff", "value of field 1: not UTF-8", id="utf-8"),
        pytest.param(b"a=\xff", "value of field 1: not UTF-8", id="raw-utf-8"),
        pytest.param(b"a=%ed%a0%80", "value of field 1: not UTF-8", id="surrogate"),
        pytest.param(b"a=b%00c", "value of field 1: a NUL character", id="nul"),
        pytest.param(b"a\x00=b", "name of field 1: a NUL character", id="raw-nul"),
        pytest.param(b"a=1&" * 101, "more than 100 fields", id="many"),
    ],
)
async def test_a_bad_form_is_400_with_the_place(client, data, detail) -> None:
    """Told by the field's number: its value may be a secret."""
    assert await refusal(await client.post("/form", data=data, headers=FORM)) == (400, "form_malformed", detail)


async def test_json_is_no_form(client) -> None:
    """415, not an empty form."""
    assert (await refusal(await client.post("/form", json={})))[0] == 415


def test_a_form_answers_as_oauth_asks() -> None:
    """RFC 6749 section 3.2: empty is absent, repeated is an error; RFC 8707 repeats `resource`."""
    form = parse_form(b"scope=a&empty=&resource=x&resource=y&resource=&scope=b&x")
    assert form.get("scope") == "a"
    assert form.get("empty") is None
    assert form.get("absent") is None
    assert form.get_all("resource") == ("x", "y")
    assert form.names() == ("scope", "empty", "resource", "x")
    assert form.repeated() == ("scope", "resource")
    assert form.repeated(allowed={"resource"}) == ("scope",)
    assert parse_form(b"") == Form(())


def test_a_form_does_not_show_its_fields() -> None:
    """A form may carry a client secret."""
    assert "hunter2" not in repr(parse_form(b"client_secret=hunter2"))


@given(st.binary(max_size=300))
def test_no_bytes_break_the_form_parser(data) -> None:
    """Any bytes are a form or a `FormError` that quotes nothing."""
    try:
        form = parse_form(data)
    except FormError as error:
        assert str(error).isascii()
    else:
        assert "\x00" not in str(form.fields)
