"""The cryptographic primitives that the protocol needs, as the domain sees them.

The domain computes with hashes from ``hashlib`` and ``hmac`` itself; ciphers and curves come from an
adapter (``infrastructure.cryptography``), so that no third-party library is imported here.

Errors::

    PrimitiveError
    └── LowOrderPointError   X25519 gave an all-zero result (RFC 7748 section 6.1)
"""

from collections.abc import Callable
from typing import Protocol, TypeAlias

# What a primitive may read: bytes, or a view into a receive buffer that is not copied first.
Buffer: TypeAlias = bytes | bytearray | memoryview

# Where fresh entropy comes from: that many cryptographically secure random bytes. Handed to each call that
# may need some, so that refusing a message costs none.
RandomBytes: TypeAlias = Callable[[int], bytes]

KEY_BYTES = 32  # X25519 keys, ChaCha20-Poly1305 keys and SHA-256 results alike
TAG_BYTES = 16


class PrimitiveError(Exception):
    """A primitive refused its input."""


class LowOrderPointError(PrimitiveError):
    """The peer's public key is a point of low order: the shared secret would be all zeros."""


class Aead(Protocol):
    """ChaCha20-Poly1305 under one key (RFC 8439)."""

    def encrypt(self, nonce: Buffer, data: Buffer, associated_data: Buffer | None) -> bytes:
        """Seal ``data`` under a 12-byte ``nonce``; the result is the ciphertext with its 16-byte tag."""
        ...

    def decrypt(self, nonce: Buffer, data: Buffer, associated_data: Buffer | None) -> bytes:
        """Open ciphertext and tag.

        Raises ``Primitives.authentication_failure`` if the tag does not fit or ``data`` is shorter than it.
        """
        ...


class Primitives(Protocol):
    """The suite behind ``Noise_IK_25519_ChaChaPoly_SHA256``."""

    @property
    def authentication_failure(self) -> type[Exception]:
        """The one exception that ``Aead.decrypt`` raises on a forged or damaged message.

        Named here and not translated, because a wrapper around every ``decrypt`` would cost the hot
        path a call per datagram.
        """
        ...

    def aead(self, key: bytes) -> Aead:
        """ChaCha20-Poly1305 under ``key`` (32 bytes)."""
        ...

    def public_key(self, private_key: bytes) -> bytes:
        """The X25519 public key (32 bytes) of ``private_key`` (32 bytes, clamped inside; RFC 7748)."""
        ...

    def agree(self, private_key: bytes, public_key: bytes) -> bytes:
        """The X25519 shared secret, 32 bytes.

        Raises LowOrderPointError if it is all zeros.
        """
        ...

    def chacha20_block(self, key: bytes, counter_and_nonce: bytes) -> bytes:
        """One 64-byte ChaCha20 keystream block for a 32-byte key and 16 bytes of counter and nonce.

        Only the cookie reply needs it: HChaCha20 is this block with the initial state taken off.
        """
        ...
