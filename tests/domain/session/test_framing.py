import pytest

from domain.noise.primitives import Buffer
from domain.session.framing import (
    LARGEST_BODY_BYTES,
    LENGTH,
    LONGEST_LENGTH,
    FramingError,
    framed,
    split_frames,
)
from domain.session.nonce import SessionError
from tests.domain.session.arriving import byte_by_byte, fed

IMPOSSIBLE_LENGTHS = pytest.mark.parametrize("length", [0, LARGEST_BODY_BYTES + 1, LONGEST_LENGTH])


def split(stream: Buffer, largest_body_bytes: int = LARGEST_BODY_BYTES) -> tuple[list[bytes], int]:
    bodies, taken = split_frames(stream, largest_body_bytes)
    return list(map(bytes, bodies)), taken


def test_a_message_travels_behind_its_length() -> None:
    assert framed(b"\x45" * 258) == b"\x01\x02" + b"\x45" * 258
    assert split(b"\x00\x03abc") == ([b"abc"], 5)


@pytest.mark.parametrize("into", [bytes, bytearray, memoryview])
def test_any_kind_of_buffer_is_framed_and_split(into: type[bytes | bytearray | memoryview]) -> None:
    stream: Buffer = into(framed(into(b"one")) + framed(into(b"another")))

    assert split(stream) == ([b"one", b"another"], len(stream))


@pytest.mark.parametrize("size", [1, LARGEST_BODY_BYTES])
def test_the_shortest_and_the_longest_body_are_allowed(size: int) -> None:
    bodies, taken = split(framed(bytes(size)))

    assert (bodies, taken) == ([bytes(size)], 2 + size)


@pytest.mark.parametrize("size", [0, LARGEST_BODY_BYTES + 1])
def test_a_message_that_no_frame_may_hold_is_a_mistake(size: int) -> None:
    with pytest.raises(ValueError, match=f"1 to 1518 bytes, not {size}"):
        framed(bytes(size))


@IMPOSSIBLE_LENGTHS
def test_an_impossible_length_ends_the_stream_before_its_body_arrives(length: int) -> None:
    with pytest.raises(FramingError) as caught:
        split_frames(LENGTH.pack(length))

    assert (caught.value.length, caught.value.largest_body_bytes) == (length, LARGEST_BODY_BYTES)
    assert isinstance(caught.value, SessionError)


@IMPOSSIBLE_LENGTHS
def test_an_impossible_length_takes_the_frames_of_its_piece_with_it(length: int) -> None:
    stream = framed(b"one") + framed(b"another") + LENGTH.pack(length)

    with pytest.raises(FramingError):
        split_frames(stream)

    bodies, _, error = fed(byte_by_byte(stream))
    assert bodies == [b"one", b"another"]
    assert error is not None
    assert error.length == length


def test_nothing_and_half_a_length_are_no_frames_yet() -> None:
    assert split(b"") == ([], 0)
    assert split(b"\xff") == ([], 0)


def test_what_is_incomplete_is_left_to_the_next_piece() -> None:
    whole = framed(b"one") + framed(b"another")

    for cut in range(len(whole)):
        bodies, taken = split(whole[:cut])
        rest, rest_taken = split(whole[taken:])

        assert bodies + rest == [b"one", b"another"]
        assert taken + rest_taken == len(whole)


def test_the_bodies_are_views_and_not_copies() -> None:
    stream = bytearray(framed(b"one"))

    [body], _ = split_frames(stream)
    stream[2:] = b"two"

    assert bytes(body) == b"two"


def test_a_greater_limit_can_be_agreed_on_and_a_smaller_one() -> None:
    longest = framed(bytes(LONGEST_LENGTH), LONGEST_LENGTH)

    assert split(longest, LONGEST_LENGTH) == ([bytes(LONGEST_LENGTH)], 2 + LONGEST_LENGTH)
    with pytest.raises(FramingError, match="claims 65535 bytes; 1 to 65534"):
        split_frames(longest, LONGEST_LENGTH - 1)
    with pytest.raises(ValueError, match="1 to 10 bytes, not 11"):
        framed(bytes(11), 10)
