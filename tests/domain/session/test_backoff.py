from domain.session.backoff import FIRST_DELAY_S, HEALTHY_AFTER_S, LAST_DELAY_S, ReconnectBackoff


def test_the_pause_doubles_up_to_its_limit() -> None:
    backoff = ReconnectBackoff()
    pauses = [backoff.next_delay_s(1.0) for _ in range(9)]
    assert pauses == [1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0, 30.0]


def test_jitter_takes_off_at_most_half() -> None:
    assert ReconnectBackoff().next_delay_s(0.0) == FIRST_DELAY_S / 2 == 0.5
    backoff = ReconnectBackoff()
    for _ in range(20):
        backoff.next_delay_s(0.0)
    assert backoff.next_delay_s(0.0) == LAST_DELAY_S / 2


def test_a_session_that_lived_resets_the_pause_and_a_short_one_does_not() -> None:
    backoff = ReconnectBackoff()
    for _ in range(4):
        backoff.next_delay_s(1.0)
    backoff.session_ended(HEALTHY_AFTER_S - 1)
    assert backoff.next_delay_s(1.0) == 16.0
    backoff.session_ended(HEALTHY_AFTER_S)
    assert backoff.next_delay_s(1.0) == FIRST_DELAY_S
