"""The primitives of the protocol, straight from the library, without the program's own adapter."""

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.ciphers.algorithms import ChaCha20

from domain.noise.primitives import Aead, LowOrderPointError, Primitives

CHACHA20_BLOCK_BYTES = 64


class PlainPrimitives:
    """Satisfies ``domain.noise.primitives.Primitives``."""

    @property
    def authentication_failure(self) -> type[Exception]:
        return InvalidTag

    def aead(self, key: bytes) -> Aead:
        return ChaCha20Poly1305(key)

    def public_key(self, private_key: bytes) -> bytes:
        return X25519PrivateKey.from_private_bytes(private_key).public_key().public_bytes_raw()

    def agree(self, private_key: bytes, public_key: bytes) -> bytes:
        own = X25519PrivateKey.from_private_bytes(private_key)
        try:
            return own.exchange(X25519PublicKey.from_public_bytes(public_key))
        except ValueError as exc:
            raise LowOrderPointError("the shared secret is all zeros") from exc

    def chacha20_block(self, key: bytes, counter_and_nonce: bytes) -> bytes:
        encryptor = Cipher(ChaCha20(key, counter_and_nonce), mode=None).encryptor()
        return encryptor.update(bytes(CHACHA20_BLOCK_BYTES))


_: type[Primitives] = PlainPrimitives
