from domain.session.liveness import (
    REFUSAL_PAUSE_S,
    SERVER_IDLE_LIMIT_S,
    SERVER_REAPER_PERIOD_S,
    ClientLiveness,
    LivenessAction,
    is_idle,
)

PING, DEAD = LivenessAction.SEND_PING, LivenessAction.DEAD
START_S = 1000.0


def timeline(liveness: ClientLiveness, until_s: float) -> list[tuple[float, LivenessAction]]:
    """What the machine asks for, driven by nothing but its own deadlines."""
    events: list[tuple[float, LivenessAction]] = []
    while (now_s := liveness.next_deadline_s()) <= until_s:
        action = liveness.handle_timer(now_s)
        assert action is not None  # at its deadline something is due, or the shell would spin
        events.append((now_s - START_S, action))
        if action is DEAD:
            break
    return events


def test_a_server_that_never_answers_is_pinged_every_second_and_dead_after_fifteen() -> None:
    assert timeline(ClientLiveness(START_S), START_S + 60) == [
        *((second, PING) for second in range(15)),
        (15, DEAD),
    ]


def test_an_idle_session_is_kept_by_pings_and_pongs() -> None:
    liveness = ClientLiveness(START_S)
    pings: list[float] = []

    while (now_s := liveness.next_deadline_s()) < START_S + 60:
        assert liveness.handle_timer(now_s) is PING
        pings.append(now_s - START_S)
        liveness.authenticated(now_s + 0.5)  # the pong, half a second later

    assert pings[:4] == [0, 3.5, 7, 10.5]
    assert len(pings) == 18


def test_downlink_traffic_makes_pings_unnecessary() -> None:
    liveness = ClientLiveness(START_S)

    for second in range(120):
        liveness.authenticated(START_S + second)
        assert liveness.handle_timer(START_S + second + 0.9) is None

    assert liveness.next_deadline_s() == START_S + 119 + 3


def test_nothing_is_due_before_the_deadline() -> None:
    liveness = ClientLiveness(START_S, first_ping_after_s=1)

    assert liveness.next_deadline_s() == START_S + 1
    assert liveness.handle_timer(START_S + 0.999) is None
    assert liveness.next_deadline_s() == START_S + 1


def test_missed_pings_are_not_made_up_for() -> None:
    liveness = ClientLiveness(START_S)

    assert liveness.handle_timer(START_S + 14) is PING
    assert liveness.handle_timer(START_S + 14) is None
    assert liveness.next_deadline_s() == START_S + 15


def test_fifteen_seconds_count_from_the_last_authenticated_datagram() -> None:
    liveness = ClientLiveness(START_S)
    liveness.authenticated(START_S + 10)

    assert liveness.handle_timer(START_S + 24.9) is PING
    assert liveness.handle_timer(START_S + 25) is DEAD
    assert liveness.handle_timer(START_S + 26) is DEAD


def test_a_process_that_slept_through_the_limit_learns_that_the_session_is_dead() -> None:
    liveness = ClientLiveness(START_S)
    liveness.authenticated(START_S + 1)

    assert liveness.handle_timer(START_S + 3600) is DEAD


def test_a_probe_asks_four_times_and_an_unanswered_one_is_the_end_after_two_seconds() -> None:
    liveness = ClientLiveness(START_S)
    liveness.authenticated(START_S)
    liveness.probe(START_S + 1)

    assert timeline(liveness, START_S + 60) == [*((1 + half / 2, PING) for half in range(4)), (3, DEAD)]


def test_an_answered_probe_leaves_everything_as_it_was() -> None:
    liveness = ClientLiveness(START_S)
    liveness.probe(START_S + 1)
    assert liveness.handle_timer(START_S + 1) is PING
    liveness.authenticated(START_S + 2.5)

    assert timeline(liveness, START_S + 60) == [
        *((second, PING) for second in (5.5 + n for n in range(12))),
        (17.5, DEAD),
    ]


def test_a_second_probe_has_its_own_two_seconds() -> None:
    liveness = ClientLiveness(START_S)
    liveness.probe(START_S)
    liveness.probe(START_S + 1.5)

    assert liveness.handle_timer(START_S + 3) is PING
    assert liveness.handle_timer(START_S + 3.5) is DEAD


def test_probes_one_after_another_do_not_keep_a_dead_session() -> None:
    liveness = ClientLiveness(START_S)
    for second in range(15):
        liveness.probe(START_S + second)
        assert liveness.handle_timer(START_S + second) is PING

    assert liveness.next_deadline_s() <= START_S + 15
    assert liveness.handle_timer(START_S + 15) is DEAD


def test_a_refusal_asks_eight_times_and_silence_is_the_end_after_two_seconds() -> None:
    liveness = ClientLiveness(START_S)
    liveness.authenticated(START_S)

    assert liveness.refused(START_S + 1)
    assert timeline(liveness, START_S + 60) == [*((1 + n / 4, PING) for n in range(8)), (3, DEAD)]


def test_a_refusal_that_an_answer_contradicts_leaves_everything_as_it_was() -> None:
    liveness = ClientLiveness(START_S)
    assert liveness.refused(START_S + 1)
    assert liveness.handle_timer(START_S + 1) is PING
    liveness.authenticated(START_S + 2.5)

    assert timeline(liveness, START_S + 60) == [
        *((second, PING) for second in (5.5 + n for n in range(12))),
        (17.5, DEAD),
    ]


def test_further_refusals_change_nothing_while_the_server_is_being_asked() -> None:
    liveness = ClientLiveness(START_S)
    assert liveness.refused(START_S)
    pings = 0
    for millisecond in range(2000):
        assert not liveness.refused(START_S + millisecond / 1000)
        pings += liveness.handle_timer(START_S + millisecond / 1000) is PING

    assert pings == 8
    assert liveness.handle_timer(START_S + 2) is DEAD


def test_a_flood_of_refusals_costs_a_server_that_answers_no_more_pings_than_silence_does() -> None:
    liveness = ClientLiveness(START_S)
    pings = 0
    for millisecond in range(60_000):
        now_s = START_S + millisecond / 1000
        liveness.refused(now_s)
        if liveness.handle_timer(now_s) is PING:
            pings += 1
            liveness.authenticated(now_s)

    assert pings == 60 / REFUSAL_PAUSE_S


def test_a_refusal_soon_after_another_is_not_forgotten_for_good() -> None:
    liveness = ClientLiveness(START_S)
    liveness.refused(START_S)
    liveness.authenticated(START_S + 0.1)
    assert not liveness.refused(START_S + REFUSAL_PAUSE_S - 0.1)

    assert liveness.refused(START_S + REFUSAL_PAUSE_S)
    assert liveness.next_deadline_s() == START_S + REFUSAL_PAUSE_S


def test_a_refusal_during_a_probe_changes_nothing() -> None:
    liveness = ClientLiveness(START_S)
    liveness.authenticated(START_S)
    liveness.probe(START_S + 1)
    assert not liveness.refused(START_S + 1.6)

    assert timeline(liveness, START_S + 60) == [*((1 + half / 2, PING) for half in range(4)), (3, DEAD)]


def test_a_probe_after_a_refusal_asks_anew_and_leaves_the_pause_alone() -> None:
    liveness = ClientLiveness(START_S)
    liveness.refused(START_S)
    liveness.probe(START_S + 0.5)
    liveness.authenticated(START_S + 0.6)

    assert not liveness.refused(START_S + 2.9)
    assert liveness.refused(START_S + 3)


def test_refusals_do_not_keep_a_dead_session() -> None:
    liveness = ClientLiveness(START_S)
    assert liveness.refused(START_S + 14)

    assert liveness.handle_timer(START_S + 15) is DEAD


def test_the_intervals_can_be_chosen() -> None:
    liveness = ClientLiveness(START_S, first_ping_after_s=2, ping_again_after_s=5, dead_after_s=10)

    assert timeline(liveness, START_S + 60) == [(2, PING), (7, PING), (10, DEAD)]


def test_a_server_drops_a_session_after_more_than_thirty_silent_seconds() -> None:
    assert not is_idle(START_S, START_S)
    assert not is_idle(START_S, START_S + SERVER_IDLE_LIMIT_S)
    assert is_idle(START_S, START_S + SERVER_IDLE_LIMIT_S + 0.001)
    assert is_idle(START_S, START_S + 6, idle_limit_s=5)


def test_a_silent_session_lives_between_thirty_and_forty_seconds() -> None:
    for phase in range(10):  # how long before the last datagram the reaper ran
        scans = [phase + SERVER_REAPER_PERIOD_S * n for n in range(1, 8)]
        removed_after_s = next(scan - phase for scan in scans if is_idle(phase, scan))
        assert SERVER_IDLE_LIMIT_S < removed_after_s <= SERVER_IDLE_LIMIT_S + SERVER_REAPER_PERIOD_S
