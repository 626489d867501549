from dataclasses import replace
from itertools import chain

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.packets.layout import layout_of_untrusted
from domain.packets.parcel import ACK, CWR, FIN, PSH, TCP, MalformedParcelError, Parcel
from domain.packets.segment import segment, split
from tests.domain.packets.trains import (
    EXTENDED,
    FLOWS,
    TCP_IPV4,
    TCP_IPV6,
    TIMESTAMPS,
    UDP_IPV4,
    Flow,
    some_payload,
)
from tests.netns.packets import internet_checksum

ALL_FLOWS = FLOWS | EXTENDED
EACH_FLOW = pytest.mark.parametrize("flow", ALL_FLOWS.values(), ids=ALL_FLOWS)


def segments_of(parcels: list[Parcel]) -> list[bytes]:
    return list(chain.from_iterable(map(segment, parcels)))


@EACH_FLOW
def test_a_finished_packet_comes_back_itself(flow: Flow) -> None:
    packet = flow.packet(b"finished")

    (same,) = segment((packet, 0, False))
    assert same is packet


@EACH_FLOW
@pytest.mark.parametrize("size", [0, 1, 1400])
def test_a_partial_checksum_is_completed(flow: Flow, size: int) -> None:
    payload = some_payload(size)

    assert segment((flow.partial(payload), 0, True)) == [flow.packet(payload)]


@EACH_FLOW
@pytest.mark.parametrize("segment_bytes", [100, 1348, 2999])
@pytest.mark.parametrize("size", [3000, 3001, 5392])
def test_a_train_is_cut_into_the_packets_that_would_have_been_sent(
    flow: Flow, size: int, segment_bytes: int
) -> None:
    payload = some_payload(size)

    assert segment(flow.train(payload, segment_bytes)) == flow.packets(payload, segment_bytes)


@pytest.mark.parametrize("flow", [TCP_IPV4, TCP_IPV6])
def test_what_belongs_to_the_first_or_last_segment_is_only_there(flow: Flow) -> None:
    flow = replace(flow, flags=ACK | CWR | PSH | FIN | 0x40, options=TIMESTAMPS, urgent=3)
    flags_at = flow.header_bytes - len(TIMESTAMPS) - 7

    packets = segment(flow.train(some_payload(2500), 1000))

    assert [packet[flags_at] for packet in packets] == [ACK | CWR | 0x40, ACK | 0x40, ACK | PSH | FIN | 0x40]
    assert packets == flow.packets(some_payload(2500), 1000)


def test_counters_come_round() -> None:
    flow = replace(TCP_IPV4, identification=0xFFFF, sequence=2**32 - 1000)

    packets = segment(flow.train(some_payload(2500), 1000))

    assert packets == flow.packets(some_payload(2500), 1000)
    assert packets[1][4:6] == bytes(2)
    assert packets[1][24:28] == bytes(4)


def test_ipv4_options_are_repeated_in_every_segment() -> None:
    plain = TCP_IPV4.partial(some_payload(2500))
    header = bytes([0x46]) + plain[1:2] + (len(plain) + 4).to_bytes(2, "big") + plain[4:10] + bytes(2)
    header += plain[12:20] + b"\x94\x04\x00\x00"
    checksum = internet_checksum(header).to_bytes(2, "big")

    packets = segment((header[:10] + checksum + header[12:] + plain[20:], 1000, True))

    expected = TCP_IPV4.packets(some_payload(2500), 1000)
    assert [packet[24:] for packet in packets] == [packet[20:] for packet in expected]
    for packet in packets:
        assert packet[20:24] == b"\x94\x04\x00\x00"
        assert int.from_bytes(packet[2:4], "big") == len(packet)
        assert internet_checksum(packet[:24]) == 0


@EACH_FLOW
def test_a_wrong_partial_sum_stays_wrong_by_as_much(flow: Flow) -> None:
    payload = some_payload(2500)
    packet = bytearray(flow.partial(payload))
    field = flow.network_bytes + (16 if flow.protocol == TCP else 6)
    packet[field : field + 2] = ((int.from_bytes(packet[field : field + 2], "big") + 5) % 65535).to_bytes(
        2, "big"
    )

    packets = segment((bytes(packet), 1000, True))

    for wrong, right in zip(packets, flow.packets(payload, 1000), strict=True):
        wrong_field, right_field = (int.from_bytes(each[field : field + 2], "big") for each in (wrong, right))
        assert (right_field - wrong_field) % 65535 == 5


def test_a_udp_checksum_of_zero_is_sent_as_all_ones() -> None:
    blank = UDP_IPV4.packet(bytes(8))
    payload = blank[26:28] + bytes(6)

    packets = segment(UDP_IPV4.train(payload * 3, 8))

    assert [packet[26:28] for packet in packets] == [b"\xff\xff"] * 3


@EACH_FLOW
@pytest.mark.parametrize("most_bytes", [1400, 2500, 3000, 20_000, 40_000])
def test_smaller_trains_hold_the_same_segments(flow: Flow, most_bytes: int) -> None:
    payload = some_payload(50_001)
    train = flow.train(payload, 1200)

    pieces = split(train, most_bytes)

    assert segments_of(pieces) == flow.packets(payload, 1200)
    assert all(len(packet) <= most_bytes for packet, _, _ in pieces)
    # No piece could have taken another segment.
    assert all(len(packet) + 1200 > most_bytes for packet, _, _ in pieces[:-1])


@EACH_FLOW
def test_a_piece_of_one_segment_is_a_plain_packet_with_a_partial_checksum(flow: Flow) -> None:
    pieces = split(flow.train(some_payload(3500), 1000), flow.header_bytes + 2999)

    assert [(len(packet) - flow.header_bytes, size, partial) for packet, size, partial in pieces] == [
        (2000, 1000, True),
        (1500, 1000, True),
    ]
    pieces = split(flow.train(some_payload(2500), 1000), flow.header_bytes + 1999)
    assert [(len(packet) - flow.header_bytes, size, partial) for packet, size, partial in pieces] == [
        (1000, 0, True),
        (1000, 0, True),
        (500, 0, True),
    ]
    assert pieces[0][0] == replace(flow, flags=ACK).partial(some_payload(2500)[:1000])


@EACH_FLOW
def test_what_is_short_enough_or_cannot_be_split_comes_back_itself(flow: Flow) -> None:
    payload = some_payload(2500)
    for parcel in (
        flow.train(payload, 1000),
        (flow.packet(payload), 0, False),
        (flow.partial(payload), 0, True),
    ):
        assert split(parcel, len(parcel[0])) == [parcel]
    for plain in ((flow.packet(payload), 0, False), (flow.partial(payload), 0, True)):
        assert split(plain, 100) == [plain]


@EACH_FLOW
def test_a_single_segment_is_longer_than_allowed_rather_than_cut(flow: Flow) -> None:
    assert [len(packet) for packet, _, _ in split(flow.train(some_payload(2500), 1000), 100)] == [
        flow.header_bytes + 1000,
        flow.header_bytes + 1000,
        flow.header_bytes + 500,
    ]


FLOW = st.builds(
    replace,
    st.sampled_from(list(ALL_FLOWS.values())),
    identification=st.integers(0, 65535),
    sequence=st.integers(0, 2**32 - 1),
    flags=st.sampled_from([ACK, ACK | PSH, ACK | FIN | PSH, ACK | CWR, ACK | CWR | PSH | FIN]),
    options=st.sampled_from([b"", TIMESTAMPS]),
)


@given(FLOW, st.binary(min_size=50, max_size=3000), st.integers(40, 1500), st.integers(0, 4000))
def test_split_and_cut_is_cut(flow: Flow, payload: bytes, segment_bytes: int, most_bytes: int) -> None:
    train = flow.train(payload, min(segment_bytes, len(payload) - 1))

    expected = flow.packets(payload, train[1])
    pieces = split(train, most_bytes)

    assert segment(train) == expected
    assert segments_of(pieces) == expected
    for piece in pieces:
        layout_of_untrusted(*piece)  # raises if a peer would refuse it


@given(FLOW, st.data(), st.integers(0, 3100), st.integers(1, 4000))
def test_a_damaged_train_is_cut_or_refused(
    flow: Flow, data: st.DataObject, segment_bytes: int, most_bytes: int
) -> None:
    packet = bytearray(flow.partial(some_payload(3000)))
    for _ in range(data.draw(st.integers(1, 3))):
        packet[data.draw(st.integers(0, flow.header_bytes - 1))] = data.draw(st.integers(0, 255))
    parcel = (bytes(packet), segment_bytes, True)
    try:
        packets = segment(parcel)
    except MalformedParcelError:
        return
    assert segments_of(split(parcel, most_bytes)) == packets


@given(st.binary(max_size=80), st.integers(0, 100))
def test_any_bytes_are_cut_or_refused(packet: bytes, segment_bytes: int) -> None:
    parcel = (packet, segment_bytes, True)
    for work in (lambda: segment(parcel), lambda: split(parcel, 1)):
        try:
            assert work()
        except MalformedParcelError:
            continue
