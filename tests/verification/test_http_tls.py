"""Whose certificate is accepted where keys come from: whoever passes for the issuer's host can sign for the issuer."""

import ipaddress
import socket
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from farseal.sources import HttpOptions, HttpSource
from tests.support.tokens import ISSUER
from tests.verification.hostile_issuer import HostileIssuer
from tests.verification.polled import GOOD, IMPATIENT, NOW, SLOW, kids, until

START = datetime.fromtimestamp(0, UTC)
END = START + timedelta(days=40_000)


def named(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


@dataclass
class Authority:
    """Issues certificates for a name, valid or not."""

    folder: Path
    name: str

    def __post_init__(self) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.file = self.folder / f"{self.name}.pem"
        usage = x509.KeyUsage(
            digital_signature=True,
            content_commitment=False,
            key_encipherment=False,
            data_encipherment=False,
            key_agreement=False,
            key_cert_sign=True,
            crl_sign=True,
            encipher_only=False,
            decipher_only=False,
        )
        certificate = (
            self._builder(named(self.name), self.key, END)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(usage, critical=True)
            .sign(self.key, hashes.SHA256())
        )
        self.file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))

    def certify(self, subject: x509.GeneralName, end: datetime = END) -> tuple[Path, Path]:
        """A certificate and its key, as files."""
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = (
            self._builder(named("host"), key, end)
            .add_extension(x509.SubjectAlternativeName([subject]), critical=False)
            .sign(self.key, hashes.SHA256())
        )
        files = (
            self.folder / f"{self.name}-{certificate.serial_number}.crt",
            self.folder / f"{certificate.serial_number}.key",
        )
        files[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        files[1].write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return files

    def _builder(self, subject: x509.Name, key: ec.EllipticCurvePrivateKey, end: datetime) -> x509.CertificateBuilder:
        identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
        authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key())
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(named(self.name))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(START)
            .not_valid_after(end)
            .add_extension(identifier, critical=False)
            .add_extension(authority, critical=False)
        )


LOOPBACK = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
OTHER_HOST = x509.DNSName("other.example")


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"), "ours")


@pytest.fixture(scope="module")
def server(authority: Authority) -> Iterator[HostileIssuer]:
    with HostileIssuer(*authority.certify(LOOPBACK)) as running:
        running.answer(GOOD.jwks())
        yield running


async def fetched(url: str, ca_file: Path | None, options: HttpOptions = SLOW) -> str | None:
    """Why there are no keys; None where there are."""
    async with HttpSource(url, ISSUER, options=replace(options, ca_file=ca_file), clock=lambda: NOW) as source:
        failure = source.status().workers[ISSUER].failure
        assert kids(source) == ({"first"} if failure is None else set())
        return failure


async def test_a_certificate_of_the_given_authority_is_accepted(server, authority) -> None:
    """An issuer inside of a company has one of its own."""
    assert await fetched(server.url, authority.file) is None


async def test_a_certificate_of_an_unknown_authority_is_not(server) -> None:
    """Nothing turns this off."""
    failure = await fetched(server.url, None)
    assert failure is not None
    assert failure.startswith("its certificate is not accepted: ")


async def test_a_certificate_of_another_authority_than_the_given_is_not(server, authority) -> None:
    """The CA file takes the place of the system's, and of any other."""
    stranger = Authority(authority.folder, "stranger")
    assert "certificate is not accepted" in (await fetched(server.url, stranger.file) or "")


@pytest.mark.parametrize(
    ("subject", "end", "words"),
    [
        pytest.param(OTHER_HOST, END, "IP address mismatch", id="wrong-name"),
        pytest.param(LOOPBACK, START + timedelta(days=1), "expired", id="expired"),
    ],
)
async def test_a_certificate_that_does_not_fit_is_not_accepted(authority, subject, end, words) -> None:
    """It says of whom and until when it speaks."""
    with HostileIssuer(*authority.certify(subject, end)) as hostile:
        hostile.answer(GOOD.jwks())
        assert words in (await fetched(hostile.url, authority.file) or "")
        assert hostile.figures()["requests"] == 0


@pytest.mark.parametrize(
    ("content", "words"),
    [
        pytest.param(None, "the CA file: missing", id="missing"),
        pytest.param(b"no certificate", "the CA file holds no certificates", id="no-pem"),
    ],
)
async def test_a_ca_file_that_cannot_be_used_is_told_and_read_again(
    server, authority, tmp_path, content, words
) -> None:
    """A mount that comes late, or is renewed, needs no restart."""
    file = tmp_path / "ca.pem"
    if content is not None:
        file.write_bytes(content)
    options = replace(SLOW, ca_file=file)
    async with HttpSource(server.url, ISSUER, options=options, clock=lambda: NOW) as source:
        assert words in (source.status().workers[ISSUER].failure or "")
        file.write_bytes(authority.file.read_bytes())
        source.hint(ISSUER)
        await until(lambda: kids(source) == {"first"})


async def test_a_server_without_tls_is_not_taken_for_one_with_it() -> None:
    """Nothing falls back to plain http."""
    with HostileIssuer() as plain:
        plain.answer(GOOD.jwks())
        url = plain.url.replace("http:", "https:")
        assert await fetched(url, None, IMPATIENT) in ("no agreement on TLS", "no connection within 1 s")
        assert plain.figures()["requests"] == 0


async def test_a_handshake_that_never_ends_is_ended() -> None:
    """A server that accepts and says nothing holds nothing up."""
    with socket.create_server(("127.0.0.1", 0)) as mute:
        options = replace(SLOW, timeouts=replace(SLOW.timeouts, connect=0.3))
        url = f"https://127.0.0.1:{mute.getsockname()[1]}/"
        async with HttpSource(url, ISSUER, options=options, clock=lambda: NOW) as source:
            assert source.status().workers[ISSUER].failure == "no connection within 0.3 s"
