"""Randomness from the operating system."""

import os

from application.runtime.entropy import Entropy
from domain.noise.keys import KeyPair
from domain.noise.primitives import KEY_BYTES, Primitives


class SystemEntropy:
    """The kernel's generator."""

    def random_bytes(self, size: int) -> bytes:
        """See Entropy."""
        return os.urandom(size)


_: type[Entropy] = SystemEntropy


def generate_key_pair(primitives: Primitives, entropy: Entropy) -> KeyPair:
    """A new X25519 key pair; the private key is not clamped, every user of it clamps inside (RFC 7748)."""
    return KeyPair.from_private(primitives, entropy.random_bytes(KEY_BYTES))
