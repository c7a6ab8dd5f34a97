"""The certificates of compose.tls.yaml: what they certify, who can read the keys, when they are made anew."""

import os
import shutil
import ssl
import stat
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Barrier

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from scripts import certificates
from scripts.certificates import NAMES, ensure

NOW = datetime.now(UTC).replace(microsecond=0)  # noqa: TID251 - OpenSSL asks the machine's own clock


def certificate(folder: Path, name: str) -> x509.Certificate:
    return x509.load_pem_x509_certificate((folder / f"{name}.crt").read_bytes())


def accepts(folder: Path, name: str, host: str) -> bool:
    """Whether a client that trusts the CA takes a certificate for a host: by OpenSSL, in memory, as of today."""
    served = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    served.load_cert_chain(folder / f"{name}.crt", folder / f"{name}.key")
    trusting = ssl.create_default_context(cafile=folder / "ca.crt")
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = trusting.wrap_bio(back, there, server_hostname=host)
    server = served.wrap_bio(there, back, server_side=True)
    for side in (client, server, client):
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            continue
        except ssl.SSLCertVerificationError:
            return False
    return True


@pytest.mark.parametrize("name", list(NAMES))
def test_each_is_for_its_own_names_and_no_others(tmp_path: Path, name: str) -> None:
    assert ensure(tmp_path, NOW) == ["ca", *NAMES]
    own = {name, *NAMES[name]}
    for host in {"localhost", "127.0.0.1", "example.org", *NAMES}:
        assert accepts(tmp_path, name, host) is (host in own), host


def test_the_ca_can_certify_nothing_of_the_internet(tmp_path: Path) -> None:
    """Who gets hold of its key can pass for this machine's services, and not for anybody's bank."""
    ensure(tmp_path, NOW)
    authority = certificate(tmp_path, "ca")
    signer = certificates._read_key(tmp_path / "ca.key")
    certificates._certify(tmp_path, "bank.example", (), (authority, signer), NOW)
    assert not accepts(tmp_path, "bank.example", "bank.example")
    limits = authority.extensions.get_extension_for_class(x509.BasicConstraints).value
    assert (limits.ca, limits.path_length) == (True, 0)


def test_the_ca_can_certify_servers_and_nothing_else(tmp_path: Path) -> None:
    """Its constraints name hosts; without this a client, a program or a letter could be signed for."""
    ensure(tmp_path, NOW)
    usage = certificate(tmp_path, "ca").extensions.get_extension_for_class(x509.ExtendedKeyUsage)
    assert usage.critical
    assert list(usage.value) == [ExtendedKeyUsageOID.SERVER_AUTH]


def test_keys_are_their_owners_alone(tmp_path: Path) -> None:
    folder = tmp_path / "tls"
    ensure(folder, NOW)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    for file in folder.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == (0o600 if file.suffix == ".key" else 0o644), file
    served = certificates.IMAGES_USER if os.getuid() == 0 else os.getuid()
    assert (folder / "keys.key").stat().st_uid == served
    assert (folder / "ca.key").stat().st_uid == os.getuid()


def test_what_is_there_is_kept(tmp_path: Path) -> None:
    ensure(tmp_path, NOW)
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    assert ensure(tmp_path, NOW + timedelta(days=300)) == []
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before


def test_what_is_about_to_end_is_made_anew_by_the_same_ca(tmp_path: Path) -> None:
    ensure(tmp_path, NOW)
    authority, before = certificate(tmp_path, "ca"), certificate(tmp_path, "keys")
    later = NOW + timedelta(days=certificates.LEAF_DAYS - certificates.RENEW_DAYS)
    assert ensure(tmp_path, later) == list(NAMES)
    assert certificate(tmp_path, "ca") == authority
    assert certificate(tmp_path, "keys").not_valid_after_utc > before.not_valid_after_utc
    certificate(tmp_path, "keys").verify_directly_issued_by(authority)


def test_none_outlives_its_ca_or_what_browsers_take(tmp_path: Path) -> None:
    ensure(tmp_path, NOW)
    one = certificate(tmp_path, "auth_gateway")
    assert one.not_valid_after_utc - one.not_valid_before_utc < timedelta(days=398)
    late = certificate(tmp_path, "ca").not_valid_after_utc - timedelta(days=60)
    ensure(tmp_path, late)
    end = certificate(tmp_path, "ca").not_valid_after_utc
    assert certificate(tmp_path, "auth_gateway").not_valid_after_utc == end
    assert ensure(tmp_path, end - timedelta(seconds=1)) == [], "another one would not last longer"
    with pytest.raises(ValueError, match="has ended"):
        ensure(tmp_path, end)


def test_a_key_of_the_ca_is_never_replaced(tmp_path: Path) -> None:
    """A run that was ended between the key and its certificate, or a lost certificate."""
    ensure(tmp_path, NOW)
    key = (tmp_path / "ca.key").read_bytes()
    (tmp_path / "ca.crt").unlink()
    # Of the same key: what was certified goes on being good.
    assert ensure(tmp_path, NOW) == ["ca"]
    assert (tmp_path / "ca.key").read_bytes() == key
    assert accepts(tmp_path, "keys", "keys")


def test_the_key_of_the_ca_may_be_elsewhere_until_something_is_to_be_signed(tmp_path: Path) -> None:
    ensure(tmp_path, NOW)
    authority = (tmp_path / "ca.crt").read_bytes()
    (tmp_path / "ca.key").unlink()
    assert ensure(tmp_path, NOW) == []
    (tmp_path / "keys.crt").unlink()
    with pytest.raises(FileNotFoundError, match=r"ca\.key"):
        ensure(tmp_path, NOW)
    assert (tmp_path / "ca.crt").read_bytes() == authority


def test_nothing_is_signed_with_the_key_of_another_ca(tmp_path: Path) -> None:
    """The certificates would be refused by everybody who trusts ca.crt."""
    ours, other = tmp_path / "ours", tmp_path / "other"
    ensure(ours, NOW)
    ensure(other, NOW)
    shutil.copy(other / "ca.crt", ours / "ca.crt")
    before = {file.name: file.read_bytes() for file in ours.iterdir()}
    with pytest.raises(ValueError, match="is not the key of"):
        ensure(ours, NOW)
    assert {file.name: file.read_bytes() for file in ours.iterdir()} == before


def test_another_name_is_another_certificate_of_the_same_ca(tmp_path: Path, monkeypatch) -> None:
    """Whoever updates the checkout need not know which names it added."""
    with monkeypatch.context() as earlier:
        earlier.setitem(NAMES, "auth_gateway", ())
        ensure(tmp_path, NOW)
    assert ensure(tmp_path, NOW) == ["auth_gateway"]
    assert accepts(tmp_path, "auth_gateway", "localhost")


def test_two_runs_at_once_make_one_set(tmp_path: Path) -> None:
    ready = Barrier(8)

    def run(_: int) -> list[str]:
        ready.wait()
        return ensure(tmp_path, NOW)

    with ThreadPoolExecutor(8) as threads:
        made = list(threads.map(run, range(8)))
    assert sorted(made, key=len)[-2:] == [[], ["ca", *NAMES]]
    assert all(accepts(tmp_path, name, name) for name in NAMES)
    assert {file.name for file in tmp_path.iterdir()} == {
        f"{name}.{end}" for name in ("ca", *NAMES) for end in ("crt", "key")
    }


@pytest.mark.parametrize(
    "harm",
    [
        lambda folder: (folder / "keys.key").unlink(),
        lambda folder: (folder / "keys.key").write_bytes((folder / "auth_gateway.key").read_bytes()),
        lambda folder: (folder / "keys.crt").write_text("-----BEGIN CERTIFICATE-----\nhalf"),
    ],
    ids=["key gone", "key of another", "half written"],
)
def test_what_cannot_serve_is_made_anew(tmp_path: Path, harm) -> None:
    ensure(tmp_path, NOW)
    harm(tmp_path)
    assert ensure(tmp_path, NOW) == ["keys"]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "keys.crt", tmp_path / "keys.key")


def test_the_command_says_what_it_did_and_what_it_could_not(tmp_path: Path, capsys) -> None:
    folder = tmp_path / "tls"
    assert certificates.main([str(folder)]) == 0
    assert "new: ca, auth_gateway, resource_gateway, keys" in capsys.readouterr().err
    assert certificates.main([str(folder)]) == 0
    assert "new: none" in capsys.readouterr().err
    (folder / "ca.key").write_text("no key")
    (folder / "keys.key").unlink()
    assert certificates.main([str(folder)]) == 1
    assert "no certificates" in capsys.readouterr().err
