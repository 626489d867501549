"""Randomness from the operating system."""

import os

from application.runtime.entropy import Entropy


class SystemEntropy:
    """The kernel's generator."""

    def random_bytes(self, size: int) -> bytes:
        """See Entropy."""
        return os.urandom(size)


_: type[Entropy] = SystemEntropy
