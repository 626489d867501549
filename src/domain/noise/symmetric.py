"""The symmetric half of the Noise framework: hash, chaining key and cipher state.

Noise Protocol Framework revision 34, sections 5.1 and 5.2, for ``25519``, ``ChaChaPoly`` and ``SHA256``.
"""

import hashlib
import hmac
import struct
from typing import Final

from domain.noise.errors import NoiseError
from domain.noise.primitives import KEY_BYTES, Aead, LowOrderPointError, Primitives

# Protocol specification 1.1. Its 32 bytes are exactly one hash, so it is the first h and ck as it stands.
PROTOCOL_NAME: Final = b"Noise_IK_25519_ChaChaPoly_SHA256"

HASH_BYTES: Final = hashlib.sha256().digest_size

# Nonce of a handshake message (specification 1.1):
#   offset  size  field
#   0       4     zero
#   4       8     counter, little endian
_NONCE = struct.Struct("<4xQ")


def hkdf(*, salt: bytes, key_material: bytes, info: bytes, size: int) -> bytes:
    """HKDF-SHA256, ``size`` bytes (RFC 5869).

    With an empty ``info`` the consecutive 32-byte blocks of the result are the outputs of the HKDF that the
    Noise specification defines in section 4.3.
    """
    pseudorandom_key = hmac.digest(salt, key_material, "sha256")
    output = block = b""
    number = 0
    while len(output) < size:
        number += 1
        block = hmac.digest(pseudorandom_key, block + info + bytes([number]), "sha256")
        output += block
    return output[:size]


class CipherState:
    """One key and its counter; no counter value is ever used twice for sealing."""

    __slots__ = ("_aead", "_authentication_failure", "_counter")

    def __init__(self, primitives: Primitives, key: bytes) -> None:
        self._aead: Aead = primitives.aead(key)
        self._authentication_failure = primitives.authentication_failure
        self._counter = 0

    def encrypt(self, plaintext: bytes, associated_data: bytes) -> bytes:
        """Seal under the next counter value."""
        ciphertext = self._aead.encrypt(_NONCE.pack(self._counter), plaintext, associated_data)
        self._counter += 1
        return ciphertext

    def decrypt(self, ciphertext_untrusted: bytes, associated_data: bytes) -> bytes:
        """Open under the next counter value, which is spent only if that succeeds. Raises NoiseError."""
        try:
            plaintext = self._aead.decrypt(_NONCE.pack(self._counter), ciphertext_untrusted, associated_data)
        except self._authentication_failure as exc:
            raise NoiseError("a handshake message does not open") from exc
        self._counter += 1
        return plaintext


class SymmetricState:
    """Everything both ends have said so far, as a hash and as a chaining key."""

    __slots__ = ("_chaining_key", "_cipher", "_hash", "_primitives")

    def __init__(self, primitives: Primitives) -> None:
        self._primitives = primitives
        self._hash = PROTOCOL_NAME
        self._chaining_key = PROTOCOL_NAME
        self._cipher: CipherState | None = None

    def fork(self) -> "SymmetricState":
        """An independent state that continues from here.

        It has no key until one is mixed in, so that two forks never seal under one key and counter.
        """
        twin = SymmetricState(self._primitives)
        twin._hash = self._hash
        twin._chaining_key = self._chaining_key
        return twin

    @property
    def handshake_hash(self) -> bytes:
        """The hash of the conversation so far, 32 bytes."""
        return self._hash

    def mix_hash(self, data: bytes) -> None:
        """Bind ``data`` into everything that follows."""
        self._hash = hashlib.sha256(self._hash + data).digest()

    def mix_key(self, key_material: bytes) -> None:
        """Derive the next chaining key and a fresh cipher key from ``key_material``."""
        output = hkdf(salt=self._chaining_key, key_material=key_material, info=b"", size=2 * KEY_BYTES)
        self._chaining_key = output[:KEY_BYTES]
        self._cipher = CipherState(self._primitives, output[KEY_BYTES:])

    def mix_agreement(self, private_key: bytes, public_key_untrusted: bytes) -> None:
        """Mix in the X25519 secret of the two keys. Raises NoiseError for a point of low order."""
        try:
            secret = self._primitives.agree(private_key, public_key_untrusted)
        except LowOrderPointError as exc:
            raise NoiseError("a public key is a point of low order") from exc
        self.mix_key(secret)

    def encrypt_and_hash(self, plaintext: bytes) -> bytes:
        """Seal with the hash as additional data, then bind the ciphertext into the hash."""
        ciphertext = self._keyed().encrypt(plaintext, self._hash)
        self.mix_hash(ciphertext)
        return ciphertext

    def decrypt_and_hash(self, ciphertext_untrusted: bytes) -> bytes:
        """The inverse of ``encrypt_and_hash``. Raises NoiseError, and then nothing has changed."""
        plaintext = self._keyed().decrypt(ciphertext_untrusted, self._hash)
        self.mix_hash(ciphertext_untrusted)
        return plaintext

    def split(self) -> tuple[bytes, bytes]:
        """The transport keys: initiator to responder, responder to initiator, 32 bytes each."""
        output = hkdf(salt=self._chaining_key, key_material=b"", info=b"", size=2 * KEY_BYTES)
        return output[:KEY_BYTES], output[KEY_BYTES:]

    def _keyed(self) -> CipherState:
        # Noise lets a message pass in clear while there is no key; no message of IK has reason to.
        if self._cipher is None:
            raise RuntimeError("nothing can be sealed or opened before a key was mixed in")
        return self._cipher
