"""Chunks in, sealed frames out, whatever somebody makes up in between."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.session.loss import LossCounter
from domain.session.reassembly import FRAMES_IN_FLIGHT, HELD_BYTES, Reassembly


@pytest.fixture(name="reassembly")
def an_empty_one() -> Reassembly:
    return Reassembly(LossCounter())


def held_by(reassembly: Reassembly) -> int:
    """Counted chunk by chunk."""
    return sum(len(chunk) for frame in reassembly._frames.values() for chunk in frame.chunks)


def test_a_whole_frame_is_handed_on_at_once(reassembly: Reassembly) -> None:
    assert reassembly.add(0, 1, 0, 3, [b"aa", b"bb", b"c"]) == b"aabbc"
    assert reassembly.add(0, 2, 0, 1, [b"d"]) == b"d"
    assert (reassembly.in_flight, reassembly.held_bytes) == (0, 0)


@pytest.mark.parametrize("order", [(0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)])
def test_chunks_are_put_in_their_places(reassembly: Reassembly, order: tuple[int, ...]) -> None:
    chunks = [b"aa", b"bb", b"c"]

    sealed = [reassembly.add(0, 1, index, 3, [chunks[index]]) for index in order]

    assert sealed == [None, None, b"aabbc"]
    assert (reassembly.in_flight, reassembly.held_bytes) == (0, 0)


def test_stretches_may_overlap(reassembly: Reassembly) -> None:
    reassembly.add(0, 1, 1, 5, [b"b", b"c", b"d"])

    assert reassembly.add(0, 1, 0, 5, [b"a", b"X", b"X"]) is None
    assert reassembly.add(0, 1, 3, 5, [b"X", b"e"]) == b"abcde"
    assert reassembly.repeated == 3


def test_the_same_counter_in_two_epochs_is_two_frames(reassembly: Reassembly) -> None:
    reassembly.add(0, 1, 0, 2, [b"a"])

    assert reassembly.add(1, 1, 1, 2, [b"B"]) is None
    assert reassembly.add(0, 1, 1, 2, [b"b"]) == b"ab"
    assert reassembly.add(1, 1, 0, 2, [b"A"]) == b"AB"


def test_a_frame_is_given_up_when_the_fourth_after_it_begins(reassembly: Reassembly) -> None:
    reassembly.add(0, 1, 0, 2, [b"a"])
    for low in (2, 3):
        reassembly.add(0, low, 0, 1, [b"whole"])
    reassembly.add(0, 4, 0, 2, [b"d"])
    reassembly.add(0, 4, 1, 2, [b"d"])
    assert (reassembly.in_flight, reassembly.incomplete) == (1, 0)

    reassembly.add(0, 5, 0, 2, [b"e"])

    assert (reassembly.in_flight, reassembly.incomplete) == (1, 1)
    assert reassembly.add(0, 1, 1, 2, [b"late"]) is None
    assert (reassembly.in_flight, reassembly.repeated) == (1, 1)  # it does not begin again


@pytest.mark.parametrize(
    ("index", "count", "chunk"),
    [
        (1, 4, b"bb"),  # another count
        (1, 2, b"b"),
        (1, 3, b"b"),  # another length, and not the last
        (1, 3, b"bbb"),
        (2, 3, b"ccc"),  # longer than the others
    ],
)
def test_a_chunk_that_contradicts_the_others_is_left_out(
    reassembly: Reassembly, index: int, count: int, chunk: bytes
) -> None:
    reassembly.add(0, 1, 0, 3, [b"aa"])

    assert reassembly.add(0, 1, index, count, [chunk]) is None

    assert reassembly.contradictory == 1
    assert reassembly.add(0, 1, 1, 3, [b"bb", b"c"]) == b"aabbc"


def test_the_others_must_not_be_shorter_than_the_last(reassembly: Reassembly) -> None:
    reassembly.add(0, 1, 2, 3, [b"cc"])

    assert reassembly.add(0, 1, 0, 3, [b"a"]) is None
    assert reassembly.contradictory == 1
    assert reassembly.add(0, 1, 0, 3, [b"aa", b"bb"]) == b"aabbcc"


def test_a_stretch_that_ends_short_in_the_middle_of_a_frame_is_left_out(reassembly: Reassembly) -> None:
    reassembly.add(0, 1, 0, 4, [b"aa", b"b"])

    assert (reassembly.contradictory, reassembly.held_bytes) == (2, 0)


def test_a_whole_frame_is_tried_beside_what_was_made_up_about_it(reassembly: Reassembly) -> None:
    reassembly.add(0, 1, 0, 9, [b"made up"])

    assert reassembly.add(0, 1, 0, 2, [b"a", b"b"]) == b"ab"
    reassembly.discard(0, 1)
    reassembly.discard(0, 1)
    assert (reassembly.in_flight, reassembly.held_bytes, reassembly.incomplete) == (0, 0, 0)


def test_the_oldest_frames_go_when_too_much_is_held(reassembly: Reassembly) -> None:
    chunk = bytes(30_000)
    for low in (1, 2, 3):
        reassembly.add(0, low, 0, 46, [chunk] * 3)
    assert (reassembly.in_flight, reassembly.incomplete) == (2, 1)

    reassembly.add(0, 4, 0, 46, [chunk] * 9)  # alone too much

    assert (reassembly.in_flight, reassembly.incomplete, reassembly.held_bytes) == (0, 4, 0)


stretches = st.tuples(
    st.integers(0, 1),  # epoch
    st.integers(1, 8),  # counter
    st.integers(0, 45),  # index
    st.integers(1, 46),  # count
    st.integers(1, 8),  # chunks
    st.sampled_from([1, 2, 1000, 65_000]),  # their length
    st.integers(0, 999),  # by how much the last one is shorter
)


@given(st.lists(stretches, max_size=60))
def test_memory_is_bounded_whatever_arrives(arriving: list[tuple[int, int, int, int, int, int, int]]) -> None:
    reassembly = Reassembly(LossCounter())
    for epoch, low, index, count, number, size, shorter_by in arriving:
        if index + number > count:
            continue
        chunks = [bytes(size)] * (number - 1) + [bytes(max(1, size - shorter_by))]

        sealed = reassembly.add(epoch, low, index, count, chunks)

        assert reassembly.held_bytes == held_by(reassembly) <= HELD_BYTES
        assert reassembly.in_flight <= FRAMES_IN_FLIGHT
        assert sealed is None or len(sealed) >= count
