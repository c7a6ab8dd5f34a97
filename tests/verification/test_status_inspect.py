"""``farseal inspect`` of a token that has a status, and of a status list itself."""

import io
import json
import os
from pathlib import Path

import pytest

from farseal.cli import main
from tests.support.tokens import ISSUER, NOTES, Issuer, packed, private_key, sign

NOW = 1_795_000_000
OURS = Issuer(NOW)


@pytest.fixture
def known(tmp_path: Path) -> list[str]:
    jwks = OURS.publish(tmp_path) / "jwks.json"
    return ["--jwks", str(jwks), "--issuer", ISSUER, "--audience", NOTES, "--at", str(NOW)]


def test_a_token_tells_its_session_and_where_its_end_is_published(capsys, known) -> None:
    """Nothing is looked up, and the verdict says so."""
    token = OURS.mint(sid="s-1", status=OURS.status(5))
    assert main(["inspect", token, *known]) == 0
    out = capsys.readouterr().out
    assert "  session s-1\n" in out
    assert f"  status: entry 5 of {OURS.list_uri}, not looked up\n" in out
    assert out.splitlines()[-1] == "verdict: it would be honoured, unless its status list says otherwise"
    assert main(["inspect", OURS.mint(status="active"), "--json", *known]) == 1
    assert json.loads(capsys.readouterr().out)["code"] == "claims_malformed"


@pytest.mark.parametrize(
    ("document", "code", "check"),
    [
        pytest.param(OURS.status_list([1, 2], farseal={"version": 9}), None, None, id="good"),
        pytest.param(OURS.status_list(exp=NOW), "status_list_refused", "list", id="expired"),
        pytest.param(OURS.status_list(iss="https://x.example"), "status_list_refused", "list", id="of-another-issuer"),
        pytest.param(OURS.status_list(sub="a b"), "status_list_refused", "list", id="without-a-uri"),
        pytest.param(OURS.status_list(header={"kid": "x"}), "key_unknown", "key", id="unknown-key"),
        pytest.param(OURS.status_list(header={"alg": "none"}), "algorithm_refused", "header", id="alg-none"),
        pytest.param(
            sign(b'{"alg":"RS256","kid":"first","typ":"statuslist+jwt"}', b"{}", private_key("evil")).encode(),
            "signature_invalid",
            "signature",
            id="forged",
        ),
    ],
)
def test_a_list_is_judged_as_a_source_would(capsys, known, document, code, check) -> None:
    """Its entries are counted, and not printed."""
    assert main(["inspect", document.decode(), "--json", *known]) == (0 if code is None else 1)
    told = json.loads(capsys.readouterr().out)
    assert told["code"] == code
    assert [one["name"] for one in told["checks"] if one["verdict"] == "refused"][:1] == ([check] if check else [])
    if code is None:
        assert told["status"] == ["list of 64 entries of 1 bits, 2 not valid, version 9"]
        assert told["claims"]["status_list"]["lst"].endswith(" characters)")
        main(["inspect", document.decode(), *known])
        assert capsys.readouterr().out.splitlines()[-1] == "verdict: it would be taken, unless a later one was seen"


def test_a_list_of_a_million_sessions_is_read_and_a_token_of_its_size_is_not(capsys, monkeypatch, known) -> None:
    """It is larger than any token, and comes from a file, by standard input."""
    large = OURS.status_list(status_list={"bits": 1, "lst": packed(os.urandom(1 << 17))})
    assert len(large) > 200_000
    monkeypatch.setattr("sys.stdin", io.StringIO(large.decode() + "\n"))
    assert main(["inspect", "-", *known]) == 0
    assert "list of 1048576 entries of 1 bits" in capsys.readouterr().out
    monkeypatch.setattr("sys.stdin", io.StringIO(OURS.mint(x="x" * 200_000)))
    assert main(["inspect", "-", "--json", *known]) == 1
    assert json.loads(capsys.readouterr().out)["code"] == "token_too_large"


def test_without_keys_nobody_can_tell(capsys) -> None:
    """What can be checked is."""
    assert main(["inspect", OURS.status_list().decode(), "--at", str(NOW)]) == 3
    assert "cannot tell, not checked: signature" in capsys.readouterr().out
