import pytest

from application.runtime.entropy import Entropy
from infrastructure.cryptography.entropy import SystemEntropy, generate_key_pair
from infrastructure.cryptography.primitives import PycaPrimitives


class ScriptedEntropy:
    """Gives the bytes it was made with, once."""

    def __init__(self, value: bytes) -> None:
        self._value = value

    def random_bytes(self, size: int) -> bytes:
        assert size == len(self._value)
        return self._value


@pytest.mark.parametrize("size", [0, 1, 16, 32])
def test_as_many_bytes_come_as_were_asked_for(size: int) -> None:
    assert len(SystemEntropy().random_bytes(size)) == size


def test_no_two_draws_are_alike() -> None:
    entropy = SystemEntropy()
    assert len({entropy.random_bytes(32) for _ in range(100)}) == 100


def test_a_key_pair_is_made_of_32_random_bytes_as_they_are() -> None:
    entropy: Entropy = ScriptedEntropy(bytes(range(32)))
    pair = generate_key_pair(PycaPrimitives(), entropy)
    assert pair.private == bytes(range(32))
    assert pair.public.hex() == "8f40c5adb68f25624ae5b214ea767a6ec94d829d3d7b5e1ad1ba6f3e2138285f"
