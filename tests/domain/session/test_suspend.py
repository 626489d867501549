from domain.session.suspend import SuspendWatch


def test_time_that_passes_on_both_clocks_is_no_sleep() -> None:
    watch = SuspendWatch(monotonic_s=100.0, boottime_s=250.0)
    assert not watch.has_slept(monotonic_s=90_100.0, boottime_s=90_250.0)


def test_time_that_passes_on_the_boot_time_clock_alone_is_sleep() -> None:
    watch = SuspendWatch(monotonic_s=100.0, boottime_s=250.0)
    assert not watch.has_slept(monotonic_s=101.0, boottime_s=252.0)
    assert watch.has_slept(monotonic_s=101.0, boottime_s=252.1)
