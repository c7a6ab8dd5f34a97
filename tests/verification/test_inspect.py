"""``farseal inspect``: the verifier's own checks one by one, and never a signature."""

import asyncio
import io
import json
from pathlib import Path

import pytest
from aiohttp import web

from farseal.cli import fetching, main
from farseal.cli import keys as cli_keys
from farseal.cli.words import relative, shown, shown_json, span, utc, without_tokens
from farseal.errors import FarsealError, VerificationError
from farseal.jwks import parse_jwks
from farseal.status_list import StatusPolicy
from farseal.trust import IssuerTrust, TrustSnapshot
from farseal.verify import Expectations, Verifier
from tests.support.serving import serving
from tests.support.tokens import ISSUER, NOTES, Issuer, b64, compact_json, jwk, private_key, sign

NOW = 1_795_000_000


@pytest.fixture
def issuer() -> Issuer:
    return Issuer(NOW)


@pytest.fixture
def jwks(tmp_path: Path, issuer: Issuer) -> Path:
    return issuer.publish(tmp_path) / "jwks.json"


@pytest.fixture
def known(jwks: Path) -> list[str]:
    """Everything that a service knows, so that nothing is left unchecked."""
    return ["--jwks", str(jwks), "--issuer", ISSUER, "--audience", NOTES, "--at", str(NOW)]


def test_a_good_token_would_be_honoured(capsys, issuer, known) -> None:
    """Every check passed, the lifetime is in words, and the exit code is 0."""
    assert main(["inspect", issuer.mint(iat=NOW - 120, exp=NOW + 180), *known]) == 0
    out = capsys.readouterr().out
    assert "issued 2 min ago (2026-11-18 " in out
    assert "expires in 3 min" in out
    assert out.splitlines()[-1] == "verdict: it would be honoured"
    assert out.count("passed") == 8


@pytest.mark.parametrize(
    ("claims", "header", "check", "code"),
    [
        pytest.param({"exp": NOW - 30}, {}, "lifetime", "token_expired", id="expired"),
        pytest.param({"nbf": NOW + 31}, {}, "lifetime", "token_not_yet_valid", id="not-yet"),
        pytest.param({"aud": "x"}, {}, "audience", "audience_mismatch", id="audience"),
        pytest.param({"iss": "x"}, {}, "issuer", "issuer_unknown", id="issuer"),
        pytest.param({"jti": None}, {}, "claims", "claims_malformed", id="claims"),
        pytest.param({}, {"kid": "other"}, "key", "key_unknown", id="key"),
        pytest.param({}, {"kid": None}, "header", "key_unknown", id="no-kid"),
        pytest.param({}, {"alg": "none"}, "header", "algorithm_refused", id="algorithm"),
        pytest.param({}, {"typ": "JWT"}, "header", "type_refused", id="type"),
        pytest.param({}, {"crit": ["x"]}, "header", "critical_refused", id="crit"),
        pytest.param({"iss": "x", "exp": 1}, {}, "issuer", "issuer_unknown", id="the-first-of-two"),
    ],
)
def test_the_check_that_would_refuse_is_named_as_the_verifier_names_it(
    *, capsys, issuer, known, jwks, claims, header, check, code
) -> None:
    """The same code as the service would answer, because it is the same function in the same order."""
    token = issuer.mint(header=header, **claims)
    assert main(["inspect", token, "--json", *known]) == 1
    told = json.loads(capsys.readouterr().out)
    assert (told["verdict"], told["code"]) == ("refused", code)
    assert next(entry["name"] for entry in told["checks"] if entry["verdict"] == "refused") == check

    trust = IssuerTrust(ISSUER, parse_jwks(jwks.read_bytes()).keys, NOW)
    with pytest.raises(VerificationError) as refused:
        Verifier(Expectations(NOTES, frozenset({ISSUER}), status=StatusPolicy.OFF)).verify(
            token, TrustSnapshot().with_issuer(trust), now=NOW
        )
    assert refused.value.code == code
    assert main(["inspect", token, *known]) == 1
    assert f"refused by the check of the {check}" in capsys.readouterr().out.splitlines()[-1]


def test_a_forged_signature_is_refused(capsys, issuer, known) -> None:
    """Of another key under the same kid."""
    token = sign(compact_json(issuer.header()), compact_json(issuer.claims()), private_key("second"))
    assert main(["inspect", token, *known]) == 1
    assert "signature  refused      signature_invalid" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param([], id="text"),
        pytest.param(["--json"], id="json"),
        pytest.param(["--at", "{token}"], id="in-a-wrong-option"),
        pytest.param(["{token}"], id="twice"),
        pytest.param(["--jwks", "{token}"], id="as-a-file"),
        pytest.param(["--jwks", "https://127.0.0.1:1/{token}"], id="as-an-address"),
        pytest.param(["--leeway", "{token}"], id="as-seconds"),
        pytest.param(["--{token}"], id="as-an-option"),
    ],
)
@pytest.mark.parametrize("cut", [pytest.param("", id="whole"), pytest.param(".x", id="four-parts")])
def test_a_signature_is_never_printed(capsys, issuer, arguments, cut) -> None:
    """Not in text, JSON or messages, and not when the token stands in the wrong place."""
    token = issuer.mint()
    main(["inspect", token + cut, *(argument.replace("{token}", token) for argument in arguments)])
    main([token])
    main(["explain", token, token])
    said = capsys.readouterr()
    assert token.split(".")[2][:20] not in said.out + said.err


def test_without_keys_nothing_is_promised(capsys, issuer) -> None:
    """What could not be checked is named, and the exit code says that nobody can tell."""
    assert main(["inspect", issuer.mint(), "--at", str(NOW)]) == 3
    out = capsys.readouterr().out
    assert "signature  not checked  no --jwks given" in out
    assert out.splitlines()[-1] == "verdict: cannot tell, not checked: issuer, signature, audience"
    assert main(["inspect", issuer.mint(), "--at", str(NOW + 400)]) == 1, "expired is expired all the same"
    assert main(["inspect", issuer.mint(), "--at", str(NOW), "--json", "--issuer", ISSUER]) == 3
    capsys.readouterr()


def test_a_token_without_a_readable_header_leaves_its_signature_unchecked(capsys, issuer, known) -> None:
    """The other checks are made all the same, for the person who asks."""
    assert main(["inspect", issuer.mint(header={"alg": "HS256"}, jti=None), *known]) == 1
    out = capsys.readouterr().out
    assert "signature  not checked  the header does not say how" in out
    assert "lifetime   not checked  the claims are malformed" in out


@pytest.mark.parametrize("published", [True, False], ids=["published-still", "published-no-more"])
def test_a_withdrawn_key_is_told_by_the_code_of_the_service(capsys, issuer, jwks, known, published) -> None:
    """Before the signature and the claims, as the verifier does; the keys that are left need not be its own."""
    others = issuer if published else Issuer(NOW, kid="second")
    jwks.write_bytes(others.jwks(issuer=ISSUER, sequence=2, revoked=["first"]))
    assert main(["inspect", issuer.mint(exp=NOW - 900), "--json", *known]) == 1
    told = json.loads(capsys.readouterr().out)
    assert told["code"] == "key_revoked"
    assert next(entry["name"] for entry in told["checks"] if entry["verdict"] == "refused") == "key"


def test_keys_of_another_issuer_check_nothing(capsys, issuer, jwks, known) -> None:
    """No service would take such a set, so nobody can tell by it."""
    jwks.write_bytes(issuer.jwks(issuer="https://other.example"))
    assert main(["inspect", issuer.mint(), *known]) == 3
    assert "signature  not checked  the key set is of another issuer" in capsys.readouterr().out


def test_keys_that_are_not_used_are_told(capsys, issuer, jwks, known) -> None:
    """A set may explain by itself why a token is refused."""
    jwks.write_bytes(compact_json({"keys": [jwk(issuer.key, "first", use="enc")]}))
    assert main(["inspect", issuer.mint(), *known]) == 3
    out = capsys.readouterr().out
    assert "the set has no usable key" in out
    assert "key 0 (first) of the set is not used: its use is not sig" in out


@pytest.mark.parametrize(
    ("token", "code"),
    [
        pytest.param("a.b", "token_malformed", id="two-parts"),
        pytest.param("rubbish", "token_malformed", id="one-part"),
        pytest.param("a" * 20_000, "token_too_large", id="too-large"),
        pytest.param("\u00e9.\u00e9.\u00e9", "token_malformed", id="not-ascii"),
    ],
)
def test_what_is_no_token_is_refused_by_its_form(capsys, token, code) -> None:
    """Nothing more can be said of it."""
    assert main(["inspect", token, "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert (told["code"], told["header"], len(told["checks"])) == (code, None, 1)
    assert main(["inspect", token]) == 1
    assert "claims" not in capsys.readouterr().out


def test_a_token_comes_from_standard_input_as_people_copy_it(capsys, issuer, known, monkeypatch) -> None:
    """With the scheme before it and a line end after it."""
    monkeypatch.setattr("sys.stdin", io.StringIO(f"Bearer {issuer.mint()}\n"))
    assert main(["inspect", "-", *known]) == 0
    monkeypatch.setattr("sys.stdin", io.StringIO("\n"))
    assert main(["inspect", "-"]) == 2
    assert "there is no token" in capsys.readouterr().err


def test_claims_cannot_command_the_terminal(capsys, issuer) -> None:
    """Escapes, line ends and characters that reorder text are shown as escapes; letters stay letters."""
    main(["inspect", issuer.mint(name="\x1b[2J\u202eé\u2028\U000e0001\x9b", header={"x\x07": "\r"})])
    out = capsys.readouterr().out
    assert all(char.isprintable() or char == "\n" for char in out)
    assert '"name": "\\u001b[2J\\u202eé\\u2028\\udb40\\udc01\\u009b"' in out


@pytest.mark.parametrize(
    ("at", "good"),
    [
        pytest.param("1795000000", True, id="seconds"),
        pytest.param("2026-11-18T11:46:40Z", True, id="iso-8601"),
        pytest.param("2026-11-18T11:46:40+02:00", True, id="with-an-offset"),
        pytest.param("2026-11-18T11:46:40", False, id="without-a-zone"),
        pytest.param("yesterday", False, id="words"),
        pytest.param("-5", False, id="negative"),
        pytest.param("9" * 13, False, id="too-far"),
    ],
)
def test_the_moment_may_be_given(capsys, issuer, at, good) -> None:
    """Seconds since 1970, or a date with its zone: without one it would depend on the machine."""
    assert (main(["inspect", issuer.mint(), f"--at={at}"]) != 2) is good
    capsys.readouterr()


@pytest.mark.parametrize("leeway", ["-1", "301", "x", "\u0663", "1" * 5_000])
def test_a_leeway_is_seconds_within_reason(capsys, issuer, leeway) -> None:
    """Held to the same bounds as the setting."""
    assert main(["inspect", issuer.mint(), f"--leeway={leeway}"]) == 2
    assert "0 to 300" in capsys.readouterr().err


def test_leeway_decides_as_in_the_verifier(capsys, issuer, known) -> None:
    """Expired by five seconds is expired without leeway and forgiven with some."""
    token = issuer.mint(exp=NOW - 5)
    assert main(["inspect", token, *known, "--leeway", "0"]) == 1
    assert main(["inspect", token, *known, "--leeway", "6"]) == 0
    assert "expired 5 s ago" in capsys.readouterr().out


def test_a_claim_that_is_no_time_has_no_words(capsys) -> None:
    """Whatever stands there is shown as it is."""
    payload = compact_json({"exp": "soon", "iat": True, "nbf": 10**30})
    main(["inspect", f"{b64(b'{}')}.{b64(payload)}.{b64(b'x')}"])
    out = capsys.readouterr().out
    assert '"exp": "soon"' in out
    assert f"{10**30} s after 1970" in out
    main(["inspect", f"{b64(b'{}')}.{b64(b'{}')}.{b64(b'x')}"])
    assert "no times that could be read" in capsys.readouterr().out


# Keys from an address ------------------------------------------------------------------------------------------------


def test_keys_may_come_from_a_loopback_address(capsys, issuer, known) -> None:
    """As the issuer serves them."""

    async def handler(_request: web.Request) -> web.Response:
        return web.Response(body=issuer.jwks())

    with serving(handler) as url:
        assert main(["inspect", issuer.mint(), *known, "--jwks", f"{url}/jwks.json"]) == 0
    capsys.readouterr()


async def redirecting(_request: web.Request) -> web.Response:
    raise web.HTTPFound("/elsewhere")


async def failing(_request: web.Request) -> web.Response:
    raise web.HTTPServiceUnavailable


async def enormous(_request: web.Request) -> web.Response:
    return web.Response(body=b" " * ((1 << 20) + 1))


async def compressed(_request: web.Request) -> web.Response:
    response = web.Response(body=b'{"keys": []}')
    response.enable_compression(web.ContentCoding.gzip)
    return response


async def sleeping(_request: web.Request) -> web.Response:
    await asyncio.sleep(30)
    return web.Response()


async def rubbish(_request: web.Request) -> web.Response:
    return web.Response(body=b"<html>")


@pytest.mark.parametrize(
    ("handler", "why"),
    [
        pytest.param(redirecting, "answers 302", id="redirect"),
        pytest.param(failing, "answers 503", id="error"),
        pytest.param(enormous, "larger than 1048576 bytes", id="too-large"),
        pytest.param(compressed, "key set is not usable", id="compressed"),
        pytest.param(rubbish, "key set is not usable", id="not-a-key-set"),
        pytest.param(sleeping, "did not answer in", id="silent"),
    ],
)
def test_an_address_that_does_not_give_keys_leaves_the_signature_unchecked(
    *, capsys, issuer, known, monkeypatch, handler, why
) -> None:
    """No redirect is followed, no answer read beyond its bound, and nobody waits long."""
    monkeypatch.setattr(fetching, "TIMEOUT_SECONDS", 0.5)
    with serving(handler) as url:
        assert main(["inspect", issuer.mint(), *known, "--jwks", f"{url}/jwks.json"]) == 3
    assert why in capsys.readouterr().out


@pytest.mark.parametrize(
    ("place", "why"),
    [
        pytest.param("http://issuer.example/jwks.json", "https, or http on loopback", id="http"),
        pytest.param("file:///etc/passwd", "https, or http on loopback", id="file"),
        pytest.param("data:application/json,{}", "https, or http on loopback", id="data"),
        pytest.param("ftp://127.0.0.1/x", "https, or http on loopback", id="ftp"),
        pytest.param("https://", "https, or http on loopback", id="no-host"),
        pytest.param("https://[::1", "not a URL", id="no-url"),
        pytest.param("http://u:p@127.0.0.1/", "must not hold credentials", id="credentials"),
        pytest.param("http://127.0.0.1:1/", "cannot be reached", id="nobody-there"),
        pytest.param("http://127.0.0.1:99999/", "not a URL", id="no-such-port"),
        pytest.param("/none/jwks.json", "the directory of the key set: missing", id="no-directory"),
        pytest.param("none.json", "none.json: missing", id="no-file"),
        pytest.param("/dev/zero", "not a regular file", id="device"),
    ],
)
def test_keys_do_not_come_from_anywhere(capsys, issuer, known, place, why) -> None:
    """Only https, loopback and regular files; what else was tried is said, and nothing was fetched."""
    assert main(["inspect", issuer.mint(), *known, "--jwks", place]) == 3
    assert why in capsys.readouterr().out


# Words ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0 s"), (59, "59 s"), (60, "1 min"), (3_599, "59 min"), (3_600, "1 h"), (86_400, "1 d"), (10**7, "115 d")],
)
def test_spans_have_one_unit(seconds, words) -> None:
    """Rounded down: what is said to be left is left."""
    assert span(seconds) == words


def test_moments_are_told_from_now() -> None:
    """Before, after, and at the very second."""
    assert [relative(moment, 100) for moment in (40, 100, 103)] == ["1 min ago", "now", "in 3 s"]
    assert utc(0) == "1970-01-01 00:00:00 UTC"


def test_hostile_text_is_escaped_and_json_stays_json() -> None:
    """What is shown parses back to what it was."""
    value = {"a": ["\x1b\u202e\U000e0001", 1, None]}
    assert json.loads(shown_json(value)) == value
    assert shown("a\nb") == "a\\u000ab"
    assert without_tokens("bad eyJhbGciOi.eyJzdWIi.c2ln here") == "bad [token] here"
    assert without_tokens("auth-server.example.com/jwks-keys.json") == "auth-server.example.com/jwks-keys.json"


def test_every_error_of_a_command_is_the_librarys_own() -> None:
    """So that a caller of the functions may catch them with the rest."""
    assert issubclass(cli_keys.KeysUnavailableError, FarsealError)
