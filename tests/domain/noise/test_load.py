from domain.noise.load import LOAD_THRESHOLD, LoadMonitor, TokenBucket


def _record(monitor: LoadMonitor, now_s: float, times: int) -> None:
    for _ in range(times):
        monitor.record(now_s)


def test_the_first_second_is_never_under_load() -> None:
    monitor = LoadMonitor()
    _record(monitor, 7.0, 5 * LOAD_THRESHOLD)
    assert not monitor.under_load


def test_the_message_that_opens_a_second_already_feels_the_load_of_the_last_one() -> None:
    monitor = LoadMonitor()
    _record(monitor, 7.0, LOAD_THRESHOLD + 1)
    monitor.record(7.999)
    assert not monitor.under_load
    monitor.record(8.0)
    assert monitor.under_load


def test_exactly_the_threshold_is_no_load() -> None:
    monitor = LoadMonitor()
    _record(monitor, 7.5, LOAD_THRESHOLD)
    monitor.record(8.0)
    assert not monitor.under_load


def test_the_clock_alone_ends_nothing() -> None:
    monitor = LoadMonitor()
    _record(monitor, 7.0, LOAD_THRESHOLD + 1)
    monitor.record(3600.0)
    assert monitor.under_load
    _record(monitor, 3600.9, 10)
    assert monitor.under_load


def test_a_quiet_second_ends_the_load() -> None:
    monitor = LoadMonitor()
    _record(monitor, 7.0, LOAD_THRESHOLD + 1)
    monitor.record(8.0)
    assert monitor.under_load
    monitor.record(9.0)
    assert not monitor.under_load


def test_the_rate_is_a_count_between_rollovers_however_far_apart() -> None:
    monitor = LoadMonitor()
    _record(monitor, 7.0, 600)
    _record(monitor, 8.0, 500)
    monitor.record(9.0)
    assert not monitor.under_load, "600 and 500 are two different seconds"
    _record(monitor, 9.1, LOAD_THRESHOLD)
    monitor.record(1000.0)
    assert monitor.under_load, "1001 messages since the rollover at 9, not a thousandth of one per second"


def test_a_clock_that_steps_back_makes_no_rollover() -> None:
    monitor = LoadMonitor()
    _record(monitor, 7.0, LOAD_THRESHOLD + 1)
    monitor.record(6.0)
    assert not monitor.under_load


def test_a_bucket_lets_a_burst_pass_and_then_its_rate() -> None:
    bucket = TokenBucket(per_second=2, burst=3)
    assert [bucket.try_take(10.0) for _ in range(4)] == [True, True, True, False]
    assert not bucket.try_take(10.25)
    assert bucket.try_take(10.5)
    assert not bucket.try_take(10.5)
    assert [bucket.try_take(1000.0) for _ in range(4)] == [True, True, True, False]


def test_time_that_runs_backwards_earns_nothing() -> None:
    bucket = TokenBucket(per_second=1, burst=1)
    assert bucket.try_take(10.0)
    assert not bucket.try_take(5.0)
    assert not bucket.try_take(5.9)
    assert bucket.try_take(6.0)
