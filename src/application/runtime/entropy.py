"""Randomness, as a port."""

from typing import Protocol


class Entropy(Protocol):
    """The host's cryptographically secure random source."""

    def random_bytes(self, size: int) -> bytes:
        """``size`` fresh random bytes."""
        ...
