"""MAC1 and MAC2 of the first handshake message (protocol specification 1.3).

MAC1 proves that the sender knows the server's public key, MAC2 that it can receive at its source address.
Both are native keyed BLAKE2s with a 16-byte digest: neither HMAC nor a truncated longer digest.
"""

import hashlib
import hmac
from typing import Final

from domain.noise.errors import MacMismatchError

MAC_BYTES: Final = 16
PROTOCOL_VERSION: Final = 1

# Every key derivation of the handshake outside Noise begins with a label, the name and the version.
_NAME_AND_VERSION: Final = b"TunGo" + bytes([PROTOCOL_VERSION])


def labelled_key(label: bytes, *parts: bytes) -> bytes:
    """The 32-byte BLAKE2s key for one purpose: unkeyed hash of label, name, version and ``parts``."""
    return hashlib.blake2s(label + _NAME_AND_VERSION + b"".join(parts)).digest()


def short_mac(key: bytes, data: bytes) -> bytes:
    """Keyed BLAKE2s with a 16-byte digest; ``key`` is at most 32 bytes."""
    return hashlib.blake2s(data, key=key, digest_size=MAC_BYTES).digest()


def mac1_key(server_public: bytes) -> bytes:
    """The key of MAC1, the same for everybody who talks to this server."""
    return labelled_key(b"mac1", server_public)


def mac2_key(cookie: bytes) -> bytes:
    """The key of MAC2 for the holder of ``cookie``."""
    return labelled_key(b"mac2", cookie)


def write_mac1(key: bytes, noise_message: bytes) -> bytes:
    """MAC1 of the Noise message; the version byte before it is not covered."""
    return short_mac(key, noise_message)


def write_mac2(key: bytes, noise_message: bytes, mac1: bytes) -> bytes:
    """MAC2, which covers the Noise message and MAC1."""
    return short_mac(key, noise_message + mac1)


def verify_mac1(key: bytes, noise_message: bytes, mac1_untrusted: bytes) -> None:
    """Raise MacMismatchError unless this is the right MAC1; takes the same time either way."""
    if not hmac.compare_digest(write_mac1(key, noise_message), mac1_untrusted):
        raise MacMismatchError("MAC1 is wrong")


def verify_mac2(key: bytes, noise_message: bytes, mac1: bytes, mac2_untrusted: bytes) -> None:
    """Raise MacMismatchError unless this is the right MAC2; takes the same time either way."""
    if not hmac.compare_digest(write_mac2(key, noise_message, mac1), mac2_untrusted):
        raise MacMismatchError("MAC2 is wrong")
