import struct
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.packets.layout import layout_of_untrusted
from domain.packets.parcel import SMALLEST_SEGMENT_BYTES, MalformedParcelError, Parcel
from domain.packets.records import decode_untrusted, encode
from tests.domain.packets.trains import EXTENDED, FLOWS, TCP_IPV4, UDP_IPV6, Flow, some_payload

EACH_FLOW = pytest.mark.parametrize("flow", FLOWS.values(), ids=FLOWS)


def each_kind() -> list[Parcel]:
    return [
        parcel
        for flow in (*FLOWS.values(), *EXTENDED.values())
        for parcel in (
            (flow.packet(b"finished"), 0, False),
            (flow.partial(b"partial"), 0, True),
            flow.train(some_payload(3000), 1000),
        )
    ]


def test_a_record_has_the_specified_bytes() -> None:
    packet = TCP_IPV4.partial(some_payload(3000))

    assert encode([(packet, 1000, True)]) == struct.pack("!HHBB", 3040, 1000, 1, 0) + packet
    plain = UDP_IPV6.packet(b"x")
    assert encode([(plain, 0, False)]) == bytes([0, 49, 0, 0, 0, 0]) + plain
    assert encode([]) == b""


def test_parcels_of_every_kind_come_back() -> None:
    parcels = each_kind()

    assert decode_untrusted(encode(parcels)) == (parcels, 0)
    assert decode_untrusted(b"") == ([], 0)


@pytest.mark.parametrize("flow", [TCP_IPV4, UDP_IPV6])
def test_no_record_bursts_into_countless_packets(flow: Flow) -> None:
    sound = flow.train(some_payload(3000), SMALLEST_SEGMENT_BYTES)
    tiny = flow.train(some_payload(3000), SMALLEST_SEGMENT_BYTES - 1)

    assert decode_untrusted(encode([tiny, sound, tiny])) == ([sound], 2)


def test_a_packet_of_the_largest_size_fits_a_record() -> None:
    parcel = TCP_IPV4.train(some_payload(65_495), 1400)

    assert len(parcel[0]) == 65_535
    assert decode_untrusted(encode([parcel])) == ([parcel], 0)
    with pytest.raises(struct.error):
        encode([(bytes(65_536), 0, False)])


BAD_RECORDS = {
    "empty": b"\0\0\0\0\0\0",
    "too short for an IP header": struct.pack("!HHBB", 19, 0, 0, 0) + TCP_IPV4.packet(b"")[:19],
    "neither IPv4 nor IPv6": struct.pack("!HHBB", 40, 0, 0, 0) + bytes(40),
    "states more than is there": struct.pack("!HHBB", 40, 0, 0, 0) + TCP_IPV4.packet(b"12345678")[:40],
    "IPv6 states more than is there": struct.pack("!HHBB", 48, 0, 0, 0) + UDP_IPV6.packet(b"12345678")[:48],
    "half an IPv6 header": struct.pack("!HHBB", 39, 0, 0, 0) + UDP_IPV6.packet(b"")[:39],
    "an unknown flag": struct.pack("!HHBB", 40, 0, 2, 0) + TCP_IPV4.packet(b""),
    "an unknown flag beside a known one": struct.pack("!HHBB", 40, 0, 0x81, 0) + TCP_IPV4.partial(b""),
    "something reserved": struct.pack("!HHBB", 40, 0, 0, 1) + TCP_IPV4.packet(b""),
    "a single segment": encode([TCP_IPV4.train(bytes(1000), 1000)]),
    "a complete checksum in a train": encode([(TCP_IPV4.packet(bytes(3000)), 1000, False)]),
    "segments above the MTU": encode([TCP_IPV4.train(bytes(3000), 1461)]),
}


@pytest.mark.parametrize("bad", BAD_RECORDS.values(), ids=BAD_RECORDS)
def test_a_bad_record_is_counted_and_the_others_are_kept(bad: bytes) -> None:
    parcels = each_kind()
    plaintext = encode(parcels[:5]) + bad + encode(parcels[5:])

    assert decode_untrusted(plaintext, 1500) == (parcels, 1)


@pytest.mark.parametrize("parcel", each_kind())
def test_a_record_over_the_end_ends_the_frame(parcel: Parcel) -> None:
    before = each_kind()
    record = encode([parcel])
    for size in {*range(1, min(60, len(record))), len(record) - 1}:
        assert decode_untrusted(encode(before) + record[:size]) == (before, 1)


@given(st.binary(max_size=400))
def test_any_bytes_are_records_or_malformed(plaintext: bytes) -> None:
    parcels, malformed = decode_untrusted(plaintext)

    assert len(encode(parcels)) <= len(plaintext)
    assert malformed or encode(parcels) == plaintext


@given(st.data(), st.integers(0, 1500))
def test_damage_costs_no_more_than_the_records_and_lets_nothing_unfit_through(
    data: st.DataObject, mtu_bytes: int
) -> None:
    plaintext = bytearray(encode(each_kind()))
    for _ in range(data.draw(st.integers(0, 5))):
        plaintext[data.draw(st.integers(0, len(plaintext) - 1))] = data.draw(st.integers(0, 255))

    parcels, _ = decode_untrusted(bytes(plaintext), mtu_bytes)

    for parcel in parcels:
        layout_of_untrusted(*parcel, mtu_bytes)


@EACH_FLOW
def test_the_quick_judgement_of_finished_packets_is_the_thorough_one(flow: Flow) -> None:
    whole = flow.packet(b"12345678")
    for size, at, value in product((*range(20, len(whole) + 1),), (0, 2, 3, 4, 5), (0, 0x45, 0x60, 0xFF)):
        packet = whole[:at] + bytes([value]) + whole[at + 1 : size]
        try:
            layout_of_untrusted(packet, 0, False)
        except MalformedParcelError:
            assert decode_untrusted(encode([(packet, 0, False)])) == ([], 1)
        else:
            assert decode_untrusted(encode([(packet, 0, False)])) == ([(packet, 0, False)], 0)
