"""Randomness that repeats."""

import random

from application.runtime.entropy import Entropy


class SeededEntropy:
    """The same bytes for the same seed, never the same bytes twice in a row."""

    def __init__(self, seed: int = 1) -> None:
        self._random = random.Random(seed)

    def random_bytes(self, size: int) -> bytes:
        return self._random.randbytes(size)


_: type[Entropy] = SeededEntropy
