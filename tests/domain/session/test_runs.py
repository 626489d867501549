import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.noise.primitives import Buffer
from domain.session.runs import cut, joined


def test_frames_of_one_length_are_joined_and_a_shorter_one_ends_the_run() -> None:
    frames = [b"aaa", b"bbb", b"c", b"dd", b"ee", b"fff"]

    assert joined(frames) == [(b"aaabbbc", 3), (b"ddee", 2), (b"fff", 3)]
    assert joined([]) == []


def test_a_frame_alone_is_not_copied() -> None:
    frame = bytes(100)

    [(run, size)] = joined([frame])

    assert run is frame
    assert size == 100


@pytest.mark.parametrize("into", [bytes, bytearray, memoryview])
def test_a_run_is_cut_where_its_frames_begin(into: type[bytes | bytearray | memoryview]) -> None:
    run: Buffer = into(b"aaabbbc")

    assert [bytes(frame) for frame in cut((run, 3))] == [b"aaa", b"bbb", b"c"]
    assert cut((run, 7)) == [run]
    assert cut((run, 100)) == [run]


@given(st.lists(st.binary(min_size=1, max_size=4)))
def test_what_was_joined_is_cut_again(frames: list[bytes]) -> None:
    runs = joined(frames)

    assert [bytes(frame) for run in runs for frame in cut(run)] == frames
    assert all(len(frames) <= size or len(cut((frames, size))) > 1 for frames, size in runs)
