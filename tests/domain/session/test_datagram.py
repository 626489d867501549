"""Transcripts: both ends of a session wired back to back, and what lies between them misbehaving."""

import random
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from application.network.connection.crypto import SessionCrypto
from domain.noise.keys import EpochKeys, Role, SessionId
from domain.noise.primitives import Buffer
from domain.packets.service import PING, PONG
from domain.session.datagram import (
    HEADER_BYTES,
    SMALLEST_DATAGRAM_BYTES,
    DatagramSession,
    DropCounters,
)
from domain.session.epochs import EpochRefusedError
from domain.session.identifiers import Epoch
from domain.session.nonce import DATAGRAM_HEADER, LAST_COUNTER, NonceExhaustedError, SendCounter
from domain.session.opened import OpenedBatch
from tests.adapters.primitives import PlainPrimitives

_: type[SessionCrypto] = DatagramSession

SESSION_ID = SessionId(bytes(range(32)))


def keys_of(epoch: int, seed: int = 0) -> EpochKeys:
    return EpochKeys(bytes([seed, epoch, 1, *range(29)]), bytes([seed, epoch, 2, *range(29)]))


@dataclass(slots=True)
class Ends:
    client: DatagramSession
    server: DatagramSession

    def rekey(self, epoch: int) -> None:
        """Both ends move to ``epoch``, as after an init, an ack and a datagram in the new epoch."""
        for end in (self.server, self.client):
            end.install(Epoch(epoch), keys_of(epoch))
            end.activate(Epoch(epoch))


@pytest.fixture(name="ends")
def ends_of_a_new_session() -> Ends:
    return established()


def established(session_id: SessionId = SESSION_ID, seed: int = 0) -> Ends:
    primitives, keys = PlainPrimitives(), keys_of(0, seed)
    return Ends(
        DatagramSession(primitives, Role.CLIENT, session_id, keys),
        DatagramSession(primitives, Role.SERVER, session_id, keys),
    )


def ip(number: int, size: int = 40) -> bytes:
    """A plaintext that looks like an IPv4 packet and can be told from the others."""
    return bytes([0x45]) + number.to_bytes(4, "big") + bytes(size - 5)


def nothing(consumed: int) -> OpenedBatch:
    """What comes of datagrams of which none is any good."""
    return OpenedBatch([], [], 0, None, -1, consumed)


def total(drops: DropCounters) -> int:
    return (
        drops.malformed
        + drops.wrong_route
        + drops.unknown_epoch
        + drops.replayed
        + drops.unauthenticated
        + drops.empty
    )


# The good path


def test_packets_travel_both_ways_in_order(ends: Ends) -> None:
    up, down = [ip(n) for n in range(8)], [ip(n, 1400) for n in range(64)]

    received_up, received_down = (
        ends.server.open(ends.client.seal(up)),
        ends.client.open(ends.server.seal(down)),
    )

    assert received_up.packets == up
    assert received_down.packets == down
    assert (received_up.authenticated, received_up.highest_epoch, received_up.newest) == (8, 0, 7)
    assert received_up.service == []
    assert total(ends.server.drops) == total(ends.client.drops) == 0


def test_a_datagram_has_the_header_of_the_specification(ends: Ends) -> None:
    datagrams = ends.client.seal([ip(1), ip(2)]) + ends.client.seal([ip(3)])

    headers = [DATAGRAM_HEADER.unpack_from(datagram) for datagram in datagrams]
    assert headers == [(SESSION_ID[:8], 1, 0, 0), (SESSION_ID[:8], 2, 0, 0), (SESSION_ID[:8], 3, 0, 0)]
    assert {len(datagram) for datagram in datagrams} == {SMALLEST_DATAGRAM_BYTES + 40}
    assert ends.client.route_id == SESSION_ID[:8]


def test_an_empty_batch_is_nothing(ends: Ends) -> None:
    assert ends.client.seal([]) == []
    assert ends.server.open([]) == nothing(0)


@pytest.mark.parametrize("into", [bytes, bytearray, memoryview])
def test_any_kind_of_buffer_is_sealed_and_opened(
    ends: Ends, into: type[bytes | bytearray | memoryview]
) -> None:
    sealed: list[Buffer] = [into(datagram) for datagram in ends.client.seal([into(ip(1)), into(ip(2))])]

    assert ends.server.open(sealed).packets == [ip(1), ip(2)]


def test_what_was_opened_outlives_the_receive_buffer(ends: Ends) -> None:
    buffer = bytearray(2048)
    views: list[Buffer] = []
    offset = 0
    for datagram in ends.client.seal([ip(1), PING]):
        buffer[offset : offset + len(datagram)] = datagram
        views.append(memoryview(buffer)[offset : offset + len(datagram)])
        offset += len(datagram)

    opened = ends.server.open(views)
    buffer[:] = bytes(len(buffer))

    assert opened.packets == [ip(1)]
    assert opened.service == [(0, PING)]


def test_service_packets_come_apart_with_the_epoch_that_carried_them(ends: Ends) -> None:
    old = ends.client.seal([ip(1), PING])
    ends.rekey(1)
    new = ends.client.seal([PING + b"trailing", ip(2), b"\xff\x01\x80"])

    opened = ends.server.open(old + new)

    assert opened.packets == [ip(1), ip(2)]
    assert opened.service == [(0, PING), (1, PING + b"trailing"), (1, b"\xff\x01\x80")]
    assert (opened.authenticated, opened.highest_epoch) == (5, 1)


@pytest.mark.parametrize("plaintext", [b"\xff", b"\xff\x01", b"\xff\x02\x04", b"\xfe\x01\x04", b"\x00"])
def test_what_is_no_service_packet_is_left_to_the_source_check(ends: Ends, plaintext: bytes) -> None:
    opened = ends.server.open(ends.client.seal([plaintext]))

    assert opened.packets == [plaintext]
    assert opened.service == []


def test_an_empty_plaintext_is_a_sign_of_life_and_nothing_else(ends: Ends) -> None:
    [datagram] = ends.client.seal([b""])
    assert len(datagram) == SMALLEST_DATAGRAM_BYTES

    opened = ends.server.open([datagram])

    assert opened == ([], [], 1, 0, 0, 1)
    assert ends.server.drops.empty == 1


# Replay, reordering and the newest datagram


def test_a_replayed_datagram_is_refused_in_its_own_batch_and_later(ends: Ends) -> None:
    [datagram] = ends.client.seal([ip(1)])

    assert ends.server.open([datagram, datagram]).packets == [ip(1)]
    assert ends.server.open([datagram]) == nothing(1)
    assert ends.server.drops.replayed == 2


def test_reordered_datagrams_are_delivered_in_the_order_of_arrival(ends: Ends) -> None:
    datagrams = ends.client.seal([ip(n) for n in range(6)])
    order = [3, 0, 5, 1, 4, 2]

    opened = ends.server.open([datagrams[n] for n in order])

    assert opened.packets == [ip(n) for n in order]
    assert opened.newest == order.index(5)


def test_only_the_newest_datagram_may_move_the_peer_s_address(ends: Ends) -> None:
    datagrams = ends.client.seal([ip(n) for n in range(6)])

    assert ends.server.open([datagrams[2]]).newest == 0
    assert ends.server.open([datagrams[0], datagrams[1]]).newest == -1  # both were overtaken
    assert ends.server.open([datagrams[4], datagrams[3]]).newest == 0
    assert ends.server.open([datagrams[4]]).newest == -1  # a replay
    forged = datagrams[5][:-1] + bytes([datagrams[5][-1] ^ 1])
    assert ends.server.open([forged]).newest == -1
    assert ends.server.open([forged, datagrams[5]]).newest == 1


def test_a_later_epoch_is_newer_than_any_counter_of_an_earlier_one(ends: Ends) -> None:
    old = ends.client.seal([ip(n) for n in range(5)])
    ends.rekey(1)
    new = ends.client.seal([ip(10)])

    assert ends.server.open([old[0]]).newest == 0
    opened = ends.server.open([new[0], old[4]])

    assert (opened.newest, opened.highest_epoch) == (0, 1)
    assert opened.packets == [ip(10), ip(4)]
    late = ends.server.open([old[3]])
    assert (late.newest, late.highest_epoch) == (-1, 0)


def test_a_later_lane_is_newer_than_any_low_half_of_an_earlier_one(ends: Ends) -> None:
    ends.client._counter = SendCounter(Epoch(0), last=(1 << 64) - 2)
    before, after = ends.client.seal([ip(1), ip(2)])  # counter low 2^64 - 1, then 0 in the next lane

    assert ends.server.open([after, before]).newest == 0


def test_counter_zero_is_accepted_once_and_counts_as_newest(ends: Ends) -> None:
    ends.client._counter = SendCounter(Epoch(0), last=-1)
    [datagram] = ends.client.seal([ip(0)])

    assert ends.server.open([datagram, datagram]) == ([ip(0)], [], 1, 0, 0, 2)


def test_a_distance_of_1023_is_the_last_one_accepted(ends: Ends) -> None:
    datagrams = ends.client.seal([ip(n) for n in range(1, 1026)])  # counters 1 to 1025

    assert ends.server.open([datagrams[1024]]).authenticated == 1
    assert ends.server.open([datagrams[1]]).packets == [ip(2)]  # 1025 - 2 = 1023
    assert ends.server.open([datagrams[0]]).packets == []  # 1025 - 1 = 1024
    assert ends.server.drops.replayed == 1


def test_a_forged_counter_does_not_move_the_window(ends: Ends) -> None:
    first, second = ends.client.seal([ip(1), ip(2)])
    assert ends.server.open([first]).authenticated == 1
    forged = DATAGRAM_HEADER.pack(SESSION_ID[:8], 1 << 40, 0, 0) + second[HEADER_BYTES:]
    other_lanes = [
        DATAGRAM_HEADER.pack(SESSION_ID[:8], 1, lane, 0) + second[HEADER_BYTES:] for lane in range(1, 9)
    ]

    opened = ends.server.open([forged, *other_lanes])

    assert opened == nothing(9)
    assert ends.server.drops.unauthenticated == 9
    assert ends.server.open([first]).authenticated == 0  # lane 0 was not evicted: still a replay
    assert ends.server.open([second]).packets == [ip(2)]


def test_counters_run_over_from_the_low_half_into_the_high_half(ends: Ends) -> None:
    ends.client._counter = SendCounter(Epoch(0), last=(1 << 64) - 2)

    datagrams = ends.client.seal([ip(n) for n in range(4)])

    fields = [DATAGRAM_HEADER.unpack_from(datagram)[1:3] for datagram in datagrams]
    assert fields == [((1 << 64) - 1, 0), (0, 1), (1, 1), (2, 1)]
    opened = ends.server.open([datagrams[2], datagrams[0], datagrams[1], datagrams[3], datagrams[0]])
    assert opened.packets == [ip(2), ip(0), ip(1), ip(3)]
    assert opened.newest == 3
    assert ends.server.drops.replayed == 1


def test_the_fifth_lane_evicts_the_oldest(ends: Ends) -> None:
    by_lane: list[bytes] = []
    for lane in range(5):
        ends.client._counter = SendCounter(Epoch(0), last=lane << 64)
        by_lane += ends.client.seal([ip(lane)])

    assert ends.server.open(by_lane).authenticated == 5

    assert ends.server.open(by_lane[1:]).authenticated == 0
    assert ends.server.open(by_lane[:1]).authenticated == 1  # lane 0 was forgotten


def test_a_batch_that_would_exhaust_the_counter_seals_nothing(ends: Ends) -> None:
    ends.client._counter = SendCounter(Epoch(0), last=LAST_COUNTER - 1)

    with pytest.raises(NonceExhaustedError):
        ends.client.seal([ip(1), ip(2)])

    [datagram] = ends.client.seal([ip(1)])
    assert DATAGRAM_HEADER.unpack_from(datagram) == (SESSION_ID[:8], (1 << 64) - 1, 0xFFFF, 0)
    assert ends.server.open([datagram]).packets == [ip(1)]
    with pytest.raises(NonceExhaustedError):
        ends.client.seal([ip(2)])
    assert ends.client.seal([]) == []


# Damage and forgery


def test_a_flipped_bit_anywhere_is_fatal_to_the_datagram_and_to_nothing_else(ends: Ends) -> None:
    [datagram] = ends.client.seal([ip(7)])

    for position in range(len(datagram)):
        for bit in range(8):
            damaged = bytearray(datagram)
            damaged[position] ^= 1 << bit
            assert ends.server.open([damaged]) == nothing(1)

    drops = ends.server.drops
    assert drops.wrong_route == 8 * 8
    assert drops.unknown_epoch == 2 * 8
    assert drops.unauthenticated == (10 + len(datagram) - HEADER_BYTES) * 8
    assert ends.server.open([datagram]).packets == [ip(7)]


def test_a_datagram_cut_at_any_length_is_dropped(ends: Ends) -> None:
    [datagram] = ends.client.seal([ip(7)])

    opened = ends.server.open([datagram[:size] for size in range(len(datagram))])

    assert opened == nothing(len(datagram))
    assert ends.server.drops.malformed == SMALLEST_DATAGRAM_BYTES
    assert ends.server.drops.unauthenticated == len(datagram) - SMALLEST_DATAGRAM_BYTES
    assert ends.server.open([datagram + b"\0"]).authenticated == 0
    assert ends.server.open([datagram]).packets == [ip(7)]


def test_bad_datagrams_between_good_ones_cost_only_themselves(ends: Ends) -> None:
    good = ends.client.seal([ip(1), ip(2), PONG])
    unknown_epoch = DATAGRAM_HEADER.pack(SESSION_ID[:8], 9, 0, 5) + bytes(16)
    forged = DATAGRAM_HEADER.pack(SESSION_ID[:8], 9, 0, 0) + bytes(16)

    opened = ends.server.open([b"", good[0], unknown_epoch, good[1], forged, good[1], good[2]])

    assert opened == ([ip(1), ip(2)], [(0, PONG)], 3, 0, 6, 7)
    drops = ends.server.drops
    assert (drops.malformed, drops.unknown_epoch, drops.unauthenticated, drops.replayed) == (1, 1, 1, 1)


def test_a_reflected_datagram_is_dropped(ends: Ends) -> None:
    assert ends.client.open(ends.client.seal([ip(1)])).authenticated == 0
    assert ends.client.drops.unauthenticated == 1


def test_the_direction_is_authenticated_even_where_both_keys_are_equal() -> None:
    key = bytes(32)
    client = DatagramSession(PlainPrimitives(), Role.CLIENT, SESSION_ID, EpochKeys(key, key))

    assert client.open(client.seal([ip(1)])).authenticated == 0


def test_another_session_s_datagram_is_dropped(ends: Ends) -> None:
    stranger = established(SessionId(bytes(reversed(range(32)))), seed=1)
    same_route = established(SessionId(SESSION_ID[:8] + bytes(24)))  # same keys, another session id

    assert ends.server.open(stranger.client.seal([ip(1)])).authenticated == 0
    assert ends.server.drops.wrong_route == 1
    assert ends.server.open(same_route.client.seal([ip(1)])).authenticated == 0
    assert ends.server.drops.unauthenticated == 1


@given(st.lists(st.binary(max_size=80)), st.integers(0, 3))
def test_any_bytes_are_dropped_and_counted(rubbish: list[bytes], prefix: int) -> None:
    server = established().server
    start = (b"", SESSION_ID[:8], SESSION_ID[:8] + bytes(12), SESSION_ID[:8] + bytes(10) + b"\0\1")[prefix]

    opened = server.open([start + each for each in rubbish])

    assert opened == nothing(len(rubbish))
    assert total(server.drops) == len(rubbish)


@pytest.mark.parametrize("seed", range(5))
def test_a_hostile_network_delivers_each_packet_at_most_once_and_never_a_forged_one(seed: int) -> None:
    network = random.Random(seed)
    ends = established()
    sent = [ip(n, 60) for n in range(600)]
    in_flight: list[tuple[float, bytes]] = []
    genuine: set[bytes] = set()
    for position, datagram in enumerate(ends.client.seal(sent)):
        for _copy in range(network.choice([0, 1, 1, 1, 2, 3])):
            damaged = bytearray(datagram)
            if network.random() < 0.1:
                damaged[network.randrange(len(damaged))] ^= 1 << network.randrange(8)
            if bytes(damaged) == datagram:
                genuine.add(sent[position])
            in_flight.append((position + network.uniform(0, 50), bytes(damaged)))
    arriving = [datagram for _at, datagram in sorted(in_flight)]

    received: list[bytes] = []
    while arriving:
        size = network.randint(1, 64)
        received += ends.server.open(arriving[:size]).packets
        del arriving[:size]

    assert len(received) == len(set(received))
    assert set(received) == genuine
    assert total(ends.server.drops) == len(in_flight) - len(received)


# Epochs


def test_a_rekey_runs_as_in_the_specification_s_timeline(ends: Ends) -> None:
    client, server = ends.client, ends.server

    server.install(Epoch(1), keys_of(1))  # the init has arrived; the ack still goes out in epoch 0
    assert server.send_epoch == 0
    assert client.open(server.seal([ip(1)])).highest_epoch == 0
    client.install(Epoch(1), keys_of(1))  # the ack has arrived
    client.activate(Epoch(1))
    opened = server.open(client.seal([ip(2)]))
    assert opened.highest_epoch == 1
    server.activate(Epoch(1))  # on the first datagram in the new epoch

    assert client.open(server.seal([ip(3)])).highest_epoch == 1


def test_counters_start_again_in_every_epoch(ends: Ends) -> None:
    ends.client.seal([ip(n) for n in range(10)])
    ends.rekey(1)

    [datagram] = ends.client.seal([ip(1)])

    assert DATAGRAM_HEADER.unpack_from(datagram) == (SESSION_ID[:8], 1, 0, 1)
    assert ends.server.open([datagram]).packets == [ip(1)]


def test_a_datagram_of_an_epoch_not_installed_is_dropped(ends: Ends) -> None:
    ends.client.install(Epoch(1), keys_of(1))
    ends.client.activate(Epoch(1))
    [datagram] = ends.client.seal([ip(1)])

    assert ends.server.open([datagram]).authenticated == 0
    assert ends.server.drops.unknown_epoch == 1
    ends.server.install(Epoch(1), keys_of(1))
    assert ends.server.open([datagram]).packets == [ip(1)]


def test_late_datagrams_are_accepted_from_the_last_four_epochs_only(ends: Ends) -> None:
    held_back: list[bytes] = []
    for epoch in range(6):
        if epoch:
            ends.rekey(epoch)
        held_back += ends.client.seal([ip(epoch)])

    opened = ends.server.open(held_back)

    assert ends.server.receive_epochs == (2, 3, 4, 5)
    assert opened.packets == [ip(2), ip(3), ip(4), ip(5)]
    assert ends.server.drops.unknown_epoch == 2


def test_the_send_epoch_never_moves_backwards(ends: Ends) -> None:
    ends.rekey(1)
    ends.client.seal([ip(1), ip(2)])

    ends.client.activate(Epoch(0))
    ends.client.activate(Epoch(1))

    assert ends.client.send_epoch == 1
    [datagram] = ends.client.seal([ip(3)])
    assert DATAGRAM_HEADER.unpack_from(datagram)[1] == 3  # the counter was not reset: no nonce repeats


def test_an_epoch_that_was_not_installed_cannot_be_activated(ends: Ends) -> None:
    with pytest.raises(EpochRefusedError, match="not installed"):
        ends.client.activate(Epoch(1))

    assert ends.client.send_epoch == 0
    assert ends.server.open(ends.client.seal([ip(1)])).highest_epoch == 0


def test_an_epoch_is_installed_once(ends: Ends) -> None:
    ends.server.install(Epoch(1), keys_of(1))

    with pytest.raises(EpochRefusedError):
        ends.server.install(Epoch(1), keys_of(2))

    ends.server.activate(Epoch(1))
    ends.client.install(Epoch(1), keys_of(1))
    assert ends.client.open(ends.server.seal([ip(1)])).packets == [ip(1)]


def test_staging_is_refused_while_it_would_evict_the_send_epoch(ends: Ends) -> None:
    for epoch in (1, 2, 3):
        ends.server.install(Epoch(epoch), keys_of(epoch))

    with pytest.raises(EpochRefusedError, match="send epoch"):
        ends.server.install(Epoch(4), keys_of(4))

    assert ends.server.receive_epochs == (0, 1, 2, 3)
    assert ends.client.open(ends.server.seal([ip(1)])).packets == [ip(1)]


def test_keys_are_let_go_when_they_are_no_longer_needed(ends: Ends) -> None:
    for epoch in (1, 2, 3):
        ends.server.install(Epoch(epoch), keys_of(epoch))

    ends.server.activate(Epoch(2))

    assert ends.server._staged == {3: keys_of(3)}
    with pytest.raises(EpochRefusedError, match="must follow"):
        ends.server.install(Epoch(1), keys_of(1))
