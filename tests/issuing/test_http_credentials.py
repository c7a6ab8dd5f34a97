"""Credentials in Basic and Bearer headers, and the address a request came from: what strangers send, read strictly."""

import base64
from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auth_server.http.client_address import UNKNOWN, client_address
from auth_server.http.credentials import (
    Credentials,
    MalformedCredentialsError,
    SchemeRefusedError,
    basic_credentials,
    bearer_token,
    form_decoded,
)


def basic(text: str | bytes, scheme: str = "Basic") -> str:
    data = text.encode() if isinstance(text, str) else text
    return f"{scheme} {base64.b64encode(data).decode()}"


@pytest.mark.parametrize(
    ("header", "name", "secret"),
    [
        pytest.param(basic("alice:wonderland"), "alice", "wonderland", id="plain"),
        pytest.param(basic("alice:a:b:"), "alice", "a:b:", id="colons-belong-to-the-secret"),
        pytest.param(basic("alice:"), "alice", "", id="empty-secret"),
        pytest.param(basic(":x"), "", "x", id="empty-name"),
        pytest.param(basic("zoë:pässwörd€"), "zoë", "pässwörd€", id="utf-8"),
        pytest.param(basic("a:b", "bAsIc"), "a", "b", id="scheme-without-case"),
        pytest.param("Basic   " + basic("a:b")[6:] + " ", "a", "b", id="spaces-around"),
    ],
)
def test_basic_credentials_are_read_as_rfc_7617_says(header: str, name: str, secret: str) -> None:
    """UTF-8, split at the first colon."""
    assert basic_credentials([header]) == Credentials(name, secret)


def test_no_header_is_no_credentials() -> None:
    """Nothing was tried, so nothing is wrong."""
    assert basic_credentials([]) is None


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param([basic("a:b"), basic("a:b")], id="two-headers"),
        pytest.param(["Basic"], id="nothing-after-the-scheme"),
        pytest.param(["Basic ="], id="padding-alone"),
        pytest.param(["Basic YTpi*"], id="not-the-alphabet"),
        pytest.param(["Basic YTp"], id="cut"),
        pytest.param(["Basic YT pi"], id="space-inside"),
        pytest.param(["Basic ä"], id="not-ascii"),
        pytest.param(["Basic \udcff"], id="bytes-of-no-encoding"),
        pytest.param([basic("no colon")], id="no-colon"),
        pytest.param([basic(b"a:\xff")], id="not-utf-8"),
        pytest.param([basic("a:\x00")], id="nul"),
        pytest.param([basic("a\n:b")], id="line-feed"),
        pytest.param([basic("a:b\x85")], id="c1-control"),
        pytest.param([basic("a:" + "x" * 100_000)], id="huge"),
    ],
)
def test_what_cannot_be_read_is_refused_without_quoting_it(headers: list[str]) -> None:
    """One error for every way of being unreadable."""
    with pytest.raises(MalformedCredentialsError) as refused:
        basic_credentials(headers)
    assert not any(part and part in str(refused.value) for part in headers[0].split()[1:])


@pytest.mark.parametrize("header", ["", "Bearer x", "Basicx YTpi", "Digest a=b", "YTpi"])
def test_another_scheme_is_told_apart(header: str) -> None:
    """The caller tried something that we do not speak: 401 with the scheme that we do."""
    with pytest.raises(SchemeRefusedError):
        basic_credentials([header])


@given(st.text(), st.text())
def test_no_header_makes_another_error(scheme: str, rest: str) -> None:
    """Whatever stands there: credentials, or one of the two errors."""
    try:
        basic_credentials([f"{scheme} {rest}"])
        basic_credentials([f"Basic {rest}"])
    except (MalformedCredentialsError, SchemeRefusedError):
        pass


def test_credentials_do_not_show_the_secret() -> None:
    """In a log line or traceback only the name appears."""
    assert repr(Credentials("alice", "wonderland")) == "Credentials(name='alice')"


@pytest.mark.parametrize(
    ("part", "text"),
    [
        pytest.param("batch", "batch", id="plain"),
        pytest.param("a%3Ab", "a:b", id="a-colon-can-be-written"),
        pytest.param("a+b%2B", "a b+", id="plus-is-a-space"),
        pytest.param("%C3%A9", "é", id="utf-8"),
    ],
)
def test_client_credentials_are_form_encoded(part: str, text: str) -> None:
    """RFC 6749 section 2.3.1 and appendix B."""
    assert form_decoded(Credentials(part, part)) == Credentials(text, text)


@pytest.mark.parametrize("part", ["%", "a%2", "%zz", "%FF", "%00", "%0d%0a"])
def test_a_broken_escape_is_refused(part: str) -> None:
    """No half decoding: what is not form-urlencoded text is an error."""
    for credentials in (Credentials(part, "x"), Credentials("x", part)):
        with pytest.raises(MalformedCredentialsError):
            form_decoded(credentials)


PROXIES = (ip_network("10.0.0.0/8"), ip_network("fd00::/8"))


@pytest.mark.parametrize(
    ("peer", "forwarded", "address"),
    [
        pytest.param("203.0.113.9", [], "203.0.113.9", id="direct"),
        pytest.param("203.0.113.9", ["198.51.100.1"], "203.0.113.9", id="strangers-are-not-believed"),
        pytest.param("10.0.0.1", [], "10.0.0.1", id="proxy-that-says-nothing"),
        pytest.param("10.0.0.1", ["198.51.100.1"], "198.51.100.1", id="one-proxy"),
        pytest.param("10.0.0.1", ["1.1.1.1, 198.51.100.1"], "198.51.100.1", id="what-the-caller-wrote-is-left-of-it"),
        pytest.param("10.0.0.1", ["198.51.100.1, 10.9.9.9"], "198.51.100.1", id="two-proxies"),
        pytest.param("10.0.0.1", ["198.51.100.1", "10.9.9.9"], "198.51.100.1", id="two-headers"),
        pytest.param("10.0.0.1", ["10.1.1.1, 10.2.2.2"], "10.1.1.1", id="all-trusted"),
        pytest.param("10.0.0.1", ["1.1.1.1, unknown, 10.2.2.2"], "10.2.2.2", id="unreadable-ends-the-search"),
        pytest.param("10.0.0.1", [""], "10.0.0.1", id="empty"),
        pytest.param("fd00::1", ["2001:db8::7"], "2001:db8::7", id="ipv6"),
        pytest.param("::ffff:10.0.0.1", ["::ffff:198.51.100.1"], "198.51.100.1", id="mapped"),
        pytest.param("fe80::1%eth0", [], "fe80::1", id="zone"),
        pytest.param(None, ["198.51.100.1"], UNKNOWN, id="no-peer"),
        pytest.param("", [], UNKNOWN, id="unix-socket"),
    ],
)
def test_the_address_is_the_rightmost_that_is_not_our_own(peer: str | None, forwarded: list[str], address: str) -> None:
    """A caller cannot choose its address, not even with a header of its own."""
    assert client_address(peer, forwarded, PROXIES) == address


def test_without_trusted_proxies_the_peer_is_the_client() -> None:
    """The default believes nobody."""
    assert client_address("10.0.0.1", ["198.51.100.1"], ()) == "10.0.0.1"


@pytest.mark.parametrize(
    ("headers", "token"),
    [
        pytest.param([], None, id="no-header"),
        pytest.param([""], None, id="empty-header"),
        pytest.param(["Bearer a.b-c_d~e+f/g=="], "a.b-c_d~e+f/g==", id="every-character"),
        pytest.param(["bEaReR a"], "a", id="scheme-without-case"),
        pytest.param(["Bearer   a"], "a", id="spaces"),
        pytest.param(["Basic YTpi"], None, id="another-scheme"),
        pytest.param(["Bearers a"], None, id="a-longer-scheme"),
        pytest.param(["DPoP a"], None, id="bound-token"),
        pytest.param([" Bearer a"], None, id="space-before"),
    ],
)
def test_a_bearer_token_is_read_as_rfc_6750_says(headers: list[str], token: str | None) -> None:
    """Section 2.1; another scheme is as good as no credentials."""
    assert bearer_token(headers) == token


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param(["Bearer"], id="no-token"),
        pytest.param(["Bearer "], id="nothing-after-the-space"),
        pytest.param(["Bearer a b"], id="two-tokens"),
        pytest.param(["Bearer a,b"], id="list"),
        pytest.param(["Bearer\ta"], id="tab"),
        pytest.param(["Bearer a "], id="space-after"),
        pytest.param(["Bearer a=b"], id="sign-in-the-middle"),
        pytest.param(["Bearer é"], id="not-ascii"),
        pytest.param(['Bearer "a"'], id="quoted"),
        pytest.param(["Bearer a", "Bearer a"], id="two-headers"),
        pytest.param(["Bearer a", "Basic YTpi"], id="two-schemes"),
    ],
)
def test_a_bearer_header_that_is_none_is_refused(headers: list[str]) -> None:
    """Two credentials, or none where one was promised: never one of them by chance (section 3.1)."""
    with pytest.raises(MalformedCredentialsError) as refused:
        bearer_token(headers)
    assert not any(part in str(refused.value) for part in ("é", '"a"', "a=b"))


@given(st.lists(st.text(max_size=60), max_size=3))
def test_nothing_in_a_bearer_header_escapes(headers: list[str]) -> None:
    """A token, None or the one error."""
    try:
        found = bearer_token(headers)
    except MalformedCredentialsError:
        return
    assert found is None or found in headers[0]
