"""The domain's primitives on top of pyca/cryptography."""

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.ciphers.algorithms import ChaCha20

from domain.noise.primitives import Aead, LowOrderPointError, Primitives

_BLOCK_OF_ZEROS = bytes(64)


class PycaPrimitives:
    """Stateless: no key stays here after a call."""

    @property
    def authentication_failure(self) -> type[Exception]:
        """See Primitives."""
        return InvalidTag

    def aead(self, key: bytes) -> Aead:
        """See Primitives. The cipher object itself: nothing of ours stands between it and the hot path."""
        return ChaCha20Poly1305(key)

    def public_key(self, private_key: bytes) -> bytes:
        """See Primitives."""
        return X25519PrivateKey.from_private_bytes(private_key).public_key().public_bytes_raw()

    def agree(self, private_key: bytes, public_key: bytes) -> bytes:
        """See Primitives."""
        own = X25519PrivateKey.from_private_bytes(private_key)
        peer = X25519PublicKey.from_public_bytes(public_key)
        try:
            return own.exchange(peer)
        except ValueError as exc:
            # Both keys have the right size by now: all that is left to refuse is an all-zero result.
            raise LowOrderPointError("the X25519 result is all zeros") from exc

    def chacha20_block(self, key: bytes, counter_and_nonce: bytes) -> bytes:
        """See Primitives."""
        return Cipher(ChaCha20(key, counter_and_nonce), mode=None).encryptor().update(_BLOCK_OF_ZEROS)


_: type[Primitives] = PycaPrimitives
