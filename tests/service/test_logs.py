"""Logs: one line each, and no token, secret or password in any of them."""

import asyncio
import io
import json
import logging
import warnings

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from auth_server.accounts.client_secrets import new_secret
from farseal.environment import Secret
from farseal.service.logs import configure_logging, exception_text
from farseal.service.redaction import is_secret_name, redact_event, redact_text

CLIENT_SECRET = new_secret()
JWT = "eyJhbGciOiJSUzI1NiIsInR5cCI6ImF0K2p3dCJ9.eyJzdWIiOiJhbGljZSJ9.c2lnbmF0dXJlLXNpZ25hdHVyZQ"
ODD_JWT = "IHsiYWxnIjoiUlMyNTYifQ.eyJzdWIiOiJhbGljZSJ9.c2lnbmF0dXJlLXNpZ25hdHVyZQ"
PEM = "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkq\nhkiG9w0BAQEF\n-----END PRIVATE KEY-----"


@pytest.fixture
def stream():
    """Logs of this test go here; the process's logging is put back afterwards."""
    root = logging.getLogger()
    before = root.handlers[:], root.level
    levels = {name: logging.getLogger(name).level for name in ("asyncio", "aiohttp", "asyncpg", "watchfiles")}
    made = io.StringIO()
    yield made
    root.handlers[:], level = before
    root.setLevel(level)
    for name, one in levels.items():
        logging.getLogger(name).setLevel(one)
    logging.captureWarnings(False)
    structlog.reset_defaults()


def lines(stream: io.StringIO) -> list[dict[str, object]]:
    """The events that were written."""
    return [json.loads(line) for line in stream.getvalue().splitlines()]


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        pytest.param(f"refused {JWT}", JWT, id="jwt"),
        pytest.param(f"refused {JWT}", "c2lnbmF0dXJl", id="signature"),
        pytest.param(f"refused {ODD_JWT}", "c2lnbmF0dXJl", id="jwt-with-a-blank-first"),
        pytest.param(f"/x?access_token={JWT}&a=b", "eyJzdWIi", id="jwt-in-a-query"),
        pytest.param(f"cut {JWT[:60]}", "eyJzdWIi", id="jwt-cut-off"),
        pytest.param("Authorization: Bearer opaque-token-1234", "opaque-token", id="bearer"),
        pytest.param("authorization: bearer opaque-token-1234", "opaque-token", id="bearer-lower-case"),
        pytest.param("{'Authorization': 'Basic YTpi'}", "YTpi", id="basic"),
        pytest.param("sent Basic bm90ZXM6aHVudGVyMg==", "bm90ZXM6", id="basic-in-prose"),
        pytest.param("Bearer%20opaque-token-1234", "opaque-token", id="bearer-escaped"),
        pytest.param("postgresql://u:hunter2@db/x failed", "hunter2", id="dsn"),
        pytest.param("postgresql://u:hun@ter2@db/x", "ter2", id="dsn-password-with-at"),
        pytest.param("postgresql://u:hunter2@/x?host=/run", "hunter2", id="dsn-socket"),
        pytest.param("https://user:hunter2@host/", "hunter2", id="url"),
        pytest.param("client_secret=s3cr3t&grant_type=x", "s3cr3t", id="form"),
        pytest.param('{"client_secret": "s3 cr3t"}', "cr3t", id="json"),
        pytest.param('"{\\"password\\": \\"s3 cr3t\\"}"', "s3", id="json-in-json"),
        pytest.param("{'password': 's3 cr3t'}", "cr3t", id="repr"),
        pytest.param("PGPASSWORD=hunter2", "hunter2", id="environment"),
        pytest.param("password => hunter2", "hunter2", id="arrow"),
        pytest.param("host=db password=hunter2 user=x", "hunter2", id="keyword-dsn"),
        pytest.param(f"key {PEM} end", "MIIEvQ", id="private-key"),
        pytest.param(PEM[:60], "MIIEvQ", id="private-key-cut-off"),
        pytest.param("$argon2id$v=19$m=19456,t=2,p=1$c2FsdA$aGFzaA", "aGFzaA", id="argon2"),
        pytest.param(f"refused {CLIENT_SECRET} for a batch", CLIENT_SECRET, id="client-secret"),
        pytest.param(CLIENT_SECRET, CLIENT_SECRET, id="client-secret-alone"),
    ],
)
def test_text_is_redacted_by_its_look(text, secret) -> None:
    """Whatever brought it there: prose, queries, JSON, repr of a dict, connection strings."""
    assert secret in text
    assert secret not in redact_text(text)
    assert secret not in json.dumps(redact_event({"event": text, "deep": [{"a": (text,)}]}))


@pytest.mark.parametrize(
    "text",
    [
        "keys in force: kid 3vJx6yqUbnE0Sg, generation 12",
        "Basic authentication failed",
        "Bearer token malformed",
        'Bearer realm="notes", error="invalid_token"',
        "token expired",
        "farseal.service.requests.install",
        "GET /notes/{id} 200",
        "http://127.0.0.1:9000/.well-known/jwks.json",
        "ratio 1.5.2, host a.b.c, ünï — text\twith tab\nand line",
        "0b5bdfd0-7b6f-4a51-9f3e-2c3b5e1f0a11",
    ],
)
def test_text_without_a_secret_stays(text) -> None:
    """A log that hides everything helps nobody."""
    assert redact_text(text) == text


@pytest.mark.parametrize(
    ("name", "secret"),
    [
        *(
            (name, True)
            for name in ("password", "client_secret", "Authorization", "Set-Cookie", "access_token", "token")
        ),
        *(
            (name, True)
            for name in ("DATABASE_URL", "dsn", "private-key", "kek", "user_password_hash", "client_assertion")
        ),
        *(
            (name, False)
            for name in ("kek_file", "token_id", "secret_count", "code", "kid", "token_endpoint_auth_method")
        ),
        *((name, False) for name in ("jwks_uri", "tokens", "event", "database", "token_type")),
    ],
)
def test_fields_are_secret_by_name(name, secret) -> None:
    """The name of a field says what it holds; paths, counts and ids of secrets are none."""
    assert is_secret_name(name) is secret


def test_values_of_every_kind_are_redacted() -> None:
    """Nested containers, wrapped secrets, bytes, exceptions and objects; numbers and flags stay."""

    class Holder:
        def __str__(self) -> str:
            return f"Holder({JWT})"

    shown = redact_event(
        {
            "event": "e",
            "password": "short",
            "token": None,
            "has_secret": True,
            "retry_token": 5,
            "headers": {"authorization": ["Basic", "x"], "Accept": "a"},
            "wrapped": [Secret("hunter2")],
            "raw": b"hunter2",
            "error": ValueError("password=hunter2"),
            "object": Holder(),
            "set": {JWT},
            JWT: "key",
        }
    )
    assert "hunter2" not in str(shown)
    assert JWT not in str(shown)
    assert shown["password"] == shown["headers"]["authorization"] == "[redacted]"
    assert (shown["token"], shown["has_secret"], shown["retry_token"]) == (None, True, 5)
    assert shown["headers"]["Accept"] == "a"
    assert shown["raw"] == "[7 bytes]"
    assert shown["error"] == "ValueError: password=[redacted]"


def test_depth_and_length_are_bounded() -> None:
    """A value that contains itself, or a megabyte, does not end up in a line."""
    endless: list[object] = []
    endless.append(endless)
    assert "..." in str(redact_event({"a": endless}))
    assert len(redact_text("x" * 1_000_000)) < 20_000


def test_a_line_cannot_be_forged(stream) -> None:
    """Line ends and escape sequences in a value stay inside the value."""
    configure_logging("kit", format="console", stream=stream)
    structlog.get_logger().info("got", value="a\n2026 [info] forged\x1b[31m\u2028x", other="\udcff")
    assert len(stream.getvalue().splitlines()) == 1
    assert "\x1b" not in stream.getvalue()


def test_structlog_and_the_standard_library_write_the_same_lines(stream) -> None:
    """aiohttp's and asyncpg's records pass the same redaction."""
    configure_logging("kit", stream=stream)
    structlog.get_logger().info("one", token=JWT, n=1)
    logging.getLogger("some.library").warning("two %s", f"Bearer {JWT}")
    first, second = lines(stream)
    assert list(first)[:4] == ["timestamp", "level", "service", "event"]
    assert (first["service"], first["level"], first["event"], first["n"]) == ("kit", "info", "one", 1)
    assert (second["level"], second["event"], second["logger"]) == ("warning", "two Bearer [redacted]", "some.library")
    assert JWT not in stream.getvalue()


def test_levels_hold_for_both(stream) -> None:
    """Debug is silent at info, of our events and of everybody's records; libraries are heard from warning on."""
    configure_logging("kit", stream=stream)
    configure_logging("kit", level="info", stream=stream)
    structlog.get_logger().debug("no")
    logging.getLogger("x").debug("no")
    logging.getLogger("aiohttp.access").info("no")
    logging.getLogger("asyncpg").warning("yes")
    assert [line["event"] for line in lines(stream)] == ["yes"]


@pytest.mark.parametrize(("level", "form"), [("loud", "json"), ("info", "xml")])
def test_an_unknown_level_or_format_is_refused(level, form) -> None:
    """At start, not at the first line."""
    with pytest.raises(ValueError, match="no such log level"):
        configure_logging("kit", level=level, format=form)


def _fails(password: str) -> None:
    local_secret = password + "-local"
    raise RuntimeError(f"cannot use token={JWT} of {len(local_secret)}")


@pytest.mark.parametrize("form", ["json", "console"])
def test_a_traceback_shows_no_locals_and_no_secret(stream, form) -> None:
    """Files, lines and functions of the whole chain; messages are redacted, locals are not there."""
    configure_logging("kit", format=form, stream=stream)
    password = "hunter2-real"
    try:
        try:
            _fails(password)
        except RuntimeError as error:
            raise ValueError(f"postgresql://u:{password}@h/d") from error
    except ValueError as error:
        structlog.get_logger().exception("failed")
        structlog.get_logger().error("failed", exc_info=error)
        logging.getLogger("x").exception("failed")
    written = stream.getvalue()
    assert written.count("in _fails") == 3
    assert written.count("RuntimeError: cannot use token=[") == 3
    assert password not in written
    assert JWT not in written


def test_exc_info_without_an_exception_is_harmless(stream) -> None:
    """`exception()` outside of a handler is a mistake that must not cost the line."""
    configure_logging("kit", stream=stream)
    structlog.get_logger().error("odd", exc_info=True)
    assert "exception" not in lines(stream)[0]


def test_a_record_that_cannot_be_formatted_does_not_raise(stream, capsys) -> None:
    """A library's mistake in a log call must not end the request."""
    configure_logging("kit", stream=stream)
    record = logging.LogRecord("x", logging.WARNING, __file__, 1, "%d", ("not a number",), None)
    logging.getLogger().handlers[-1].handle(record)
    assert stream.getvalue() == ""
    assert "Logging error" in capsys.readouterr().err


def test_warnings_become_log_lines(stream) -> None:
    """A line of plain text between JSON lines breaks whoever reads them."""
    configure_logging("kit", stream=stream)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(True)
        warnings.warn("old password=hunter2", DeprecationWarning, stacklevel=1)
        logging.captureWarnings(False)
    (line,) = lines(stream)
    assert line["logger"] == "py.warnings"
    assert "hunter2" not in stream.getvalue()


async def test_a_task_that_dies_unseen_is_logged_redacted(stream) -> None:
    """asyncio's own report of a lost exception goes the same way."""
    configure_logging("kit", stream=stream)
    asyncio.get_running_loop().call_exception_handler({"message": "lost", "exception": ValueError(f"token={JWT}")})
    (line,) = lines(stream)
    assert line["logger"] == "asyncio"
    assert JWT not in stream.getvalue()


def test_exception_text_of_a_group_has_its_members() -> None:
    """Task groups raise groups."""
    text = exception_text(ExceptionGroup("two", [ValueError("password=hunter2"), KeyError("b")]))
    assert "KeyError" in text
    assert "hunter2" not in text


@given(st.text(alphabet=st.characters(codec="ascii", categories=["L", "N", "P", "S"]), max_size=200), st.integers(0, 5))
def test_no_surroundings_save_a_token(around, place) -> None:
    """Wherever a token stands, and whatever stands before it, its signature is not written."""
    text = f"{around[:place]} {JWT} {around[place:]}"
    assert "c2lnbmF0dXJlLXNpZ25hdHVyZQ" not in redact_text(text)


@pytest.mark.parametrize(
    "hostile", ["a" * 16_000, "a." * 8_000, "://:" * 4_000, "token" * 3_200, "-----BEGIN " * 1_400]
)
def test_redaction_of_hostile_text_ends_soon(hostile) -> None:
    """No pattern goes wild: a megabyte of hostile text is cut and searched within moments."""
    timed = asyncio.run(_timed(hostile))
    assert timed < 1.0


async def _timed(text: str) -> float:
    loop = asyncio.get_running_loop()
    started = loop.time()
    redact_text(text)
    return loop.time() - started
