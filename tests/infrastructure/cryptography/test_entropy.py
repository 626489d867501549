import pytest

from infrastructure.cryptography.entropy import SystemEntropy


@pytest.mark.parametrize("size", [0, 1, 16, 32])
def test_as_many_bytes_come_as_were_asked_for(size: int) -> None:
    assert len(SystemEntropy().random_bytes(size)) == size


def test_no_two_draws_are_alike() -> None:
    entropy = SystemEntropy()
    assert len({entropy.random_bytes(32) for _ in range(100)}) == 100
