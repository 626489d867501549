from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from itertools import chain
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.packets.coalesce import coalesce
from domain.packets.layout import layout_of_untrusted
from domain.packets.parcel import ACK, CWR, FIN, PSH, RST, SYN, TCP
from domain.packets.segment import segment
from tests.domain.packets.trains import (
    EXTENDED,
    FLOWS,
    TCP_IPV4,
    TCP_IPV6,
    TIMESTAMPS,
    UDP_IPV4,
    UDP_IPV6,
    Flow,
    some_payload,
)

EACH_FLOW = pytest.mark.parametrize("flow", FLOWS.values(), ids=FLOWS)
EACH_TCP = pytest.mark.parametrize("flow", [TCP_IPV4, TCP_IPV6], ids=["tcp4", "tcp6"])


def cut_again(packets: list[bytes]) -> list[bytes]:
    return list(chain.from_iterable(map(segment, coalesce(packets))))


def lengths(packets: list[bytes]) -> list[int]:
    """The size of each parcel's packet."""
    return [len(packet) for packet, _, _ in coalesce(packets)]


def assert_left_alone(packets: list[bytes]) -> None:
    assert coalesce(packets) == [(packet, 0, False) for packet in packets]


@EACH_FLOW
@pytest.mark.parametrize("size", [20_000, 20_001, 19_999, 2001])
def test_a_run_of_packets_becomes_the_super_packet_that_they_were_cut_from(flow: Flow, size: int) -> None:
    payload = some_payload(size)

    assert coalesce(flow.packets(payload, 1000)) == [flow.train(payload, 1000)]


@EACH_TCP
def test_options_and_a_push_at_the_end_are_kept(flow: Flow) -> None:
    flow = replace(flow, flags=ACK | PSH, options=TIMESTAMPS, traffic_class=0x28, hop_limit=3)

    assert coalesce(flow.packets(some_payload(5000), 1000)) == [flow.train(some_payload(5000), 1000)]


@EACH_TCP
def test_a_push_ends_the_train(flow: Flow) -> None:
    pushed = replace(flow, flags=ACK | PSH)
    after = replace(flow, sequence=flow.sequence + 3000, identification=flow.identification + 3)
    packets = pushed.packets(some_payload(3000), 1000) + after.packets(some_payload(2000), 1000)

    assert coalesce(packets) == [
        pushed.train(some_payload(3000), 1000),
        after.train(some_payload(2000), 1000),
    ]


@EACH_TCP
def test_a_push_on_the_first_packet_ends_a_train_of_one(flow: Flow) -> None:
    first = replace(flow, flags=ACK | PSH).packet(bytes(1000))
    second = replace(flow, sequence=2000, identification=8).packet(bytes(1000))

    assert_left_alone([first, second])


@EACH_FLOW
def test_a_shorter_packet_ends_the_train(flow: Flow) -> None:
    packets = flow.packets(some_payload(2500), 1000)
    after = replace(flow, sequence=flow.sequence + 2500, identification=flow.identification + 3)
    packets += after.packets(some_payload(500), 500)

    assert coalesce(packets) == [flow.train(some_payload(2500), 1000), (packets[-1], 0, False)]


@EACH_FLOW
def test_a_longer_packet_does_not_continue_a_train(flow: Flow) -> None:
    packets = flow.packets(some_payload(1000), 1000)
    packets.append(replace(flow, sequence=flow.sequence + 1000, identification=8).packet(some_payload(1001)))

    assert_left_alone(packets)


@pytest.mark.parametrize("flag", [FIN, SYN, RST, CWR, 0x20, 0x40])
@EACH_TCP
def test_a_flag_other_than_ack_and_push_travels_alone(flow: Flow, flag: int) -> None:
    packets = flow.packets(some_payload(4000), 1000)
    packets[2] = replace(
        flow, flags=ACK | flag, sequence=flow.sequence + 2000, identification=flow.identification + 2
    ).packet(some_payload(4000)[2000:3000])

    assert coalesce(packets) == [
        flow.train(some_payload(2000), 1000),
        (packets[2], 0, False),
        (packets[3], 0, False),
    ]


CHANGES: dict[str, Callable[[Flow], Flow]] = {
    "a gap": lambda flow: replace(flow, sequence=2001),
    "another acknowledgement": lambda flow: replace(flow, acknowledged=78),
    "another window": lambda flow: replace(flow, window=501),
    "another class": lambda flow: replace(flow, traffic_class=1),
    "another hop limit": lambda flow: replace(flow, hop_limit=63),
    "an urgent pointer": lambda flow: replace(flow, urgent=1),
    "more options": lambda flow: replace(flow, options=TIMESTAMPS),
    "other options": lambda flow: replace(flow, options=b"\x01\x01\x01\x00"),
    "other ports": lambda flow: replace(flow, ports=(4000, 4002)),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
@EACH_TCP
def test_headers_that_differ_in_more_than_place_do_not_join(
    flow: Flow, change: Callable[[Flow], Flow]
) -> None:
    flow = replace(flow, options=b"\x01\x01\x01\x01")
    second = replace(flow, sequence=2000, identification=8)
    joined = [flow.packet(bytes(1000)), second.packet(bytes(1000))]
    assert len(coalesce(joined)) == 1

    assert_left_alone([joined[0], change(second).packet(bytes(1000))])


def test_a_flow_label_is_part_of_what_must_be_equal() -> None:
    for flow in (TCP_IPV6, UDP_IPV6):
        second = replace(flow, sequence=flow.sequence + 1000, flow_label=1)
        assert_left_alone([flow.packet(bytes(1000)), second.packet(bytes(1000))])


@pytest.mark.parametrize("flow", EXTENDED.values(), ids=EXTENDED)
def test_packets_with_extension_headers_are_left_alone(flow: Flow) -> None:
    assert_left_alone(flow.packets(some_payload(5000), 1000))


@pytest.mark.parametrize("flow", [TCP_IPV4, UDP_IPV4])
@pytest.mark.parametrize("step", [-1, 2, 100])
def test_ipv4_identifications_that_jump_do_not_join(flow: Flow, step: int) -> None:
    second = replace(flow, sequence=2000, identification=flow.identification + step)

    assert_left_alone([flow.packet(bytes(1000)), second.packet(bytes(1000))])


@pytest.mark.parametrize("flow", [TCP_IPV4, UDP_IPV4])
def test_an_ipv4_identification_may_stay_the_same_where_fragments_are_forbidden(flow: Flow) -> None:
    flow = replace(flow, identification=0)
    packets = [replace(flow, sequence=1000 + 1000 * index).packet(bytes(1000)) for index in range(4)]

    assert coalesce(packets) == [flow.train(bytes(4000), 1000)]
    assert_left_alone([b"".join((p[:6], b"\0", p[7:10], _sum_without_df(p), p[12:])) for p in packets])


def _sum_without_df(packet: bytes) -> bytes:
    return ((int.from_bytes(packet[10:12], "big") + 0x4000) % 65535).to_bytes(2, "big")


def test_an_identification_does_not_change_its_mind() -> None:
    same = [replace(UDP_IPV4, identification=5).packet(bytes(100))] * 2
    then = [replace(UDP_IPV4, identification=number).packet(bytes(100)) for number in (6, 7)]

    assert lengths(same + then) == [228, 228]


def test_an_identification_without_df_counts_too() -> None:
    flow = replace(TCP_IPV4, dont_fragment=False)

    assert coalesce(flow.packets(some_payload(5000), 1000)) == [flow.train(some_payload(5000), 1000)]


def test_where_a_counter_comes_round_another_train_begins() -> None:
    flow = replace(TCP_IPV4, identification=0xFFFE, sequence=2**32 - 4000)
    packets = flow.packets(some_payload(8000), 1000)

    assert cut_again(packets) == packets
    assert lengths(packets) == [2040, 2040, 4040]


@EACH_FLOW
def test_a_damaged_packet_is_not_made_right(flow: Flow) -> None:
    packets = flow.packets(some_payload(10_000), 1000)
    damaged = bytearray(packets[4])
    damaged[500] ^= 1
    packets[4] = bytes(damaged)

    assert_left_alone(packets)


@EACH_FLOW
def test_damage_that_cancels_in_a_plain_sum_is_not_made_right(flow: Flow) -> None:
    """The same bit turned on in one packet and off in another, at any distance."""
    payload = bytes(20_000) + b"\xff" * 20_000
    packets = flow.packets(payload, 1000)[:40]
    for one, other in ((0, 39), (19, 20), (3, 20), (1, 33)):
        damaged = list(packets)
        for which in (one, other):
            packet = bytearray(packets[which])
            packet[700] ^= 0x40
            damaged[which] = bytes(packet)
        assert_left_alone(damaged)


@pytest.mark.parametrize("flow", [TCP_IPV4, UDP_IPV4])
def test_a_damaged_ipv4_header_is_not_made_right(flow: Flow) -> None:
    packets = flow.packets(some_payload(10_000), 1000)
    packets[4] = packets[4][:10] + b"\x12\x34" + packets[4][12:]

    assert_left_alone(packets)


@pytest.mark.parametrize("flow", [UDP_IPV4, UDP_IPV6])
@pytest.mark.parametrize("which", [0, 1, 2])
def test_udp_without_a_checksum_does_not_join(flow: Flow, which: int) -> None:
    packets = flow.packets(some_payload(3000), 1000)
    field = flow.header_bytes - 2
    packets[which] = packets[which][:field] + bytes(2) + packets[which][field + 2 :]

    assert all(packet in packets or size for packet, size, _ in coalesce(packets))
    assert packets[which] in [packet for packet, _, _ in coalesce(packets)]


@EACH_FLOW
def test_padding_behind_a_packet_keeps_it_alone(flow: Flow) -> None:
    packets = flow.packets(some_payload(3000), 1000)
    packets[1] += b"\0"

    assert_left_alone(packets)


def test_acknowledgements_and_opening_packets_are_left_alone() -> None:
    for flow in (TCP_IPV4, TCP_IPV6):
        opening = replace(flow, flags=SYN).packet(b"")
        assert_left_alone([opening, *[flow.packet(b"")] * 3, opening])


@EACH_TCP
def test_a_pure_acknowledgement_keeps_its_place_between_data(flow: Flow) -> None:
    packets = flow.packets(some_payload(4000), 1000)
    pure = flow.packet(b"")
    later = packets[2:]

    assert coalesce([*packets[:2], pure, *later]) == [
        flow.train(some_payload(2000), 1000),
        (pure, 0, False),
        *coalesce(later),
    ]


def test_udp_is_left_alone_on_request() -> None:
    udp, tcp = UDP_IPV4.packets(bytes(3000), 1000), TCP_IPV4.packets(bytes(3000), 1000)

    parcels = coalesce([*udp, *tcp], with_udp=False)

    assert parcels == [*[(packet, 0, False) for packet in udp], TCP_IPV4.train(bytes(3000), 1000)]


def test_trains_are_bounded() -> None:
    assert [len(p) for p, _, _ in coalesce(UDP_IPV4.packets(bytes(13_000), 100))] == [6428, 6428, 228]
    assert [len(p) for p, _, _ in coalesce(TCP_IPV4.packets(bytes(8240), 16))] == [4136, 4136, 88]
    for flow in (TCP_IPV4, TCP_IPV6):
        sizes = [len(p) for p, _, _ in coalesce(flow.packets(bytes(130_000), 1000))]
        assert sizes == [flow.header_bytes + 65_000] * 2


def test_flows_that_alternate_are_joined_each_by_itself() -> None:
    flows = [replace(flow, ports=(port, 1)) for flow in FLOWS.values() for port in (1, 2, 3)]
    rows = [flow.packets(some_payload(5000, seed), 1000) for seed, flow in enumerate(flows)]

    parcels = coalesce([packet for row in zip(*rows, strict=True) for packet in row])

    assert parcels == [flow.train(some_payload(5000, seed), 1000) for seed, flow in enumerate(flows)]


def test_tcp_and_udp_between_the_same_ports_are_two_flows() -> None:
    tcp, udp = TCP_IPV4.packets(bytes(3000), 1000), UDP_IPV4.packets(bytes(3000), 1000)
    mixed = [packet for pair in zip(tcp, udp, strict=True) for packet in pair]

    assert coalesce(mixed) == [TCP_IPV4.train(bytes(3000), 1000), UDP_IPV4.train(bytes(3000), 1000)]


@pytest.mark.parametrize("words", [0, 4, 15])
@EACH_TCP
def test_a_tcp_header_of_an_impossible_length_is_left_alone(flow: Flow, words: int) -> None:
    at = flow.header_bytes - 8
    packets = [p[:at] + bytes([words << 4]) + p[at + 1 :] for p in flow.packets(bytes(60), 20)]

    assert_left_alone(packets)


def test_nothing_overtakes_what_cannot_be_read() -> None:
    packets = UDP_IPV4.packets(bytes(4000), 1000)
    fragment = packets[2][:6] + b"\x20\x00" + packets[2][8:]
    with_options = bytes([0x46]) + packets[2][1:]

    for unreadable in (fragment, with_options, b"", b"\x45", bytes(100), packets[2][:27]):
        assert coalesce([*packets[:2], unreadable, *packets[2:]]) == [
            UDP_IPV4.train(bytes(2000), 1000),
            (unreadable, 0, False),
            *coalesce(packets[2:]),
        ]


def flow_of(packet: bytes) -> bytes:
    return packet[9:10] + packet[12:24] if packet[0] >> 4 == 4 else packet[6:7] + packet[8:44]


@given(st.integers(0, 2**32), st.integers(0, 60))
def test_mixed_flows_come_out_complete_and_each_in_order(seed: int, count: int) -> None:
    random = Random(seed)
    flows = [
        replace(
            flow, ports=(port, 1), options=random.choice([b"", TIMESTAMPS]) if flow.protocol == TCP else b""
        )
        for flow in FLOWS.values()
        for port in (1, 2)
    ]
    packets = []
    for _ in range(count):
        which = random.randrange(len(flows))
        flow = flows[which]
        size = random.choice([0, 7, 8, 101, 101, 101, 101, 300])
        flags = random.choice([ACK] * 8 + [ACK | PSH, ACK | FIN])
        packets.append(replace(flow, flags=flags).packet(some_payload(size, which)))
        sequence = (flow.sequence + random.choice([size] * 9 + [1])) % 2**32
        identification = (flow.identification + random.choice([1] * 9 + [3])) % 2**16
        flows[which] = replace(flow, sequence=sequence, identification=identification)

    parcels = coalesce(packets)

    before: dict[bytes, list[bytes]] = defaultdict(list)
    after: dict[bytes, list[bytes]] = defaultdict(list)
    for packet in packets:
        before[flow_of(packet)].append(packet)
    for parcel in parcels:
        layout_of_untrusted(*parcel)
        after[flow_of(parcel[0])] += segment(parcel)
    assert after == before


@given(st.lists(st.tuples(st.sampled_from([b"", b"\x45", b"\x60", b"\x46"]), st.binary(max_size=90))))
def test_any_bytes_come_out_as_they_came_in(pieces: list[tuple[bytes, bytes]]) -> None:
    assert_left_alone([first + rest for first, rest in pieces])


@given(st.sampled_from(list(FLOWS.values())), st.data())
def test_damage_anywhere_is_there_afterwards(flow: Flow, data: st.DataObject) -> None:
    packets = flow.packets(some_payload(1000), 100)
    at, bit = data.draw(st.integers(0, flow.header_bytes + 99)), 1 << data.draw(st.integers(0, 7))
    # In one packet or in two: the same bit turned on here and off there must not cancel.
    for which in data.draw(st.sets(st.integers(0, 9), min_size=1, max_size=2)):
        packet = bytearray(packets[which])
        packet[at] ^= bit
        packets[which] = bytes(packet)

    assert sorted(cut_again(packets)) == sorted(packets)
