"""Makes the certificates of compose.tls.yaml: a CA of this installation's own, and one certificate for each gateway.

    python -m scripts.certificates [FOLDER]     ./.secrets/tls, or $FARSEAL_SECRETS/tls, when not given

What is there is kept. A certificate that ends within 30 days is made anew by the same CA; so is one that the CA did not
sign, or that is for other names. Clients trust FOLDER/ca.crt, so the CA itself is never made anew. FOLDER/ca.key signs
and belongs to nobody who serves: it may be kept elsewhere as long as nothing is to be signed. The CA can certify names
of one machine and of the compose networks, and nothing of the Internet.
"""

import argparse
import fcntl
import ipaddress
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
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
    """Make what is missing or about to end; give the names of what was made. Of two runs at once one waits.

    Raises:
        OSError: it cannot be written.
        ValueError: what is there is no key or no certificate, or can sign nothing (any more).
    """
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    with _alone(folder):
        made = []
        if not (folder / "ca.crt").exists():
            _make_authority(folder, now)
            made.append("ca")
        authority = x509.load_pem_x509_certificate((folder / "ca.crt").read_bytes())
        if authority.not_valid_after_utc <= now:
            raise ValueError(f"{folder}/ca.crt has ended: move the folder away, and let clients trust another CA")
        missing = [name for name in NAMES if not _good(folder, name, authority, now)]
        if missing:
            key = _read_key(folder / "ca.key")
            if key.public_key() != authority.public_key():
                raise ValueError(f"{folder}/ca.key is not the key of {folder}/ca.crt")
            for name in missing:
                _certify(folder, name, NAMES[name], (authority, key), now)
        return made + missing


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _make_authority(folder: Path, now: datetime) -> None:
    """A key that is there is used: the run that made it did not come to its certificate, or somebody lost that."""
    if not (folder / "ca.key").exists():
        _write(folder / "ca.key", _pem(ec.generate_private_key(ec.SECP256R1())), 0o600)
    key = _read_key(folder / "ca.key")
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Farseal local CA")])
    permitted: list[x509.GeneralName] = [x509.DNSName(host) for host in ("localhost", *NAMES)]
    permitted.append(x509.IPAddress(ipaddress.ip_network("127.0.0.0/8")))
    certificate = (
        _builder(name, name, key, now, now + timedelta(days=365 * CA_YEARS))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(certifies=True), critical=True)
        .add_extension(x509.NameConstraints(permitted_subtrees=permitted, excluded_subtrees=None), critical=True)
        # Of names that are no hosts' it limits nothing by itself: of servers alone, then.
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
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
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    end = min(now + timedelta(days=LEAF_DAYS), issuer.not_valid_after_utc)
    certificate = (
        _builder(subject, issuer.subject, key, now, end)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(certifies=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(_names(name, others), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
        .sign(signer, hashes.SHA256())
    )
    # The key last: a certificate whose key is missing is not taken for a good one.
    _write(folder / f"{name}.crt", certificate.public_bytes(serialization.Encoding.PEM), 0o644)
    _write(folder / f"{name}.key", _pem(key), 0o600, served=True)


def _names(name: str, others: tuple[str, ...]) -> x509.SubjectAlternativeName:
    return x509.SubjectAlternativeName(
        [
            x509.IPAddress(ipaddress.ip_address(one)) if one[0].isdigit() else x509.DNSName(one)
            for one in (name, *others)
        ]
    )


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
    """Whether a certificate and its key are there, belong together, are the CA's, of these names, and last a while.

    A while is 30 days, or until the CA itself ends: another one would not last longer.
    """
    with suppress(OSError, ValueError, InvalidSignature, x509.ExtensionNotFound):
        certificate = x509.load_pem_x509_certificate((folder / f"{name}.crt").read_bytes())
        certificate.verify_directly_issued_by(authority)
        named = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        if (
            named != _names(name, NAMES[name])
            or _read_key(folder / f"{name}.key").public_key() != certificate.public_key()
        ):
            return False
        end = certificate.not_valid_after_utc
        return end == authority.not_valid_after_utc or end - now > timedelta(days=RENEW_DAYS)
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
