"""Time as a descriptor."""

import os
import resource
import select
import time
from collections.abc import Iterator

import pytest

from infrastructure.network.stream.alarm import Alarm


@pytest.fixture
def alarm() -> Iterator[Alarm]:
    made = Alarm()
    yield made
    made.close()


def rings(alarm: Alarm, within_s: float = 0.0) -> bool:
    return bool(select.select([alarm.fileno()], [], [], within_s)[0])


def test_it_rings_when_the_time_has_come_and_not_before(alarm: Alarm) -> None:
    assert not rings(alarm)
    started_s = time.monotonic()
    alarm.set(0.03)
    assert not rings(alarm)
    assert rings(alarm, within_s=2)
    assert time.monotonic() - started_s >= 0.03
    assert rings(alarm)


@pytest.mark.parametrize("delay_s", [0, -5.0, 1e-12])
def test_what_is_overdue_rings_at_once(alarm: Alarm, delay_s: float) -> None:
    alarm.set(delay_s)
    assert rings(alarm, within_s=2)


def test_setting_it_again_is_the_end_of_what_was(alarm: Alarm) -> None:
    alarm.set(0)
    assert rings(alarm, within_s=2)
    alarm.set(3600)
    assert not rings(alarm)
    alarm.set(0)
    assert rings(alarm, within_s=2)
    alarm.set(None)
    assert not rings(alarm)


def test_nothing_survives_exec_or_close(alarm: Alarm) -> None:
    number = alarm.fileno()
    assert not os.get_inheritable(number)
    assert not os.get_blocking(number)
    alarm.close()
    alarm.close()
    assert alarm.fileno() == -1
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(number)


def test_a_closed_one_cannot_be_set(alarm: Alarm) -> None:
    alarm.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        alarm.set(1)


def test_without_a_descriptor_to_spare_the_error_says_so() -> None:
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, limits[1]))
    try:
        with pytest.raises(OSError, match="Too many open files"):
            Alarm()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
