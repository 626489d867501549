"""Every frame of a conversation on a stream mutilated, left out, repeated, reflected and reordered.

The conversation: packets and pings both ways, a rekey with frames of the old epoch in flight, and packets
again. Whatever happens to a frame, its receiver hears what came before it and nothing else, and the stream
ends. One thing the protocol does not notice: frames that are left out at the very end of an epoch.
"""

import itertools
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.noise.keys import EpochKeys, Role, SessionId
from domain.noise.primitives import Buffer
from domain.packets.service import PING, PONG, rekey_ack_v1, rekey_init_v1
from domain.session.framing import (
    LARGEST_BODY_BYTES,
    LENGTH,
    LENGTH_BYTES,
    FramingError,
    framed,
    split_frames,
)
from domain.session.identifiers import Epoch
from domain.session.stream import SMALLEST_BODY_BYTES, StreamBrokenError, StreamSession
from tests.adapters.primitives import PlainPrimitives
from tests.domain.session.arriving import byte_by_byte, fed
from tests.hostile.wiretap import truncations

PRIMITIVES = PlainPrimitives()
SESSION_ID = SessionId(bytes(range(32)))
KEYS = [EpochKeys(bytes([epoch]) * 32, bytes([0x80 + epoch]) * 32) for epoch in range(2)]
NEW = Epoch(1)

INIT, ACK = rekey_init_v1(bytes(range(32))), rekey_ack_v1(bytes(range(32)))
LAST_OF_ITS_EPOCH = b"\x45 in flight"

# Completes whatever frame a receiver waits for, and is none itself.
ENDLESS_ZEROS = bytes(2 * LARGEST_BODY_BYTES)


@dataclass(frozen=True, slots=True)
class Said:
    """One frame on the wire."""

    sender: Role
    plaintext: bytes
    frame: bytes


@dataclass(frozen=True, slots=True)
class Moved:
    """This end has heard ``reason``, and installs and activates the new epoch."""

    role: Role
    reason: bytes


Line = Said | Moved


def session(role: Role) -> StreamSession:
    return StreamSession(PRIMITIVES, role, SESSION_ID, KEYS[0])


@cache
def conversation() -> list[Line]:
    """What is said if nobody interferes, in an order in which it can be heard."""
    ends = {role: session(role) for role in Role}
    lines: list[Line] = []

    def say(sender: Role, *plaintexts: bytes) -> None:
        frames = ends[sender].seal(plaintexts)
        lines.extend(map(Said, [sender] * len(frames), plaintexts, frames))

    def move(role: Role, reason: bytes) -> None:
        ends[role].install(NEW, KEYS[NEW])
        ends[role].activate(NEW)
        lines.append(Moved(role, reason))

    say(Role.CLIENT, b"\x45 first packet up", PING)
    say(Role.SERVER, PONG, b"\x45 first packet down")
    say(Role.CLIENT, INIT, b"\x45 behind the init")
    say(Role.SERVER, ACK)
    move(Role.SERVER, INIT)
    say(Role.CLIENT, LAST_OF_ITS_EPOCH)
    move(Role.CLIENT, ACK)
    say(Role.SERVER, b"\x45 down in the new epoch")
    say(Role.CLIENT, PING, b"\x45 up in the new epoch")
    say(Role.SERVER, PONG)
    return lines


MOMENTS = [moment for moment, line in enumerate(conversation()) if isinstance(line, Said)]
EACH_MOMENT = pytest.mark.parametrize("moment", MOMENTS)


def at(moment: int) -> Said:
    line = conversation()[moment]
    assert isinstance(line, Said)
    return line


(LAST_MOMENT_OF_AN_EPOCH,) = (moment for moment in MOMENTS if at(moment).plaintext == LAST_OF_ITS_EPOCH)


def said_by(sender: Role, lines: list[Line]) -> list[Said]:
    return [line for line in lines if isinstance(line, Said) and line.sender is sender]


class Receiver:
    """One end that hears bytes; ``heard`` are the plaintexts in them, ``ended`` is why it stopped."""

    def __init__(self, role: Role) -> None:
        self._role = role
        self.session = session(role)
        self._pending = b""
        self.heard: list[bytes] = []
        self.ended: FramingError | StreamBrokenError | None = None

    def follow(self, lines: list[Line]) -> None:
        """Hear what the other end says in ``lines``, and move where the conversation moves."""
        for line in lines:
            if isinstance(line, Said):
                if line.sender is not self._role:
                    self.hear(line.frame)
            elif line.role is self._role and line.reason in self.heard:
                self.session.install(NEW, KEYS[NEW])
                self.session.activate(NEW)

    def hear(self, stream: bytes) -> None:
        if self.ended is not None:
            return
        self._pending += stream
        try:
            bodies, taken = split_frames(self._pending)
            self.open(bodies)
        except (FramingError, StreamBrokenError) as error:
            self.ended = error
        else:
            self._pending = self._pending[taken:]

    def open(self, bodies: list[memoryview]) -> None:
        unopened: list[Buffer] = list(bodies)
        while unopened:
            opened = self.session.open(unopened)
            self.heard += opened.packets + [plaintext for _, plaintext in opened.service]
            unopened = unopened[opened.consumed :]


def receiver_before(moment: int) -> Receiver:
    """The end to which this frame goes, as it is right before it."""
    receiver = Receiver(at(moment).sender.opposite)
    receiver.follow(conversation()[:moment])
    return receiver


def expect_the_end(moment: int, instead: bytes) -> None:
    """With ``instead`` in the place of this frame nothing is heard any more, and the stream ends."""
    receiver = receiver_before(moment)
    receiver.hear(instead)
    receiver.follow(conversation()[moment + 1 :])
    receiver.hear(ENDLESS_ZEROS)

    before = said_by(at(moment).sender, conversation()[:moment])
    assert receiver.heard == [said.plaintext for said in before]
    assert receiver.ended is not None


def every_flip(frame: bytes) -> Iterable[bytes]:
    for position, byte in enumerate(frame):
        for bit in range(8):
            yield frame[:position] + bytes([byte ^ 1 << bit]) + frame[position + 1 :]


@pytest.mark.parametrize("role", Role)
def test_both_ends_hear_everything_if_nobody_interferes(role: Role) -> None:
    receiver = Receiver(role)

    receiver.follow(conversation())

    assert receiver.heard == [said.plaintext for said in said_by(role.opposite, conversation())]
    assert receiver.ended is None
    assert receiver.session.receive_epochs == (NEW,)


@EACH_MOMENT
def test_bytes_that_are_missing_end_the_stream(moment: int) -> None:
    frame = at(moment).frame
    for shorter in filter(None, truncations(frame)):
        expect_the_end(moment, shorter)
    for position in range(len(frame)):
        expect_the_end(moment, frame[:position] + frame[position + 1 :])


@pytest.mark.parametrize("moment", [each for each in MOMENTS if each != LAST_MOMENT_OF_AN_EPOCH])
def test_a_frame_that_is_missing_ends_the_stream(moment: int) -> None:
    expect_the_end(moment, b"")


def test_the_last_frame_of_an_epoch_can_be_missing_without_a_trace() -> None:
    moment = LAST_MOMENT_OF_AN_EPOCH
    receiver = receiver_before(moment)

    receiver.follow(conversation()[moment + 1 :])

    heard = [said.plaintext for said in said_by(Role.CLIENT, conversation())]
    heard.remove(LAST_OF_ITS_EPOCH)
    assert receiver.heard == heard
    assert receiver.ended is None


@EACH_MOMENT
def test_a_flipped_bit_ends_the_stream(moment: int) -> None:
    for damaged in every_flip(at(moment).frame):
        expect_the_end(moment, damaged)


@EACH_MOMENT
def test_any_other_frame_in_its_place_ends_the_stream(moment: int) -> None:
    sender = at(moment).sender
    left_out = said_by(sender, conversation()[moment + 1 :])[:1] if moment == LAST_MOMENT_OF_AN_EPOCH else []
    for other in MOMENTS:
        if other != moment and at(other) not in left_out:
            expect_the_end(moment, at(other).frame)
            expect_the_end(moment, at(other).frame + at(moment).frame)


@EACH_MOMENT
def test_a_frame_that_is_said_twice_is_heard_once(moment: int) -> None:
    receiver = receiver_before(moment)

    receiver.hear(at(moment).frame)
    receiver.hear(at(moment).frame)

    assert isinstance(receiver.ended, StreamBrokenError)
    heard = [*said_by(at(moment).sender, conversation()[:moment]), at(moment)]
    assert receiver.heard == [said.plaintext for said in heard]


@EACH_MOMENT
def test_a_body_cut_in_a_frame_of_its_own_is_passed_over_or_ends_the_stream(moment: int) -> None:
    body = at(moment).frame[LENGTH_BYTES:]
    passed_over_below = SMALLEST_BODY_BYTES if at(moment).sender is Role.CLIENT else SMALLEST_BODY_BYTES - 2
    for size in range(1, len(body)):
        receiver = receiver_before(moment)

        receiver.hear(framed(body[:size]) + at(moment).frame)

        if size < passed_over_below:
            assert receiver.ended is None
            assert receiver.heard[-1] == at(moment).plaintext
            assert receiver.session.drops.ignored == 1
        else:
            assert isinstance(receiver.ended, StreamBrokenError)
            assert receiver.heard == receiver_before(moment).heard


# Any bytes at all


lengths = (st.integers(0, 40) | st.integers(LARGEST_BODY_BYTES - 1, LARGEST_BODY_BYTES + 1)).map(LENGTH.pack)
frames = st.binary(min_size=1, max_size=40).map(framed)
streams = st.lists(frames | lengths | st.binary(max_size=60), max_size=12).map(b"".join)


@given(stream=streams)
def test_any_stream_is_frames_or_an_error(stream: bytes) -> None:
    bodies, incomplete, error = fed([stream])
    if error is not None:
        assert not 0 < error.length <= LARGEST_BODY_BYTES
        assert LENGTH.pack(error.length) in stream
    else:
        assert b"".join(map(framed, bodies)) + incomplete == stream
        if len(incomplete) >= LENGTH_BYTES:
            (length,) = LENGTH.unpack_from(incomplete)
            assert len(incomplete) < LENGTH_BYTES + length


@given(sent=st.lists(st.binary(min_size=1, max_size=40), max_size=12))
def test_what_was_framed_is_split_again(sent: list[bytes]) -> None:
    stream = b"".join(map(framed, sent))

    assert fed([stream]) == fed(byte_by_byte(stream)) == (sent, b"", None)


@given(stream=streams, cuts=st.lists(st.integers(0, 400), max_size=8))
def test_the_frames_are_the_same_however_the_stream_is_cut(stream: bytes, cuts: list[int]) -> None:
    edges = [0, *sorted(cuts), len(stream)]
    pieces = [stream[begin:end] for begin, end in itertools.pairwise(edges)]

    bodies, incomplete, error = fed(pieces)
    smallest_bodies, smallest_incomplete, smallest_error = fed(byte_by_byte(stream))

    if error is None:
        assert smallest_error is None
        assert (bodies, incomplete) == (smallest_bodies, smallest_incomplete)
    else:
        # What came in one piece with the error is lost with it.
        assert smallest_error is not None
        assert smallest_error.length == error.length
        assert bodies == smallest_bodies[: len(bodies)]


@given(role=st.sampled_from(Role), bodies=st.lists(st.binary(max_size=60) | st.just(bytes(40))))
def test_no_bytes_are_taken_for_a_frame(role: Role, bodies: list[bytes]) -> None:
    receiver = session(role)
    passed_over_below = SMALLEST_BODY_BYTES if role is Role.SERVER else SMALLEST_BODY_BYTES - 2

    if all(len(body) < passed_over_below for body in bodies):
        assert receiver.open(bodies) == ([], [], 0, None, -1, len(bodies))
        assert receiver.drops.ignored == len(bodies)
    else:
        with pytest.raises(StreamBrokenError):
            receiver.open(bodies)
