"""What is counted, and what the sender makes of it."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.packets.service import loss_of_untrusted, loss_report
from domain.session.epochs import ReceiveEpoch
from domain.session.identifiers import Epoch
from domain.session.loss import MOST_DATAGRAMS, REORDERING, FrameLimit, LossCounter
from tests.adapters.primitives import PlainPrimitives


@pytest.fixture(name="loss")
def a_new_counter() -> LossCounter:
    return LossCounter()


def held(epoch: int = 0) -> ReceiveEpoch:
    return ReceiveEpoch(Epoch(epoch), PlainPrimitives().aead(bytes(32)))


def reported(loss: LossCounter) -> tuple[int, int] | None:
    """What has been counted until now, a second later."""
    assert loss.report(0.0) is None
    report = loss.report(1.0)
    return None if report is None else loss_of_untrusted(report)


def settle(loss: LossCounter, last: int, epoch: int = 0) -> None:
    """Let single datagrams follow until ``last`` is settled."""
    for low in range(last + 1, last + REORDERING + 1):
        loss.arrived(epoch, low, 1)


# The receiver


def test_frames_count_when_enough_others_have_followed(loss: LossCounter) -> None:
    loss.arrived(0, 1, 46)
    for low in range(2, REORDERING + 1):
        loss.arrived(0, low, 1)
    assert reported(loss) is None

    loss.arrived(0, REORDERING + 1, 1)

    assert reported(loss) == (46, 0)


def test_every_kind_of_loss_counts_as_the_table_says(loss: LossCounter) -> None:
    loss.arrived(0, 1, 46)
    loss.abandoned(0, 2, 40, 6)
    # nothing comes of the third
    loss.arrived(0, 4, 3)
    settle(loss, 4)

    assert reported(loss) == (46 + 40 + 3, 6 + 1)


def test_a_frame_that_is_overtaken_is_not_missing(loss: LossCounter) -> None:
    order = [*range(1, 500)]
    random.Random(1).shuffle(order)
    by_lateness = sorted(range(1, 500), key=lambda low: low + order[low - 1] % REORDERING)
    for low in by_lateness:
        loss.arrived(0, low, 2)

    assert reported(loss) == (2 * (499 - REORDERING), 0)


def test_what_comes_of_a_frame_that_was_given_up_is_not_missing(loss: LossCounter) -> None:
    loss.abandoned(0, 1, 1, 3)

    assert not loss.is_abandoned(0, 2, 1)
    assert not loss.is_abandoned(1, 1, 1)
    assert loss.is_abandoned(0, 1, 2)
    assert loss.is_abandoned(0, 1, 20)  # there were four at most
    settle(loss, 1)

    assert reported(loss) == (4, 0)


def test_a_frame_that_comes_after_it_was_settled_changes_nothing(loss: LossCounter) -> None:
    settle(loss, 10)
    assert reported(loss) is None  # ten missing, but none received

    loss.arrived(0, 5, 46)
    loss.abandoned(0, 6, 40, 6)
    assert min(loss._frames) > 10
    settle(loss, 11)

    assert reported(loss) == (1, 10)


def test_forged_frames_count_only_when_authentic_ones_come_as_far(loss: LossCounter) -> None:
    loss.arrived(0, 1, 1)
    for low in (0, 2, 3, 50, REORDERING + 1, REORDERING + 2, 10**9, 2**64 - 1):
        loss.abandoned(0, low, 0, 46)
    loss.abandoned(7, 2, 0, 46)
    settle(loss, 1)
    loss.arrived(0, 2, 1)  # genuine after all

    assert reported(loss) == (1, 0)


def test_where_no_frame_comes_whole_any_more_their_pieces_are_counted(loss: LossCounter) -> None:
    loss.arrived(0, 1, 1)
    for low in range(2, 2 + REORDERING):
        loss.abandoned(0, low, 30, 16)  # near: they wait for an authentic one
    for low in range(1000, 1000 + REORDERING):
        loss.abandoned(0, low, 30, 16)
    assert reported(loss) is None

    loss.abandoned(0, 2000, 30, 16)
    loss.abandoned(1, 1, 30, 16)

    assert reported(loss) == (60, 32)
    loss.arrived(0, 2, 1)
    loss.abandoned(0, 3000, 30, 16)
    assert reported(loss) is None


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 300), st.integers(1, 46), st.integers(0, 46))))
def test_what_is_kept_is_bounded(events: list[tuple[bool, int, int, int]]) -> None:
    loss = LossCounter()
    for is_authentic, low, received, missing in events:
        if is_authentic:
            loss.arrived(0, low, received)
        else:
            loss.abandoned(0, low, received, missing)

        assert len(loss._frames) <= 2 * REORDERING


def test_a_leap_over_any_number_of_counters_costs_nothing_and_is_cut_to_32_bits(loss: LossCounter) -> None:
    settle(loss, 3)
    loss.arrived(0, 2**64 - 1, 1)

    assert reported(loss) == (REORDERING, 2**32 - 1)


def test_a_new_epoch_counts_anew_and_takes_what_is_known_of_the_old_one(loss: LossCounter) -> None:
    for low in (1, 2, 5):
        loss.arrived(0, low, 10)
    loss.abandoned(0, 4, 7, 3)

    loss.arrived(1, 1, 2)
    loss.arrived(0, 3, 10)  # late: of an epoch that is over
    loss.abandoned(0, 3, 1, 9)
    settle(loss, 1, epoch=1)

    assert reported(loss) == (30 + 7 + 2, 3)


def test_ordinary_datagrams_count_one_each(loss: LossCounter) -> None:
    epoch = held()
    for low in range(1, 201):
        if low % 10:
            epoch.window.accept(0, low)
        if low % 7 == 0:
            loss.ordinary(epoch)
    loss.ordinary(epoch)

    settled = epoch.window.newest(0) - REORDERING
    assert reported(loss) == (settled - settled // 10, settled // 10)


def test_ordinary_datagrams_that_have_left_the_window_are_not_counted(loss: LossCounter) -> None:
    epoch = held()
    for low in range(1, 3001):
        epoch.window.accept(0, low)

    loss.ordinary(epoch)

    assert reported(loss) == (1024 - REORDERING, 0)


def test_ordinary_datagrams_of_a_new_epoch_are_counted_from_its_first(loss: LossCounter) -> None:
    for epoch in (held(0), held(1)):
        for low in range(1, REORDERING + 11):
            epoch.window.accept(0, low)
        loss.ordinary(epoch)

    assert reported(loss) == (20, 0)


def test_a_report_comes_a_second_after_its_first_count(loss: LossCounter) -> None:
    settle(loss, 0)
    assert loss.report(3.0) is None
    loss.arrived(0, REORDERING + 1, 1)
    assert loss.report(5.0) is None
    loss.arrived(0, REORDERING + 2, 1)

    assert loss.report(5.9) is None
    assert loss.report(6.0) == loss_report(2, 0)
    assert loss.report(60.0) is None
    loss.arrived(0, REORDERING + 3, 1)
    assert loss.report(70.0) is None
    assert loss.report(71.0) == loss_report(1, 0)


# The sender


@pytest.mark.parametrize(
    ("received", "missing", "expected"),
    [
        (10_000, 0, 46),
        (99_999, 1, 46),
        (9_990, 10, 30),
        (9_900, 100, 3),
        (9_800, 200, 1),
        (970, 30, 1),
        (1, 2**32 - 1, 1),
        (2**32 - 1, 2**32 - 1, 1),
        (2**32 - 1, 1, 46),
    ],
)
def test_the_limit_follows_the_loss(received: int, missing: int, expected: int) -> None:
    limit = FrameLimit()

    limit.report(received, missing)

    assert limit.datagrams == expected


def test_the_limit_comes_back_by_doubling() -> None:
    limit = FrameLimit()
    limit.report(1000, 1000)

    seen = []
    for _ in range(8):
        seen.append(limit.datagrams)
        limit.report(10_000, 0)

    assert seen == [1, 2, 4, 8, 16, 32, 46, 46]


def test_a_quiet_line_that_loses_nothing_proves_little_and_in_time_enough() -> None:
    limit = FrameLimit()
    limit.report(1000, 1000)

    for _ in range(39):
        limit.report(5, 0)
    assert limit.datagrams == 1
    limit.report(5, 0)
    assert limit.datagrams == 2
    for _ in range(79):
        limit.report(5, 0)
    limit.report(999, 1)
    limit.report(5, 0)
    assert limit.datagrams == 2


@pytest.mark.parametrize("in_part", [9, 10])
def test_a_report_comes_early_when_many_frames_come_in_part(loss: LossCounter, in_part: int) -> None:
    loss.arrived(0, 60, 46)
    for low in range(1, in_part + 1):
        loss.abandoned(0, low, 45, 1)
    for low in range(in_part + 1, 60):
        loss.arrived(0, low, 46)
    early = loss.report(0.0)

    assert (early is not None) == (in_part == 10)
    if early is not None:
        assert loss_of_untrusted(early) == (45 * 10 + 46 * 50, 10)


@pytest.mark.parametrize(("whole", "is_due"), [(90, True), (91, False)])
def test_many_are_every_tenth_or_more(loss: LossCounter, whole: int, is_due: bool) -> None:
    for low in range(2, 2 + 2 * 10, 2):
        loss.arrived(0, low + 1, 46)
        loss.abandoned(0, low, 45, 1)
    for low in range(100, 100 + whole - 10):
        loss.arrived(0, low, 46)
    assert (loss.report(0.0) is not None) is is_due


def test_early_reports_keep_a_distance(loss: LossCounter) -> None:
    for start, now_s, is_due in ((1, 0.0, True), (100, 0.09, False), (200, 0.1, True)):
        loss.arrived(0, start + 50, 46)
        for low in range(start, start + 20):
            loss.abandoned(0, low, 45, 1)
        assert (loss.report(now_s) is not None) is is_due


def test_pieces_that_nothing_authentic_has_followed_call_for_no_report(loss: LossCounter) -> None:
    loss.arrived(0, 1, 46)
    for low in range(2, 60):
        loss.abandoned(0, low, 45, 1)
    assert loss.report(0.0) is None


def test_a_report_of_nothing_received_changes_nothing() -> None:
    limit = FrameLimit()
    for missing in (0, 1, 2**32 - 1):
        limit.report(0, missing)

    assert limit.datagrams == MOST_DATAGRAMS


@pytest.mark.parametrize("seed", range(3))
def test_at_a_steady_loss_the_limit_goes_down_and_stays(seed: int) -> None:
    network = random.Random(seed)
    limit = FrameLimit()
    seen = []
    for _ in range(60):
        missing = sum(network.random() < 0.01 for _ in range(3000))
        limit.report(3000 - missing, missing)
        seen.append(limit.datagrams)

    assert seen == sorted(seen, reverse=True)
    assert seen[0] <= 4
    assert seen[-1] in {1, 2}


@given(st.lists(st.tuples(st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1))))
def test_no_reports_at_all_take_the_limit_out_of_its_bounds(reports: list[tuple[int, int]]) -> None:
    limit = FrameLimit()
    for received, missing in reports:
        before = limit.datagrams
        limit.report(received, missing)

        assert 1 <= limit.datagrams <= min(2 * before, MOST_DATAGRAMS)
