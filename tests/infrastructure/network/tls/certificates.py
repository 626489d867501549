"""Certificates for tests: an authority of our own, and what it signs, as PEM files in a folder."""

import hashlib
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import NameOID


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate and its key, both as PEM files."""

    certificate_file: str
    key_file: str
    sha256: bytes  # of the DER

    def replace(self, other: "Certificate") -> None:
        """Put the contents of ``other`` into the files of this one, in place."""
        self.replace_certificate(other)
        Path(self.key_file).write_bytes(Path(other.key_file).read_bytes())

    def replace_certificate(self, other: "Certificate") -> None:
        """As ``replace``, but the key stays: a renewal that is only half done."""
        Path(self.certificate_file).write_bytes(Path(other.certificate_file).read_bytes())


@dataclass(frozen=True, slots=True)
class Authority:
    """An authority whose key nobody else has; ``ca_file`` is its certificate."""

    folder: Path
    ca_file: str
    _key: ec.EllipticCurvePrivateKey = field(repr=False)
    _name: x509.Name

    @classmethod
    def make(cls, folder: Path, name: str = "authority") -> "Authority":
        """A new one, with its certificate in ``folder``."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = _named(f"{name} for tests")
        builder = _builder(subject, subject, key, -timedelta(days=1), timedelta(days=1)).add_extension(
            x509.BasicConstraints(ca=True, path_length=0), critical=True
        )
        path = folder / f"{name}.pem"
        path.write_bytes(builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM))
        return cls(folder, str(path), key, subject)

    def issue(
        self,
        file_name: str,
        names: Sequence[str],
        *,
        valid_from: timedelta = timedelta(hours=-1),
        valid_until: timedelta = timedelta(hours=1),
        common_name: str = "a server for tests",
        passphrase: bytes | None = None,
        folder: Path | None = None,
    ) -> Certificate:
        """A certificate for host names and addresses, as ``<file_name>.pem`` and ``<file_name>.key``.

        Its validity is counted from now; the key's file has mode 0600. Without ``folder`` both are written
        beside the authority's own.
        """
        place = folder or self.folder
        alternatives = [_alternative(name) for name in names]
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = (
            _builder(_named(common_name), self._name, key, valid_from, valid_until)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        certificate_path = place / f"{file_name}.pem"
        certificate_path.write_bytes(certificate.public_bytes(Encoding.PEM))
        key_path = place / f"{file_name}.key"
        key_path.touch(mode=0o600)
        key_path.write_bytes(
            key.private_bytes(
                Encoding.PEM,
                PrivateFormat.PKCS8,
                NoEncryption() if passphrase is None else BestAvailableEncryption(passphrase),
            )
        )
        der = certificate.public_bytes(Encoding.DER)
        return Certificate(str(certificate_path), str(key_path), hashlib.sha256(der).digest())


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    valid_from: timedelta,
    valid_until: timedelta,
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + valid_from)
        .not_valid_after(now + valid_until)
    )


def _named(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _alternative(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
