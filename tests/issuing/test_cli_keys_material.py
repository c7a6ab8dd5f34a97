"""farseal-auth keys rewrap, import and recover: what touches the sealed halves of keys."""

import json
import os
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from auth_server.cli import prompts
from auth_server.keys.opening import open_private
from auth_server.keys.pool import ready_key
from auth_server.keys.public_key import PublicKey
from auth_server.keys.sealing import Kek, read_kek
from auth_server.storage import signing_keys
from farseal.clock import now
from tests.support.rotation import stock
from tests.support.signing_keys import DAY, active, announced, insert, kid


def pem(key, kind: PrivateFormat = PrivateFormat.PKCS8, encoding: Encoding = Encoding.PEM) -> bytes:
    return key.private_bytes(encoding, kind, NoEncryption())


def kek_file(path: Path) -> Path:
    path.touch(0o600)
    path.write_text(os.urandom(32).hex())
    return path


@pytest.fixture
def sealing(cli, tmp_path):
    """Commands with a KEK."""
    cli.env["AUTH_SERVER_KEK_FILE"] = str(kek_file(tmp_path / "kek"))
    return cli


def opened(cli) -> dict[str, rsa.RSAPrivateKey]:
    """The keys that open with the KEK of the environment."""
    keks = (read_kek(Path(cli.env["AUTH_SERVER_KEK_FILE"])),)
    return {one.kid: open_private(one, keks) for one in cli.inside(signing_keys.list_all)}


@pytest.mark.parametrize(
    ("kind", "encoding"),
    [
        pytest.param(PrivateFormat.PKCS8, Encoding.PEM, id="pkcs8-pem"),
        pytest.param(PrivateFormat.PKCS8, Encoding.DER, id="pkcs8-der"),
        pytest.param(PrivateFormat.TraditionalOpenSSL, Encoding.PEM, id="pkcs1-pem"),
    ],
)
def test_a_key_from_elsewhere_becomes_ready(sealing, kind, encoding, tmp_path) -> None:
    """From a file or standard input, under the name that its public half has everywhere; nothing of it is shown."""
    private = stock.take()
    name = PublicKey.of(private.public_key()).kid
    content = pem(private, kind, encoding)
    file = tmp_path / "key"
    file.write_bytes(content)
    result = sealing.run("keys", "import", str(file), "--reason", "from the old server", "--actor", "alice")
    assert result.output == f"{name} is ready. {file} is needed no more: delete it.\n"
    assert opened(sealing)[name].private_numbers() == private.private_numbers()
    (entry,) = sealing.json("audit")
    assert (entry["action"], entry["kid"], entry["reason"]) == ("import", name, "from the old server")
    assert entry["actor"].startswith("alice via ")
    assert entry["after"]["state"] == "ready"
    assert f"key {name} is there already" in sealing.refused("keys", "import", "-", input=content)
    assert len(sealing.json("audit")) == 1


def test_an_imported_key_can_be_announced_at_once(sealing) -> None:
    """Both or nothing: where another one is announced, it is not imported either."""
    first, second = stock.take(), stock.take()
    found = sealing.json("keys", "import", "-", "--announce", input=pem(first))
    assert (found["state"], found["bits"], found["may_sign_from"]) == ("announced", 2048, None)
    assert [entry["action"] for entry in sealing.json("audit")] == ["announce", "import"]
    refusal = sealing.refused("keys", "import", "-", "--announce", input=pem(second))
    assert f"key {found['kid']} is announced already; nothing was imported" in refusal
    assert len(sealing.json("keys", "list")) == 1
    assert sealing.json("keys", "import", "-", input=pem(second))["state"] == "ready"


SECRET_LINE = "MIIEsecretsecretsecretsecret"


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        pytest.param(lambda: b"", "not a private key", id="empty"),
        pytest.param(f"-----BEGIN PRIVATE KEY-----\n{SECRET_LINE}\n".encode, "not a private key", id="cut"),
        pytest.param(lambda: pem(ec.generate_private_key(ec.SECP256R1())), "not an RSA key", id="elliptic"),
        pytest.param(
            lambda: pem(rsa.generate_private_key(public_exponent=65537, key_size=1024)),  # noqa: S505 - that is the test
            "size or exponent", id="short",
        ),
        pytest.param(
            lambda: stock.take().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"x")),
            "pass phrase", id="protected",
        ),
        pytest.param(
            lambda: stock.take().public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
            "not a private key", id="public",
        ),
        pytest.param(lambda: b"x" * 70_000, "longer than", id="endless"),
    ],
)  # fmt: skip
def test_what_cannot_be_signed_with_is_not_imported(sealing, make, reason) -> None:
    """One line and exit code 1, nothing stored, and nothing of what was given is repeated."""
    content = make()
    result = sealing.run("keys", "import", "-", input=content, code=1)
    assert reason in result.stderr
    assert not {line for line in content.splitlines()[1:-1] if line} & set(result.output.encode().split())
    assert SECRET_LINE not in result.output
    assert (sealing.json("keys", "list"), sealing.json("audit")) == ([], [])


def of_factors(p: int, q: int) -> bytes:
    """A key that OpenSSL calls valid."""
    d = pow(65537, -1, (p - 1) * (q - 1))
    numbers = rsa.RSAPrivateNumbers(
        p, q, d, d % (p - 1), d % (q - 1), pow(q, -1, p), rsa.RSAPublicNumbers(65537, p * q)
    )
    return pem(numbers.private_key())


def close_factors() -> bytes:
    """Of a key whose second factor is the next prime after the first."""
    p = stock.take().private_numbers().p
    return of_factors(p, next(q for q in range(p + 2, 2 * p, 2) if pow(2, q - 1, q) == 1 and (q - 1) % 65537))


def short_factor() -> bytes:
    """Of a key of 2048 bits with a factor of 512."""
    short, long = (rsa.generate_private_key(65537, bits).private_numbers().p for bits in (1024, 3072))
    return of_factors(long, short)


@pytest.mark.parametrize("make", [close_factors, short_factor])
def test_a_key_whose_factors_are_easily_found_is_not_imported(sealing, make) -> None:
    """OpenSSL has nothing against it, and whoever reads the published half could sign (FIPS 186-5 appendix A.1.3)."""
    assert "easily found" in sealing.refused("keys", "import", "-", input=make())
    assert (sealing.json("keys", "list"), sealing.json("audit")) == ([], [])


def test_a_key_is_not_typed_where_it_would_be_seen(sealing, monkeypatch, tmp_path) -> None:
    """A terminal would show it; a file that is not there is named."""
    monkeypatch.setattr(prompts, "is_interactive", lambda: True)
    assert "would show the key" in sealing.refused("keys", "import", "-", code=2)
    assert "cannot be read" in sealing.refused("keys", "import", str(tmp_path / "missing"))


@pytest.mark.parametrize("words", [("rewrap",), ("import", "-")])
def test_what_seals_needs_its_kek(cli, words, tmp_path) -> None:
    """Exit code 3 and what is missing, before the database is asked."""
    cli.env["AUTH_SERVER_DATABASE_URL"] = "postgresql://u@127.0.0.1:1/x"
    assert "AUTH_SERVER_KEK_FILE" in cli.refused("keys", *words, code=3, input="")
    cli.env["AUTH_SERVER_KEK_FILE"] = str(tmp_path / "missing")
    assert "No such file" in cli.refused("keys", *words, code=3, input="")


def test_every_key_moves_to_another_kek(sealing, tmp_path) -> None:
    """Moved, already there, failed: counted, told by name, and to be run again. What was sealed stays the same key."""
    old, new = Path(sealing.env["AUTH_SERVER_KEK_FILE"]), kek_file(tmp_path / "new")
    keys = [stock.take() for _ in range(3)]
    for key in keys[:2]:
        sealing.run("keys", "import", "-", input=pem(key))
    sealing.env["AUTH_SERVER_KEK_FILE"] = str(new)
    sealing.run("keys", "import", "-", input=pem(keys[2]))

    result = sealing.run("keys", "rewrap", "--json", code=1)
    stuck = sorted(PublicKey.of(key.public_key()).kid for key in keys[:2])
    body = json.loads(result.stdout)
    assert {name: body[name] for name in ("kek_id", "moved", "already_there")} == {
        "kek_id": read_kek(new).id, "moved": 0, "already_there": 1,
    }  # fmt: skip
    assert sorted(one["kid"] for one in body["failed"]) == stuck
    assert {one["kek_id"] for one in body["failed"]} == {read_kek(old).id}
    assert "AUTH_SERVER_OLD_KEK_FILES" in result.stderr

    sealing.env["AUTH_SERVER_OLD_KEK_FILES"] = str(old)
    said = sealing.out("keys", "rewrap", "--reason", "yearly", "--actor", "alice")
    assert said == f"2 moved to KEK {read_kek(new).id}, 1 already there, 0 failed.\n"
    assert sealing.json("keys", "rewrap") == {
        "kek_id": read_kek(new).id, "moved": 0, "already_there": 3, "not_needed": 0, "failed": [],
    }  # fmt: skip
    assert {name: key.private_numbers() for name, key in opened(sealing).items()} == {
        PublicKey.of(key.public_key()).kid: key.private_numbers() for key in keys
    }
    moves = [entry for entry in sealing.json("audit") if entry["action"] == "rewrap"]
    assert sorted(entry["kid"] for entry in moves) == stuck
    assert {(entry["reason"], entry["before"]["kek_id"], entry["after"]["kek_id"]) for entry in moves} == {
        ("yearly", read_kek(old).id, read_kek(new).id)
    }
    assert all(entry["actor"].startswith("alice via ") for entry in moves)


def test_a_key_that_was_altered_is_told_and_the_others_move(sealing, tmp_path) -> None:
    """One bad row stops nothing; it is left as it is."""
    for _ in range(2):
        sealing.run("keys", "import", "-", input=pem(stock.take()))
    moment = now()
    sealing.inside(lambda conn: insert(conn, active("signs", moment), announced("next", moment - 2 * DAY)))
    sealing.env["AUTH_SERVER_OLD_KEK_FILES"] = sealing.env["AUTH_SERVER_KEK_FILE"]
    sealing.env["AUTH_SERVER_KEK_FILE"] = str(kek_file(tmp_path / "new"))
    body = json.loads(sealing.run("keys", "rewrap", "--json", code=1).stdout)
    assert body["moved"] == 2
    assert sorted(one["kid"] for one in body["failed"]) == [kid("next"), kid("signs")]

    sealing.rows(
        "UPDATE signing_keys SET state = 'gone', gone_at = now() WHERE state IN ('active', 'announced') RETURNING kid"
    )
    said = sealing.out("keys", "rewrap")
    assert said.endswith(" 0 failed. 2 that are gone or revoked do not open, and nobody needs them.\n")


ISSUER = "https://auth.example.org"


def published(*keys, sequence: int = 9, revoked: tuple[str, ...] = (), issuer: str = ISSUER) -> bytes:
    """A document as the servers write it."""
    jwks = [PublicKey.of(key.public_key()).jwk() for key in keys]
    return json.dumps(
        {"keys": jwks, "farseal": {"issuer": issuer, "sequence": sequence, "revoked": sorted(revoked)}}
    ).encode()


def test_a_restored_database_learns_what_was_published_since(sealing, monkeypatch, tmp_path) -> None:
    """It says what the file is, asks, and then what it took over; a file that brings nothing new is refused."""
    lost = stock.take()
    name = PublicKey.of(lost.public_key()).kid
    moment = now()
    sealing.inside(lambda conn: insert(conn, active("signs", moment - DAY), announced("next", moment - DAY)))
    file = tmp_path / "jwks.json"
    file.write_bytes(published(lost, revoked=(kid("next"), kid("forgotten"))))
    monkeypatch.setattr(prompts, "is_interactive", lambda: True)
    refusal = sealing.refused("keys", "recover", str(file), input="n\n")
    assert f"{file} is of {ISSUER}: sequence 9, 1 key, 2 revoked. The database is at sequence 1." in refusal
    assert sealing.json("audit") == []
    result = sealing.run("keys", "recover", str(file), "--json", "--reason", "disk lost", input="y\n")
    found = json.loads(result.stdout)
    assert (found["sequence_before"], found["sequence"], found["kept"]) == (1, 10, [name])
    assert sorted(found["revoked"]) == sorted([kid("next"), kid("forgotten")])
    assert all(warning in result.stderr for warning in found["warnings"])
    keys = {key["kid"]: key for key in sealing.json("keys", "list")}
    assert {one: keys[one]["state"] for one in keys} == {
        kid("signs"): "active", kid("next"): "revoked", kid("forgotten"): "revoked", name: "retiring",
    }  # fmt: skip
    assert (keys[name]["has_private_key"], keys[kid("forgotten")]["bits"]) == (False, None)
    assert "-" in sealing.out("keys", "list")
    assert {entry["action"] for entry in sealing.json("audit")} == {"recover"}
    assert "recover" in sealing.out("audit")
    assert "lacks nothing" in sealing.refused("keys", "recover", str(file), "--yes")


def test_keys_that_no_kek_opens_are_given_up_when_that_is_asked_for(sealing, monkeypatch, tmp_path) -> None:
    """It asks in these words, and says how many; without the option the same file brings nothing new."""
    lost = stock.take()
    stored = ready_key(lost, (Kek(bytes(range(32))),), now=now())
    sealing.inside(lambda conn: insert(conn, stored))
    sealing.rows("UPDATE signing_keys SET state = 'announced', announced_at = now() RETURNING kid")
    file = tmp_path / "jwks.json"
    file.write_bytes(published(lost, sequence=1))
    assert "lacks nothing" in sealing.refused("keys", "recover", str(file), "--yes")
    monkeypatch.setattr(prompts, "is_interactive", lambda: True)
    question = sealing.refused("keys", "recover", "--lost-kek", str(file), input="n\n")
    assert "give up the keys that do not open?" in question
    said = sealing.run("keys", "recover", "--lost-kek", str(file), input="y\n").stdout
    assert said.endswith("1 key given up: no KEK opens them.\n")
    assert [key["state"] for key in sealing.json("keys", "list")] == ["retiring"]


def test_what_came_back_is_told_in_words(sealing) -> None:
    """From standard input, and only off a terminal with --yes."""
    document = published(stock.take())
    assert "--yes" in sealing.refused("keys", "recover", "-", input=document, code=2)
    said = sealing.run("keys", "recover", "-", "--yes", input=document).stdout
    assert said == (
        "Recovered: the database is at sequence 10. 1 key came back and stays published until the last token is dead; "
        "0 keys revoked.\n"
    )


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        pytest.param(b"", "not a key set", id="empty"),
        pytest.param(b'{"keys": []}', "not a key set", id="of-somebody-else"),
        pytest.param(published(issuer="https://other.example.org"), "https://other.example.org", id="other-issuer"),
        pytest.param(b" " * 2_000_000, "longer than", id="endless"),
    ],
)
def test_what_is_not_our_document_is_not_believed(sealing, document, reason) -> None:
    """Nothing is changed or noted."""
    sealing.env["AUTH_SERVER_ISSUER"] = ISSUER
    assert reason in sealing.refused("keys", "recover", "-", "--yes", input=document)
    assert (sealing.json("keys", "list"), sealing.json("audit")) == ([], [])


def test_a_hostile_document_commands_no_terminal(sealing) -> None:
    """The issuer that a document names is anybody's text; it is shown so that it can be read, and does nothing."""
    sealing.env["AUTH_SERVER_ISSUER"] = ISSUER
    said = sealing.refused("keys", "recover", "-", "--yes", input=published(issuer="https://\x1b]0;owned\x07\r\u202e"))
    assert "is that of the issuer" in said
    assert all(char.isprintable() or char == "\n" for char in said)
