"""The fuzz target itself: what it begins with breaks no rule, and what breaks one it tells."""

import pytest

from domain.packets.parcel import Parcel
from tests.domain.packets.trains import TCP_IPV4, some_payload
from tests.fuzz import frames


@pytest.mark.parametrize("seed", range(2))
def test_the_inputs_that_it_begins_with_break_no_rule(seed: int) -> None:
    for data in frames.inputs(seed):
        frames.one_input(data)


@pytest.mark.parametrize("kind", range(3))
@pytest.mark.parametrize("size", [0, 1, 4, 5, 60, 70_000])
def test_inputs_of_any_length_are_inputs(kind: int, size: int) -> None:
    frames.one_input(b"")
    frames.one_input(bytes([kind]) + bytes(size))
    frames.one_input(bytes([kind]) + b"\xff" * size)


def test_a_parcel_that_is_not_sound_is_told() -> None:
    unsound: Parcel = TCP_IPV4.train(some_payload(6000), 2000)
    with pytest.raises(AssertionError, match="larger than the MTU"):
        frames._check([unsound])
