"""Configurations for a tunnel over each of the transports, as a person would edit them."""

import hashlib
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, TypeAlias

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

SERVER_FILE: Final = "server_configuration.json"
CERTIFICATE_FILE: Final = "certificate.pem"
KEY_FILE: Final = "key.pem"

# What the server's file enables for each transport.
SLOTS: Final = {"udp": "UDP", "tcp": "TCP", "ws": "WS", "wss": "WS"}

Document: TypeAlias = dict[str, object]


def carrier_of(transport: str) -> str:
    """What carries ``transport`` (udp, tcp, ws, wss) over IP: ``udp`` or ``tcp``."""
    return "udp" if transport == "udp" else "tcp"


def serve_only(transport: str, folder: Path) -> str | None:
    """Have the server whose configuration is in ``folder`` serve ``transport`` alone.

    For ``wss`` a certificate is made that nobody has signed but itself; returns its SHA-256 in hexadecimal,
    which a client has to be told. None for the others.
    """
    fingerprint = _make_certificate(folder) if transport == "wss" else None

    def change(document: Document) -> None:
        for slot in ("UDP", "TCP", "WS"):
            document[f"Enable{slot}"] = slot == SLOTS[transport]
        profile = document["WSSettings"]
        if fingerprint is not None and isinstance(profile, dict):
            profile["TLS"] = {"CertificateFile": CERTIFICATE_FILE, "KeyFile": KEY_FILE}

    _edit(folder / SERVER_FILE, change)
    return fingerprint


def pinned(client_json: str, fingerprint: str) -> str:
    """The client's configuration with trust in the one certificate that has this SHA-256."""
    document: Document = json.loads(client_json)
    profile = document["WSSettings"]
    if isinstance(profile, dict):
        profile["TLS"] = {"PinnedCertificate": fingerprint}
    return json.dumps(document, indent=2)


def _edit(file: Path, change: Callable[[Document], None]) -> None:
    document: Document = json.loads(file.read_text("utf-8"))
    change(document)
    file.write_text(json.dumps(document), "utf-8")


def _make_certificate(folder: Path) -> str:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "tungo demo")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(hours=1))
        .sign(key, hashes.SHA256())
    )
    (folder / CERTIFICATE_FILE).write_bytes(certificate.public_bytes(Encoding.PEM))
    key_file = folder / KEY_FILE
    key_file.touch(mode=0o600)
    key_file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return hashlib.sha256(certificate.public_bytes(Encoding.DER)).hexdigest()
