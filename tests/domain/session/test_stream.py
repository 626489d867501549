"""Transcripts: both ends of a session on a stream, wired back to back."""

from dataclasses import dataclass

import pytest

from application.network.connection.crypto import SessionCrypto
from domain.noise.keys import EpochKeys, Role, SessionId
from domain.noise.primitives import Buffer
from domain.packets.service import EPOCH_EXHAUSTED, PING, PONG, rekey_ack_v1, rekey_init_v1
from domain.session.datagram import HEADER_BYTES, DatagramSession
from domain.session.epochs import EpochRefusedError
from domain.session.framing import LARGEST_BODY_BYTES, LENGTH_BYTES, LONGEST_LENGTH, split_frames
from domain.session.identifiers import Epoch
from domain.session.nonce import LAST_COUNTER, NonceExhaustedError, SendCounter, SessionError
from domain.session.opened import OpenedBatch
from domain.session.stream import (
    BODY_HEADER_BYTES,
    BODY_OVERHEAD_BYTES,
    FRAME_HEADER,
    FRAME_OVERHEAD_BYTES,
    SMALLEST_BODY_BYTES,
    StreamBrokenError,
    StreamSession,
)
from tests.adapters.primitives import PlainPrimitives

_: type[SessionCrypto] = StreamSession

PRIMITIVES = PlainPrimitives()
SESSION_ID = SessionId(bytes(range(32)))
LARGEST_PLAINTEXT_BYTES = 1500


def keys_of(epoch: int) -> EpochKeys:
    return EpochKeys(bytes([epoch, 1, *range(30)]), bytes([epoch, 2, *range(30)]))


def session(role: Role, session_id: SessionId = SESSION_ID, epoch: int = 0) -> StreamSession:
    return StreamSession(PRIMITIVES, role, session_id, keys_of(epoch))


@dataclass(slots=True)
class Ends:
    client: StreamSession
    server: StreamSession

    def up(self, *plaintexts: bytes) -> OpenedBatch:
        """From the client to the server, all of it at once."""
        return self.server.open(sealed(self.client, *plaintexts))

    def down(self, *plaintexts: bytes) -> OpenedBatch:
        """From the server to the client, all of it at once."""
        return self.client.open(sealed(self.server, *plaintexts))

    def rekey(self, epoch: int) -> None:
        """Both ends move to ``epoch`` and hear of each other there, as after an init and an ack."""
        for end in (self.server, self.client):
            move(end, epoch)
        self.up(PING)
        self.down(PONG)


@pytest.fixture(name="ends")
def ends_of_a_new_session() -> Ends:
    return Ends(session(Role.CLIENT), session(Role.SERVER))


def sealed(sender: StreamSession, *plaintexts: bytes) -> list[memoryview]:
    """The bodies as the other end's transport hands them out."""
    stream = b"".join(sender.seal(plaintexts))
    bodies, taken = split_frames(stream)
    assert taken == len(stream)
    return bodies


def move(end: StreamSession, epoch: int) -> None:
    end.install(Epoch(epoch), keys_of(epoch))
    end.activate(Epoch(epoch))


def ip(number: int, size: int = 40) -> bytes:
    """A plaintext that looks like an IPv4 packet and can be told from the others."""
    return bytes([0x45]) + number.to_bytes(4, "big") + bytes(size - 5)


def flipped(body: memoryview, position: int = -1) -> bytes:
    damaged = bytearray(body)
    damaged[position] ^= 1
    return bytes(damaged)


def held(end: StreamSession) -> list[Epoch]:
    return list(end.receive_epochs)


def headers(frames: list[bytes]) -> list[tuple[int, int]]:
    """Length and epoch of each frame."""
    return [FRAME_HEADER.unpack_from(frame) for frame in frames]


# The good path


def test_packets_travel_both_ways_in_order(ends: Ends) -> None:
    up, down = [ip(n) for n in range(8)], [ip(n, 1400) for n in range(64)]

    assert ends.up(*up) == (up, [], 8, 0, -1, 8)
    assert ends.down(*down) == (down, [], 64, 0, -1, 64)
    assert ends.up(ip(8)).packets == [ip(8)]


def test_a_frame_has_the_layout_of_the_specification(ends: Ends) -> None:
    frames = ends.client.seal([ip(1), ip(2), PING])

    assert headers(frames) == [(58, 0), (58, 0), (21, 0)]
    assert [len(frame) for frame in frames] == [60, 60, 23]
    assert (BODY_OVERHEAD_BYTES, FRAME_OVERHEAD_BYTES) == (18, 20)


def test_the_ciphertext_is_that_of_a_datagram(ends: Ends) -> None:
    datagrams = DatagramSession(PRIMITIVES, Role.CLIENT, SESSION_ID, keys_of(0))
    move(ends.client, 1)
    datagrams.install(Epoch(1), keys_of(1))
    datagrams.activate(Epoch(1))
    plaintexts = [ip(1), PING, b""]

    for frame, datagram in zip(ends.client.seal(plaintexts), datagrams.seal(plaintexts), strict=True):
        assert frame[FRAME_HEADER.size :] == datagram[HEADER_BYTES:]


def test_an_empty_batch_is_nothing(ends: Ends) -> None:
    assert ends.client.seal([]) == []
    assert ends.server.open([]) == ([], [], 0, None, -1, 0)


@pytest.mark.parametrize("into", [bytes, bytearray, memoryview])
def test_any_kind_of_buffer_is_sealed_and_opened(
    ends: Ends, into: type[bytes | bytearray | memoryview]
) -> None:
    frames = ends.client.seal([into(ip(1)), into(ip(2))])
    bodies: list[Buffer] = [into(frame[LENGTH_BYTES:]) for frame in frames]

    assert ends.server.open(bodies).packets == [ip(1), ip(2)]


def test_what_was_opened_outlives_the_receive_buffer(ends: Ends) -> None:
    buffer = bytearray(b"".join(ends.client.seal([ip(1), PING])))
    bodies, _ = split_frames(buffer)

    opened = ends.server.open(bodies)
    buffer[:] = bytes(len(buffer))

    assert opened.packets == [ip(1)]
    assert opened.service == [(0, PING)]


def test_pings_and_packets_come_apart_and_nothing_stops_for_them(ends: Ends) -> None:
    opened = ends.up(ip(1), PING, PONG, PING + b"trailing", ip(2))

    assert opened.packets == [ip(1), ip(2)]
    assert opened.service == [(0, PING), (0, PONG), (0, PING + b"trailing")]
    assert (opened.authenticated, opened.consumed) == (5, 5)


@pytest.mark.parametrize("plaintext", [b"\xff", b"\xff\x01", b"\xff\x02\x04", b"\xfe\x01\x04", b"\x00"])
def test_what_is_no_service_packet_is_left_to_the_source_check(ends: Ends, plaintext: bytes) -> None:
    assert ends.up(plaintext, ip(1)) == ([plaintext, ip(1)], [], 2, 0, -1, 2)


def test_an_empty_plaintext_is_a_sign_of_life_and_nothing_else(ends: Ends) -> None:
    [body] = sealed(ends.client, b"")
    assert len(body) == SMALLEST_BODY_BYTES

    assert ends.server.open([body]) == ([], [], 1, 0, -1, 1)
    assert ends.server.drops.empty == 1
    assert ends.up(ip(1)).packets == [ip(1)]


# Sizes


def test_the_longest_packet_fills_the_longest_frame(ends: Ends) -> None:
    longest = ip(1, LARGEST_PLAINTEXT_BYTES)

    [body] = sealed(ends.client, longest)

    assert len(body) == LARGEST_BODY_BYTES
    assert ends.server.open([body]).packets == [longest]


def test_a_packet_that_fits_no_frame_is_a_mistake_and_seals_nothing(ends: Ends) -> None:
    with pytest.raises(ValueError, match="room for 1500 bytes, not 1501"):
        ends.client.seal([ip(1), ip(2, LARGEST_PLAINTEXT_BYTES + 1), ip(3)])

    assert ends.up(ip(4)).packets == [ip(4)]  # the first frame of all: no counter was used


def test_larger_frames_can_be_agreed_on() -> None:
    client = StreamSession(PRIMITIVES, Role.CLIENT, SESSION_ID, keys_of(0), largest_body_bytes=LONGEST_LENGTH)
    longest = ip(1, LONGEST_LENGTH - BODY_OVERHEAD_BYTES)

    bodies, _ = split_frames(client.seal([longest])[0], LONGEST_LENGTH)

    assert session(Role.SERVER).open(bodies).packets == [longest]
    with pytest.raises(ValueError, match="room for 65517 bytes"):
        client.seal([longest + b"\0"])


@pytest.mark.parametrize("size", [SMALLEST_BODY_BYTES, LONGEST_LENGTH + 1])
def test_frames_that_hold_nothing_or_say_no_length_cannot_be_agreed_on(size: int) -> None:
    with pytest.raises(ValueError, match=f"{size} bytes"):
        StreamSession(PRIMITIVES, Role.CLIENT, SESSION_ID, keys_of(0), largest_body_bytes=size)


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("size", range(16))
def test_what_is_shorter_than_a_tag_is_passed_over_by_both_ends(ends: Ends, role: Role, size: int) -> None:
    receiver, sender = (ends.server, ends.client) if role is Role.SERVER else (ends.client, ends.server)
    [first, second] = sealed(sender, ip(1), ip(2))

    opened = receiver.open([bytes(size), first, bytes(size), second])

    assert opened == ([ip(1), ip(2)], [], 2, 0, -1, 4)
    assert receiver.drops.ignored == 2


@pytest.mark.parametrize("size", [16, 17])
def test_what_is_a_little_longer_is_passed_over_by_a_server_and_ends_a_client(ends: Ends, size: int) -> None:
    [first] = sealed(ends.client, ip(1))

    assert ends.server.open([bytes(size), first]) == ([ip(1)], [], 1, 0, -1, 2)
    assert ends.server.drops.ignored == 1
    with pytest.raises(StreamBrokenError, match=f"{size} bytes is too short"):
        ends.client.open([bytes(size)])
    assert ends.client.drops.ignored == 0


# Counters


def test_each_direction_counts_on_its_own_and_across_batches(ends: Ends) -> None:
    for n in range(3):
        assert ends.up(ip(n), ip(n)).authenticated == 2
    assert ends.down(ip(9)).authenticated == 1
    assert ends.client._counter.reserve(0) == ends.server._newest.counter == 6
    assert ends.server._counter.reserve(0) == ends.client._newest.counter == 1


def test_counters_run_over_from_the_low_half_into_the_high_half_at_both_ends(ends: Ends) -> None:
    ends.client._counter = SendCounter(Epoch(0), last=(1 << 64) - 2)
    ends.server._newest.counter = (1 << 64) - 2

    assert ends.up(ip(1), ip(2), ip(3)).packets == [ip(1), ip(2), ip(3)]
    assert ends.server._newest.counter == (1 << 64) + 1


def test_a_batch_that_would_exhaust_the_counter_seals_nothing(ends: Ends) -> None:
    ends.client._counter = SendCounter(Epoch(0), last=LAST_COUNTER - 1)
    ends.server._newest.counter = LAST_COUNTER - 1

    with pytest.raises(NonceExhaustedError):
        ends.client.seal([ip(1), ip(2)])

    assert ends.up(ip(1)).packets == [ip(1)]
    with pytest.raises(NonceExhaustedError):
        ends.client.seal([ip(2)])


def test_no_frame_is_expected_behind_the_last_counter(ends: Ends) -> None:
    ends.server._newest.counter = LAST_COUNTER

    with pytest.raises(StreamBrokenError, match="no counter left"):
        ends.server.open(sealed(ends.client, ip(1)))


# What breaks a stream


def test_a_frame_that_is_missing_breaks_the_stream(ends: Ends) -> None:
    [_, second] = sealed(ends.client, ip(1), ip(2))

    with pytest.raises(StreamBrokenError, match="not authentic or not the next"):
        ends.server.open([second])


def test_a_frame_that_comes_twice_breaks_the_stream(ends: Ends) -> None:
    [body] = sealed(ends.client, ip(1))
    assert ends.server.open([body]).packets == [ip(1)]

    with pytest.raises(StreamBrokenError):
        ends.server.open([body])


def test_a_broken_stream_stays_broken_for_the_same_reason(ends: Ends) -> None:
    [first, second] = sealed(ends.client, ip(1), ip(2))
    with pytest.raises(StreamBrokenError) as caught:
        ends.server.open([flipped(first)])

    for bodies in ([first], [second], [bytes(3)], []):
        with pytest.raises(StreamBrokenError) as again:
            ends.server.open(bodies)
        assert again.value.reason == caught.value.reason
    assert isinstance(caught.value, SessionError)
    assert ends.server.drops.ignored == 0


def test_a_bad_frame_takes_what_came_before_it_in_the_batch_with_it(ends: Ends) -> None:
    good = sealed(ends.client, ip(1), PING)

    with pytest.raises(StreamBrokenError):
        ends.server.open([*good, flipped(sealed(ends.client, ip(2))[0])])


def test_a_flipped_bit_anywhere_breaks_the_stream(ends: Ends) -> None:
    [body] = sealed(ends.client, ip(7))

    for position in range(len(body)):
        with pytest.raises(StreamBrokenError) as caught:
            session(Role.SERVER).open([flipped(body, position)])
        of_unknown_epoch = "which is not in use" in caught.value.reason
        assert of_unknown_epoch is (position < BODY_HEADER_BYTES)
    assert ends.server.open([body]).packets == [ip(7)]


def test_a_reflected_frame_breaks_the_stream(ends: Ends) -> None:
    with pytest.raises(StreamBrokenError):
        ends.client.open(sealed(ends.client, ip(1)))


def test_the_direction_is_authenticated_even_where_both_keys_are_equal() -> None:
    key = bytes(32)
    client = StreamSession(PRIMITIVES, Role.CLIENT, SESSION_ID, EpochKeys(key, key))

    with pytest.raises(StreamBrokenError):
        client.open(sealed(client, ip(1)))


def test_another_session_s_frame_breaks_the_stream(ends: Ends) -> None:
    same_keys = session(Role.CLIENT, SessionId(bytes(32)))

    with pytest.raises(StreamBrokenError):
        ends.server.open(sealed(same_keys, ip(1)))


def test_a_broken_stream_says_nothing_about_keys_or_contents(ends: Ends) -> None:
    [body] = sealed(ends.client, ip(0xABCD))

    with pytest.raises(StreamBrokenError) as caught:
        ends.server.open([flipped(body)])

    assert str(caught.value) == ("the stream is broken: a frame of epoch 0 is not authentic or not the next")


# Epochs


def test_a_rekey_runs_as_in_the_specification_s_timeline(ends: Ends) -> None:
    client, server = ends.client, ends.server
    [init] = sealed(client, rekey_init_v1(bytes(32)))
    in_flight = sealed(client, ip(1))

    assert server.open([init]).service == [(0, rekey_init_v1(bytes(32)))]
    server.install(Epoch(1), keys_of(1))
    ack = sealed(server, rekey_ack_v1(bytes(32)))  # it travels in the old epoch
    server.activate(Epoch(1))
    down = ack + sealed(server, ip(2))
    assert server.open(in_flight) == ([ip(1)], [], 1, 0, -1, 1)
    assert held(server) == [0, 1]

    opened = client.open(down)
    assert (opened.service, opened.packets, opened.consumed) == ([(0, rekey_ack_v1(bytes(32)))], [], 1)
    move(client, 1)
    assert held(client) == [0, 1]
    assert client.open(down[opened.consumed :]) == ([ip(2)], [], 1, 1, -1, 1)
    assert held(client) == [1]

    assert ends.up(PING).highest_epoch == 1
    assert held(server) == [1]


@pytest.mark.parametrize(
    "packet", [rekey_init_v1(bytes(32)), rekey_ack_v1(bytes(32)), EPOCH_EXHAUSTED, b"\xff\x01\x80"]
)
def test_what_follows_a_service_packet_waits_until_that_was_dealt_with(ends: Ends, packet: bytes) -> None:
    bodies = sealed(ends.client, ip(1), bytes(0), packet, ip(2), PING)

    opened = ends.server.open(bodies)

    assert opened == ([ip(1)], [(0, packet)], 3, 0, -1, 3)
    assert ends.server.open(bodies[3:]) == ([ip(2)], [(0, PING)], 2, 0, -1, 2)


def test_counters_start_again_in_every_epoch_at_both_ends(ends: Ends) -> None:
    ends.up(*[ip(n) for n in range(10)])
    ends.rekey(1)

    assert ends.client._counter.reserve(0) == ends.server._newest.counter == 1
    assert ends.up(ip(1)).highest_epoch == 1
    assert headers(ends.client.seal([ip(2)])) == [(58, 1)]


def test_frames_of_both_epochs_may_alternate_until_the_previous_one_goes(ends: Ends) -> None:
    ends.up(ip(0))
    old = sealed(ends.client, ip(1), ip(2), ip(3))
    move(ends.client, 1)
    new = sealed(ends.client, ip(4), ip(5), ip(6))
    ends.server.install(Epoch(1), keys_of(1))  # not activated: the previous epoch stays

    opened = ends.server.open([*old[:2], *new[:2], old[2], new[2]])

    assert opened == ([ip(n) for n in (1, 2, 4, 5, 3, 6)], [], 6, 1, -1, 6)
    assert held(ends.server) == [0, 1]


def test_the_previous_epoch_goes_when_the_first_frame_of_the_new_one_comes_last(ends: Ends) -> None:
    old = sealed(ends.client, ip(1), ip(2))
    move(ends.server, 1)
    move(ends.client, 1)
    assert ends.server.open(old[:1]).packets == [ip(1)]
    assert held(ends.server) == [0, 1]

    assert ends.up(ip(3)).highest_epoch == 1

    assert held(ends.server) == [1]
    with pytest.raises(StreamBrokenError, match="epoch 0, which is not in use"):
        ends.server.open(old[1:])


def test_the_previous_epoch_goes_when_our_own_move_comes_last(ends: Ends) -> None:
    old = sealed(ends.client, ip(1))
    ends.server.install(Epoch(1), keys_of(1))
    move(ends.client, 1)
    assert ends.up(ip(2)).highest_epoch == 1
    assert held(ends.server) == [0, 1]

    ends.server.activate(Epoch(1))

    assert held(ends.server) == [1]
    with pytest.raises(StreamBrokenError, match="epoch 0, which is not in use"):
        ends.server.open(old)


def test_the_previous_epoch_goes_in_the_middle_of_a_batch(ends: Ends) -> None:
    old = sealed(ends.client, ip(1), ip(2))
    move(ends.server, 1)
    move(ends.client, 1)
    [new] = sealed(ends.client, ip(3))

    with pytest.raises(StreamBrokenError, match="epoch 0, which is not in use"):
        ends.server.open([old[0], new, old[1]])


def test_a_forged_frame_of_the_new_epoch_does_not_end_the_previous_one(ends: Ends) -> None:
    move(ends.server, 1)
    move(ends.client, 1)

    with pytest.raises(StreamBrokenError):
        ends.server.open([flipped(sealed(ends.client, ip(1))[0])])

    assert held(ends.server) == [0, 1]


def test_a_frame_of_an_epoch_not_installed_breaks_the_stream(ends: Ends) -> None:
    move(ends.client, 1)

    with pytest.raises(StreamBrokenError, match="epoch 1, which is not in use"):
        ends.up(ip(1))


def test_no_epoch_is_installed_while_a_previous_one_is_held(ends: Ends) -> None:
    ends.server.install(Epoch(1), keys_of(1))

    with pytest.raises(EpochRefusedError, match="epoch 0 is still in use"):
        ends.server.install(Epoch(2), keys_of(2))

    assert held(ends.server) == [0, 1]
    move(ends.client, 1)
    assert ends.up(ip(1)).packets == [ip(1)]
    ends.server.activate(Epoch(1))
    ends.server.install(Epoch(2), keys_of(2))
    assert held(ends.server) == [1, 2]


@pytest.mark.parametrize("epoch", [0, 1, 0x10000])
def test_epochs_only_grow_and_fit_their_field(ends: Ends, epoch: int) -> None:
    ends.rekey(1)

    with pytest.raises(EpochRefusedError, match="must follow 1"):
        ends.server.install(Epoch(epoch), keys_of(2))

    assert held(ends.server) == [1]
    assert ends.up(ip(1)).highest_epoch == 1


def test_the_last_epoch_of_the_field_can_be_used(ends: Ends) -> None:
    for end in (ends.client, ends.server):
        end.install(Epoch(0xFFFF), keys_of(1))
        end.activate(Epoch(0xFFFF))

    assert ends.up(ip(1)) == ([ip(1)], [], 1, 0xFFFF, -1, 1)


def test_the_send_epoch_never_moves_backwards(ends: Ends) -> None:
    ends.rekey(1)
    ends.up(ip(1), ip(2))

    ends.client.activate(Epoch(0))
    ends.client.activate(Epoch(1))

    assert ends.client.send_epoch == 1
    assert ends.up(ip(3)).packets == [ip(3)]  # the counter was not reset: no nonce repeats


@pytest.mark.parametrize("epoch", [2, 9])
def test_an_epoch_that_was_not_installed_cannot_be_activated(ends: Ends, epoch: int) -> None:
    ends.client.install(Epoch(1), keys_of(1))

    with pytest.raises(EpochRefusedError, match="not installed"):
        ends.client.activate(Epoch(epoch))

    assert ends.client.send_epoch == 0
    assert ends.up(ip(1)).highest_epoch == 0


def test_a_key_to_seal_with_is_held_once(ends: Ends) -> None:
    ends.client.install(Epoch(1), keys_of(1))
    staged = ends.client._staged

    ends.client.activate(Epoch(1))

    assert ends.client._sealing is staged
    assert ends.client._staged is None
