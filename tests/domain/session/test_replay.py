import json
from pathlib import Path
from typing import TypedDict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.session.replay import LANES, WINDOW_BITS, ReplayWindow

VECTORS = Path(__file__).parents[2] / "vectors" / "udp_frames.json"


class CounterEvent(TypedDict):
    high: int
    low: int
    accept: bool


class LaneState(TypedDict):
    high: int
    max: int


class ReplayCase(TypedDict):
    kind: str
    name: str
    events: list[CounterEvent]
    final_windows: list[LaneState]


def replay_cases() -> list[ReplayCase]:
    cases: list[ReplayCase] = json.loads(VECTORS.read_text())["cases"]
    found = [case for case in cases if case["kind"] == "replay"]
    assert found
    return found


def arrives(window: ReplayWindow, high: int, low: int) -> bool:
    """An authentic datagram with this counter: checked, then accepted if it was fresh."""
    fresh = window.is_fresh(high, low)
    if fresh:
        window.accept(high, low)
    return fresh


@pytest.mark.parametrize("case", replay_cases(), ids=lambda case: case["name"])
def test_the_recorded_sequences_are_judged_alike(case: ReplayCase) -> None:
    window = ReplayWindow()

    verdicts = [arrives(window, event["high"], event["low"]) for event in case["events"]]

    assert verdicts == [event["accept"] for event in case["events"]]
    lanes = [LaneState(high=high, max=lane.maximum) for high, lane in window._lanes.items()]
    assert lanes == case["final_windows"]


def test_a_distance_of_1023_is_the_last_one_accepted() -> None:
    window = ReplayWindow()
    assert arrives(window, 0, 5000)

    assert arrives(window, 0, 5000 - 1023)
    assert not arrives(window, 0, 5000 - 1024)


def test_a_replayed_counter_is_refused() -> None:
    window = ReplayWindow()

    assert arrives(window, 0, 1)
    assert not arrives(window, 0, 1)
    assert arrives(window, 0, 2)
    assert not arrives(window, 0, 1)


def test_counter_zero_is_accepted_once() -> None:
    window = ReplayWindow()

    assert arrives(window, 0, 0)
    assert not arrives(window, 0, 0)


def test_asking_changes_nothing() -> None:
    window = ReplayWindow()
    arrives(window, 0, 10)

    for _ in range(3):
        assert window.is_fresh(0, 1 << 63)
        assert window.is_fresh(9, 0)

    assert arrives(window, 0, 11)
    assert list(window._lanes) == [0]


def test_a_jump_over_the_whole_counter_space_costs_no_memory() -> None:
    window = ReplayWindow()
    arrives(window, 0, 1)

    assert arrives(window, 0, (1 << 64) - 1)

    assert window._lanes[0].seen == 1
    assert not arrives(window, 0, 1)


def test_the_map_never_outgrows_the_window() -> None:
    window = ReplayWindow()

    for low in range(1, 3 * WINDOW_BITS):
        assert arrives(window, 0, low)

    assert window._lanes[0].seen.bit_length() == WINDOW_BITS


def test_the_fifth_lane_evicts_the_oldest_created_not_the_least_used() -> None:
    window = ReplayWindow()
    for high in range(LANES):
        assert arrives(window, high, 1)
    assert arrives(window, 0, 2)  # lane 0 is the oldest, and the one used last

    assert arrives(window, LANES, 1)

    assert list(window._lanes) == [1, 2, 3, 4]
    assert arrives(window, 0, 1)  # forgotten, so it passes once more
    assert list(window._lanes) == [2, 3, 4, 0]


class NaiveWindow:
    """The same rules over plain sets that forget nothing while their lane lives."""

    def __init__(self) -> None:
        self.lanes: list[tuple[int, set[int]]] = []

    def arrives(self, high: int, low: int) -> bool:
        seen = next((seen for lane, seen in self.lanes if lane == high), None)
        if seen is None:
            self.lanes = [*self.lanes[-(LANES - 1) :], (high, {low})]
            return True
        if low in seen or max(seen) - low >= WINDOW_BITS:
            return False
        seen.add(low)
        return True


LOWS = st.one_of(
    st.integers(0, 40),
    st.integers(1000, 1100),
    st.integers(2040, 2060),
    st.integers(0, 4000),
    st.integers((1 << 64) - 1030, (1 << 64) - 1),
)


@given(st.lists(st.tuples(st.integers(0, 5), LOWS), max_size=200))
def test_any_sequence_is_judged_like_the_naive_model(counters: list[tuple[int, int]]) -> None:
    window, model = ReplayWindow(), NaiveWindow()

    for high, low in counters:
        assert arrives(window, high, low) == model.arrives(high, low)


@given(st.lists(st.integers(-1100, 1100), max_size=150))
def test_any_walk_around_the_edge_is_judged_like_the_naive_model(steps: list[int]) -> None:
    window, model = ReplayWindow(), NaiveWindow()
    low = 5000

    for step in steps:
        low = max(0, low + step)
        assert arrives(window, 0, low) == model.arrives(0, low)


@given(st.sets(st.integers(1, 1500), min_size=1), st.integers(0, WINDOW_BITS), st.integers(0, WINDOW_BITS))
def test_what_was_accepted_between_two_counters_is_known(lows: set[int], one: int, other: int) -> None:
    window = ReplayWindow()
    for low in sorted(lows):
        window.accept(0, low)
    newest = max(lows)
    after, last = sorted((max(0, newest - one), max(0, newest - other)))

    assert window.newest(0) == newest
    assert window.accepted_between(0, after, last) == len([low for low in lows if after < low <= last])


def test_nothing_was_accepted_in_a_lane_that_nobody_used() -> None:
    window = ReplayWindow()
    window.accept(1, 5)

    assert window.newest(0) == 0
    assert window.accepted_between(0, 0, 0) == 0
