"""What every clock and every source of entropy must do."""

import pytest

from application.runtime.clock import Clock
from application.runtime.entropy import Entropy
from infrastructure.cryptography.entropy import SystemEntropy
from infrastructure.pal.linux.clock import SystemClock
from tests.adapters.clock import FakeClock
from tests.adapters.entropy import SeededEntropy


@pytest.fixture(params=[FakeClock, SystemClock])
def clock(request: pytest.FixtureRequest) -> Clock:
    made: Clock = request.param()
    return made


@pytest.fixture(params=[SeededEntropy, SystemEntropy])
def entropy(request: pytest.FixtureRequest) -> Entropy:
    made: Entropy = request.param()
    return made


def test_no_clock_but_the_calendar_runs_backwards(clock: Clock) -> None:
    readings = [(clock.monotonic_s(), clock.boottime_s()) for _ in range(100)]
    assert readings == sorted(readings)


def test_the_boot_time_clock_is_never_behind_the_monotonic_one(clock: Clock) -> None:
    monotonic_s = clock.monotonic_s()
    assert clock.boottime_s() >= monotonic_s


def test_unix_time_is_in_whole_seconds_of_this_century(clock: Clock) -> None:
    assert 1_600_000_000 < clock.unix_s() < 4_000_000_000


@pytest.mark.parametrize("size", [0, 1, 16, 32, 4096])
def test_entropy_gives_as_many_bytes_as_asked(entropy: Entropy, size: int) -> None:
    assert len(entropy.random_bytes(size)) == size


def test_entropy_never_gives_the_same_key_twice(entropy: Entropy) -> None:
    assert len({entropy.random_bytes(32) for _ in range(1000)}) == 1000
