"""Makes the certificates of compose.tls.yaml: a CA of this installation's own, and one certificate for each gateway.

    python -m scripts.certificates [FOLDER]     ./.secrets/tls, or $FARSEAL_SECRETS/tls, when not given

What is there is kept. A certificate that ends within 30 days is made anew by the same CA; so is one that the CA did not
sign. Clients trust FOLDER/ca.crt; FOLDER/ca.key signs and belongs to nobody who serves. The CA can certify names of one
machine and of the compose networks, and nothing of the Internet.
"""

import argparse
import ipaddress
import os
import sys
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from farseal import clock

HERE: Final = ("localhost", "127.0.0.1")
NAMES: Final = {"auth_gateway": HERE, "resource_gateway": HERE, "keys": ()}
"""For whom, and under which names beside its own."""
CA_YEARS: Final = 10
LEAF_DAYS: Final = 397
"""No browser takes more than 398."""
RENEW_DAYS: Final = 30
IMAGES_USER: Final = 10001


def ensure(folder: Path, now: datetime) -> list[str]:
    """Make what is missing or about to end; give the names of what was made.

    Raises:
        OSError: it cannot be written.
        ValueError: what is there is no key or no certificate.
    """
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    made = []
    if not (folder / "ca.key").exists() or not (folder / "ca.crt").exists():
        _make_authority(folder, now)
        made.append("ca")
    authority = x509.load_pem_x509_certificate((folder / "ca.crt").read_bytes())
    key = _read_key(folder / "ca.key")
    for name, others in NAMES.items():
        if not _good(folder, name, authority, now):
            _certify(folder, name, others, (authority, key), now)
            made.append(name)
    return made


def _make_authority(folder: Path, now: datetime) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Farseal local CA")])
    permitted: list[x509.GeneralName] = [x509.DNSName(host) for host in ("localhost", *NAMES)]
    permitted.append(x509.IPAddress(ipaddress.ip_network("127.0.0.0/8")))
    certificate = (
        _builder(name, name, key, now, now + timedelta(days=365 * CA_YEARS))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(certifies=True), critical=True)
        .add_extension(x509.NameConstraints(permitted_subtrees=permitted, excluded_subtrees=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    _write(folder / "ca.key", _pem(key), 0o600)
    _write(folder / "ca.crt", certificate.public_bytes(serialization.Encoding.PEM), 0o644)


def _certify(
    folder: Path,
    name: str,
    others: tuple[str, ...],
    authority: tuple[x509.Certificate, ec.EllipticCurvePrivateKey],
    now: datetime,
) -> None:
    issuer, signer = authority
    key = ec.generate_private_key(ec.SECP256R1())
    names: list[x509.GeneralName] = [
        x509.IPAddress(ipaddress.ip_address(one)) if one[0].isdigit() else x509.DNSName(one) for one in (name, *others)
    ]
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    end = min(now + timedelta(days=LEAF_DAYS), issuer.not_valid_after_utc)
    certificate = (
        _builder(subject, issuer.subject, key, now, end)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(certifies=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
        .sign(signer, hashes.SHA256())
    )
    # The key last: a certificate whose key is missing is not taken for a good one.
    _write(folder / f"{name}.crt", certificate.public_bytes(serialization.Encoding.PEM), 0o644)
    _write(folder / f"{name}.key", _pem(key), 0o600, served=True)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, start: datetime, end: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start - timedelta(minutes=5))
        .not_valid_after(end)
    )


def _usage(*, certifies: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not certifies,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=certifies,
        crl_sign=certifies,
        encipher_only=False,
        decipher_only=False,
    )


def _good(folder: Path, name: str, authority: x509.Certificate, now: datetime) -> bool:
    """Whether a certificate and its key are there, belong together, are the CA's, and last a while."""
    with suppress(OSError, ValueError, InvalidSignature):
        certificate = x509.load_pem_x509_certificate((folder / f"{name}.crt").read_bytes())
        certificate.verify_directly_issued_by(authority)
        mine = _read_key(folder / f"{name}.key").public_key() == certificate.public_key()
        return mine and certificate.not_valid_after_utc - now > timedelta(days=RENEW_DAYS)
    return False


def _read_key(path: Path) -> ec.EllipticCurvePrivateKey:
    key = serialization.load_pem_private_key(path.read_bytes(), None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ValueError(f"{path} holds no key on an elliptic curve")  # noqa: TRY004 - of the file, not of the call
    return key


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _write(path: Path, content: bytes, mode: int, *, served: bool = False) -> None:
    """Whole or not at all, and never readable by others meanwhile; what is served with, by whom containers run as."""
    new = path.with_name(f".{path.name}.new")
    new.unlink(missing_ok=True)
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as file:
        os.fchmod(descriptor, mode)
        if served and os.getuid() == 0:
            os.fchown(descriptor, IMAGES_USER, IMAGES_USER)
        file.write(content)
    new.replace(path)


def main(arguments: list[str] | None = None) -> int:
    """Make what is missing; 1 with a sentence where that cannot be."""
    parser = argparse.ArgumentParser(
        prog="python -m scripts.certificates",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    default = Path(os.environ.get("FARSEAL_SECRETS") or ".secrets") / "tls"
    parser.add_argument("folder", nargs="?", type=Path, default=default)
    folder: Path = parser.parse_args(arguments).folder
    try:
        made = ensure(folder, datetime.fromtimestamp(clock.now(), UTC))
    except (OSError, ValueError) as error:
        sys.stderr.write(f"farseal: no certificates: {error}\n")
        return 1
    sys.stderr.write(
        f"farseal: certificates in {folder}, new: {', '.join(made) or 'none'}; clients trust {folder}/ca.crt\n"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
