"""Aggregated frames on a path that loses, repeats, reorders and damages, and from those who make them up.

Chunks are not authenticated one by one, so the bounds that hold without authentication are what is tested
here: a lie costs frames, never memory, never a packet that was not sent, and nothing that lasts.
"""

import random
from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.noise.keys import Role
from domain.noise.primitives import Buffer
from domain.packets.layout import layout_of_untrusted
from domain.packets.parcel import Parcel
from domain.packets.segment import segment
from domain.session.aggregated_datagrams import AggregatedDatagrams
from domain.session.chunks import FRAME_HEADER, FRAME_HEADER_BYTES, MOST_CHUNKS
from domain.session.reassembly import FRAMES_IN_FLIGHT, HELD_BYTES
from tests.domain.packets.trains import TCP_IPV4, some_payload
from tests.domain.session.aggregating import (
    FRAME_ROUTE_ID,
    MTU_BYTES,
    SEGMENT_BYTES,
    Ends,
    datagram_session,
    datagrams_of,
    established,
    numbered,
    one_by_one,
    super_packet,
)

BATCHES = 300
REKEY_EVERY = 100
PAYLOAD = some_payload(12 * SEGMENT_BYTES)
SECONDS = 12
LARGEST_DATAGRAM_BYTES = MTU_BYTES + 36


def assert_bounded(session: AggregatedDatagrams) -> None:
    """Counted chunk by chunk, not by the session's own account."""
    reassembly = session._reassembly
    held = sum(len(chunk) for frame in reassembly._frames.values() for chunk in frame.chunks)
    assert held == session.held_bytes <= HELD_BYTES
    assert reassembly.in_flight <= FRAMES_IN_FLIGHT


# A bad path


class BadPath:
    """Loses, repeats, delays and damages datagrams; ``rate`` is the chance of each."""

    def __init__(self, seed: int, rate: float) -> None:
        self._random = random.Random(seed)
        self._rate = rate
        self._under_way: list[tuple[float, bytes]] = []
        self._sent = 0

    def carry(self, datagrams: list[bytes]) -> list[bytes]:
        """Take ``datagrams`` and deliver what is due by now."""
        chance = self._random
        for datagram in datagrams:
            self._sent += 1
            copies = 0 if chance.random() < self._rate else 1 + (chance.random() < self._rate)
            for _ in range(copies):
                damaged = bytearray(datagram)
                if chance.random() < self._rate:
                    damaged[chance.randrange(len(damaged))] ^= 1 << chance.randrange(8)
                delay = chance.uniform(0, 80) if chance.random() < self._rate else chance.uniform(0, 3)
                self._under_way.append((self._sent + delay, bytes(damaged)))
        self._under_way.sort()
        due = [datagram for at, datagram in self._under_way if at <= self._sent]
        self._under_way = self._under_way[len(due) :]
        return due


def mixed_batches(seed: int) -> Iterator[list[Parcel]]:
    """Small packets and super-packets, every one different."""
    choice = random.Random(seed)
    number = 0
    for _ in range(BATCHES):
        batch: list[Parcel] = []
        for _ in range(choice.randint(1, 4)):
            number += 1
            if choice.random() < 0.4:
                flow = replace(TCP_IPV4, sequence=number << 16)
                payload = PAYLOAD[: choice.randint(2, 12) * SEGMENT_BYTES]
                batch.append(flow.train(payload, SEGMENT_BYTES))
            else:
                batch.append(numbered(number, choice.choice([40, 600, MTU_BYTES])))
        yield batch


@pytest.mark.parametrize("rate", [0.0, 0.01, 0.1])
@pytest.mark.parametrize("seed", range(3))
def test_a_bad_path_delivers_each_packet_at_most_once_and_none_that_was_not_sent(
    seed: int, rate: float
) -> None:
    ends = established()
    path = BadPath(seed, rate)
    limits = random.Random(seed)
    sent: set[bytes] = set()
    received: list[bytes] = []
    for number, batch in enumerate(mixed_batches(seed)):
        if number and number % REKEY_EVERY == 0:
            ends.rekey(number // REKEY_EVERY)
        ends.client.limit.datagrams = limits.choice([1, 2, 5, 46])
        sent.update(packet for parcel in batch for packet in segment(parcel))
        arrived = path.carry(datagrams_of(ends.client.seal_parcels(batch)))
        opened = ends.server.open_parcels(one_by_one(arrived))
        received += [packet for parcel in opened.parcels for packet in segment(parcel)]
        assert_bounded(ends.server)

    assert len(received) == len(set(received))
    assert set(received) <= sent
    assert len(received) >= len(sent) * {0.0: 0.97, 0.01: 0.8, 0.1: 0.15}[rate]


@pytest.mark.parametrize("loss", [0.001, 0.01, 0.05, 0.5])
def test_the_frames_of_a_lossy_path_shrink_until_a_loss_costs_little(loss: float) -> None:
    ends, network = established(), random.Random(7)
    lost = sent = 0
    for second in range(SECONDS):
        for _ in range(150):
            for run in ends.client.seal_parcels([super_packet(10)]):
                frame = datagrams_of([run])
                arrived = [datagram for datagram in frame if network.random() >= loss]
                ends.server.open_parcels(one_by_one(arrived))
                if second >= SECONDS // 2:
                    sent += len(frame)
                    lost += 0 if run[0][:8] != FRAME_ROUTE_ID or len(arrived) == len(frame) else len(frame)
        for now_s in (2.0 * second, 2.0 * second + 1):
            report = ends.server.loss_report(now_s)
            if report is not None:
                ends.client.open_parcels(one_by_one(ends.server.seal([report])))

    assert ends.client.limit.datagrams <= max(1, 0.06 / loss)
    assert lost <= 0.05 * sent


# Strangers on the path, who know the route id and the counters


fields = st.tuples(
    st.integers(0, 12) | st.integers(0, 2**64 - 1),  # counter
    st.integers(0, 255),  # index
    st.integers(0, 50) | st.integers(0, 255),  # count
    st.integers(0, 2) | st.integers(0, 2**16 - 1),  # epoch
    st.integers(0, LARGEST_DATAGRAM_BYTES - FRAME_HEADER_BYTES),  # length of the chunk
)


@given(st.lists(fields, max_size=60), st.integers(1, 20))
def test_no_made_up_datagrams_cost_memory_or_the_frames_that_follow(
    lies: list[tuple[int, int, int, int, int]], per_batch: int
) -> None:
    ends = established()
    forged = [
        FRAME_HEADER.pack(FRAME_ROUTE_ID, counter, index, count, epoch) + bytes(size)
        for counter, index, count, epoch, size in lies
    ]

    for begin in range(0, len(forged), per_batch):
        opened = ends.server.open_parcels(one_by_one(forged[begin : begin + per_batch]))
        assert (opened.parcels, opened.authenticated, opened.newest) == ([], 0, -1)
        assert_bounded(ends.server)

    # A frame that comes at once passes whatever was said about it; one in pieces can be spoilt by name alone.
    assert ends.up(super_packet(9)).parcels == [super_packet(9)]
    ends.client._frame_counter.reserve(1000)
    datagrams = datagrams_of(ends.client.seal_parcels([super_packet(9)]))
    if all(counter != 1002 for counter, *_ in lies):
        for datagram in datagrams[:-1]:
            ends.server.open_parcels(one_by_one([datagram]))
        assert ends.server.open_parcels(one_by_one(datagrams[-1:])).parcels == [super_packet(9)]


@given(st.data())
def test_a_lie_in_any_field_of_a_chunk_costs_its_frame_at_most(data: st.DataObject) -> None:
    ends = established()
    frames = [datagrams_of(ends.client.seal_parcels([super_packet(5, seed)])) for seed in range(3)]
    victim = data.draw(st.integers(0, 2))
    position = data.draw(st.integers(0, len(frames[victim]) - 1))
    lying = bytearray(frames[victim][position])
    place = data.draw(st.integers(0, FRAME_HEADER_BYTES + 40))
    lying[place] = data.draw(st.integers(0, 255).filter(lambda value: value != lying[place]))
    arriving: list[Buffer] = [datagram for frame in frames for datagram in frame]
    arriving.insert(data.draw(st.integers(0, len(arriving))), lying)

    opened = ends.server.open_parcels(one_by_one(arriving))

    assert len(opened.parcels) >= 2
    assert all(parcel in [super_packet(5, seed) for seed in range(3)] for parcel in opened.parcels)
    assert_bounded(ends.server)


@given(st.lists(st.tuples(st.binary(max_size=300), st.integers(1, 80), st.booleans()), max_size=20))
def test_any_bytes_in_runs_of_any_length_are_dropped_and_counted(
    rubbish: list[tuple[bytes, int, bool]],
) -> None:
    server = datagram_session(Role.SERVER)
    runs = [((FRAME_ROUTE_ID if marked else b"") + content, size) for content, size, marked in rubbish]

    opened = server.open_parcels(runs)

    assert (opened.parcels, opened.service, opened.authenticated, opened.malformed) == ([], [], 0, 0)
    assert_bounded(server)
    assert opened.dropped + _waiting(server) >= len([run for run, _ in runs if run])


def _waiting(session: AggregatedDatagrams) -> int:
    """Chunks that may still become frames, or could have."""
    frames = session._reassembly._frames.values()
    return sum(len(frame.chunks) - frame.missing for frame in frames) + session.incomplete


@pytest.mark.parametrize("size", [1, 700, LARGEST_DATAGRAM_BYTES, 60_000])
def test_a_flood_of_frames_that_never_end_holds_no_more_than_the_bound(size: int) -> None:
    server = datagram_session(Role.SERVER)
    for counter in range(1, 500):
        flood = [
            FRAME_HEADER.pack(FRAME_ROUTE_ID, counter, index, MOST_CHUNKS, 0) + bytes(size)
            for index in range(0, MOST_CHUNKS - 1, 1 + counter % 7)
        ]
        server.open_parcels(one_by_one(flood))
        assert_bounded(server)

    assert len(server._loss._frames) <= 128


# A peer with keys


@given(st.lists(st.binary(max_size=400), min_size=1, max_size=5))
def test_whatever_an_authentic_peer_seals_only_well_formed_parcels_come_out(plaintexts: list[bytes]) -> None:
    ends = established()
    runs = [
        ends.client._sealed_frame(plaintext, 1 + n, ends.client._chunk_bytes)
        for n, plaintext in enumerate(plaintexts)
    ]

    opened = ends.server.open_parcels(runs)

    assert opened.authenticated == len(plaintexts)
    for packet, segment_bytes, partial_checksum in opened.parcels:
        layout_of_untrusted(packet, segment_bytes, partial_checksum, MTU_BYTES)


@given(st.lists(st.integers(0, 200) | st.integers(2**64 - 200, 2**64 - 1), unique=True, max_size=40))
def test_a_peer_may_count_as_it_likes(counters: list[int]) -> None:
    ends: Ends = established()
    for counter in counters:
        run = ends.client._sealed_frame(b"", counter, ends.client._chunk_bytes)
        fresh = ends.server._ring.newest.frames.is_fresh(1, counter)

        assert ends.server.open_parcels([run]).authenticated == fresh
        assert ends.server.open_parcels([run]).authenticated == 0
    assert ends.server.loss_report(0.0) is None
    report = ends.server.loss_report(1.0)
    assert report is None or len(report) == 11
