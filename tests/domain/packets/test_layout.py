from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.packets.layout import (
    FINISHED,
    LARGEST_EXTENSIONS_BYTES,
    Layout,
    Train,
    begins_whole,
    layout_of_untrusted,
)
from domain.packets.parcel import ACK, CWR, RST, SYN, TCP, UDP, MalformedParcelError, Parcel
from tests.domain.packets.trains import (
    DESTINATION_OPTIONS,
    EXTENDED,
    FLOWS,
    HOP_BY_HOP,
    ROUTED,
    TCP_IPV4,
    TCP_IPV6,
    TIMESTAMPS,
    UDP_IPV4,
    UDP_IPV6,
    Flow,
    some_payload,
)

ALL_FLOWS = FLOWS | EXTENDED
EACH_FLOW = pytest.mark.parametrize("flow", ALL_FLOWS.values(), ids=ALL_FLOWS)
PAYLOAD = some_payload(3000)


def refused(parcel: Parcel, mtu_bytes: int = 65535) -> str:
    with pytest.raises(MalformedParcelError) as caught:
        layout_of_untrusted(*parcel, mtu_bytes)
    assert (caught.value.size, caught.value.segment_bytes) == (len(parcel[0]), parcel[1])
    return caught.value.why


def patched(packet: bytes, at: int, value: bytes) -> bytes:
    return packet[:at] + value + packet[at + len(value) :]


@pytest.mark.parametrize(
    ("flow", "expected"),
    [
        (TCP_IPV4, Layout(Train.TCP_IPV4, TCP, 40, 20, 16, has_cwr=False)),
        (replace(TCP_IPV4, options=TIMESTAMPS), Layout(Train.TCP_IPV4, TCP, 52, 20, 16, has_cwr=False)),
        (replace(TCP_IPV6, flags=ACK | CWR), Layout(Train.TCP_IPV6, TCP, 60, 40, 16, has_cwr=True)),
        (UDP_IPV4, Layout(Train.UDP, UDP, 28, 20, 6, has_cwr=False)),
        (UDP_IPV6, Layout(Train.UDP, UDP, 48, 40, 6, has_cwr=False)),
        (EXTENDED["tcp6, hop-by-hop"], Layout(Train.TCP_IPV6, TCP, 68, 48, 16, has_cwr=False)),
        (EXTENDED["tcp6, all"], Layout(Train.TCP_IPV6, TCP, 124, 104, 16, has_cwr=False)),
        (EXTENDED["udp6, all"], Layout(Train.UDP, UDP, 96, 88, 6, has_cwr=False)),
    ],
)
def test_a_super_packet_shows_what_it_is_and_where_things_are(flow: Flow, expected: Layout) -> None:
    assert layout_of_untrusted(*flow.train(PAYLOAD, 1000)) == expected
    assert layout_of_untrusted(flow.partial(PAYLOAD), 0, True) == expected._replace(train=Train.NONE)


@EACH_FLOW
def test_of_a_finished_packet_nothing_is_wanted_but_a_whole_ip_header(flow: Flow) -> None:
    packet = flow.packet(b"some payload")

    assert layout_of_untrusted(packet, 0, False) == FINISHED
    assert layout_of_untrusted(packet + b"padding", 0, False) == FINISHED
    for size in range(len(packet)):
        assert refused((packet[:size], 0, False)) == "no whole IP header of that length"
        assert not begins_whole(packet[:size])


@EACH_FLOW
def test_what_must_be_cut_or_completed_has_exactly_the_length_that_it_states(flow: Flow) -> None:
    packet = flow.partial(PAYLOAD)

    for wrong in (packet + b"\0", packet[:-1], packet[: flow.header_bytes - 1], packet[:30], packet[:19]):
        refused((wrong, 0, True))
        refused((wrong, 1000, True))


@pytest.mark.parametrize("version", [0, 5, 15])
def test_another_version_is_refused(version: int) -> None:
    packet = patched(TCP_IPV4.partial(PAYLOAD), 0, bytes([version << 4 | 5]))

    for claims in ((0, False), (0, True), (1000, True)):
        refused((packet, *claims))


@pytest.mark.parametrize("words", [0, 4, 15])
def test_an_ipv4_header_of_another_length_is_refused(words: int) -> None:
    packet = UDP_IPV4.on_ip(UDP_IPV4.transport(bytes(4), 0))

    refused((patched(packet, 0, bytes([0x40 | words])), 0, True))


@pytest.mark.parametrize("words", [0, 4, 15])
def test_a_tcp_header_of_another_length_is_refused(words: int) -> None:
    for flow, at in ((TCP_IPV4, 32), (TCP_IPV6, 52)):
        refused((patched(flow.partial(b"12345678"), at, bytes([words << 4])), 0, True))


@pytest.mark.parametrize("fragment", [0x2000, 0x0001, 0x1FFF])
def test_a_fragment_is_neither_cut_nor_completed(fragment: int) -> None:
    packet = patched(UDP_IPV4.partial(PAYLOAD), 6, fragment.to_bytes(2, "big"))

    assert layout_of_untrusted(packet, 0, False) == FINISHED
    refused((packet, 0, True))
    refused((packet, 1000, True))


# Not in IPv4: 0, 43 and 60. Nowhere: a fragment, an authentication header, ICMP, and a protocol of nobody.
@pytest.mark.parametrize(
    ("next_header", "in_ipv6"), [(0, 0), (43, 0), (60, 0), *((n, 1) for n in (44, 51, 58, 1))]
)
def test_another_protocol_is_neither_cut_nor_completed(next_header: int, in_ipv6: int) -> None:
    for flow, at in ((TCP_IPV4, 9), (UDP_IPV6, 6), (EXTENDED["tcp6, hop-by-hop"], 40))[: 1 + 2 * in_ipv6]:
        packet = patched(flow.partial(PAYLOAD), at, bytes([next_header]))
        refused((packet, 0, True))
        refused((packet, 1000, True))


@pytest.mark.parametrize("segments_left", [1, 255])
def test_a_packet_that_has_further_to_go_is_neither_cut_nor_completed(segments_left: int) -> None:
    number, content = ROUTED
    routed = (number, bytes((content[0], segments_left)) + content[2:])
    packet = replace(TCP_IPV6, extensions=(HOP_BY_HOP, routed)).partial(PAYLOAD)

    assert layout_of_untrusted(packet, 0, False) == FINISHED
    assert refused((packet, 0, True)) == refused((packet, 1000, True)) == "not at its destination yet"


def test_extension_headers_have_a_bound_and_it_is_that_of_their_bytes() -> None:
    for length in (8, 16, 64, LARGEST_EXTENSIONS_BYTES):
        options = (60, b"\x01" + bytes([length - 4]) + bytes(length - 4))
        flow = replace(TCP_IPV6, extensions=(options,) * (LARGEST_EXTENSIONS_BYTES // length))
        longer = replace(flow, extensions=(HOP_BY_HOP, *flow.extensions))

        assert layout_of_untrusted(*flow.train(PAYLOAD, 1000)).header_bytes == flow.header_bytes == 316
        assert refused(longer.train(PAYLOAD, 1000)) == "extension headers without an end"


@pytest.mark.parametrize("units", [3, 100, 255])
def test_an_extension_header_longer_than_the_packet_is_refused(units: int) -> None:
    flow = replace(UDP_IPV6, extensions=(HOP_BY_HOP, DESTINATION_OPTIONS))
    for size in (0, 1, 8):
        packet = patched(flow.partial(bytes(size)), 49, bytes([units]))
        assert refused((packet, 0, True)) == "extension headers without an end"


def test_extension_headers_alone_are_refused() -> None:
    flow = EXTENDED["tcp6, all"]
    whole = flow.partial(PAYLOAD)
    for size in range(40, flow.header_bytes):
        packet = patched(whole[:size], 4, (size - 40).to_bytes(2, "big"))
        refused((packet, 0, True))


def test_a_chain_that_names_itself_ends() -> None:
    # Every byte is a zero: headers of 8 bytes, each followed by hop-by-hop options.
    packet = patched(patched(bytes(65535), 0, b"\x60"), 4, (65535 - 40).to_bytes(2, "big"))
    assert refused((packet, 1000, True)) == "extension headers without an end"


def test_a_udp_length_other_than_what_is_there_is_refused() -> None:
    for flow, at in ((UDP_IPV4, 24), (UDP_IPV6, 44)):
        refused((patched(flow.partial(PAYLOAD), at, (3007).to_bytes(2, "big")), 1000, True))


@EACH_FLOW
def test_a_super_packet_has_more_than_one_segment(flow: Flow) -> None:
    layout_of_untrusted(*flow.train(PAYLOAD, 2999))
    for segment_bytes in (3000, 3001, 65535):
        assert refused(flow.train(PAYLOAD, segment_bytes)) == "a single segment"


@EACH_FLOW
def test_a_super_packet_has_a_partial_checksum(flow: Flow) -> None:
    assert refused((flow.packet(PAYLOAD), 1000, False)) == "a complete checksum"


@EACH_FLOW
def test_no_segment_is_larger_than_the_mtu(flow: Flow) -> None:
    layout_of_untrusted(*flow.train(PAYLOAD, 1000), mtu_bytes=flow.header_bytes + 1000)
    assert "larger" in refused(flow.train(PAYLOAD, 1000), mtu_bytes=flow.header_bytes + 999)


def test_a_super_packet_does_not_burst_into_countless_packets() -> None:
    layout_of_untrusted(*UDP_IPV6.train(PAYLOAD, 24))
    assert refused(UDP_IPV6.train(PAYLOAD, 23)) == "too many segments"


@pytest.mark.parametrize("flag", [SYN, RST])
def test_no_train_opens_or_resets_a_connection(flag: int) -> None:
    flow = replace(TCP_IPV4, flags=ACK | flag)

    layout_of_untrusted(flow.partial(b""), 0, True)
    assert refused(flow.train(PAYLOAD, 1000)) == "SYN or RST"


FIRST_BYTES = st.sampled_from([b"", b"\x45", b"\x46", b"\x60", b"\xff"])


@given(FIRST_BYTES, st.binary(max_size=100), st.integers(0, 65535), st.booleans())
def test_any_bytes_have_a_layout_inside_them_or_are_refused(
    first: bytes, rest: bytes, segment_bytes: int, partial: bool
) -> None:
    packet = first + rest
    try:
        layout = layout_of_untrusted(packet, segment_bytes, partial)
    except MalformedParcelError:
        return
    assert layout.header_bytes <= len(packet)
    assert (layout == FINISHED) == (not segment_bytes and not partial)
    assert (layout.train is Train.NONE) == (not segment_bytes)


@given(st.sampled_from(list(ALL_FLOWS.values())), st.data())
def test_a_damaged_header_is_refused_or_still_says_how_long_the_packet_is(
    flow: Flow, data: st.DataObject
) -> None:
    packet = bytearray(flow.partial(PAYLOAD))
    for _ in range(data.draw(st.integers(1, 3))):
        packet[data.draw(st.integers(0, flow.header_bytes - 1))] = data.draw(st.integers(0, 255))
    try:
        layout = layout_of_untrusted(bytes(packet), 1000, True)
    except MalformedParcelError:
        return
    assert layout.checksum_start + layout.checksum_offset + 2 <= layout.header_bytes < len(packet) - 1000
    stated = packet[2] << 8 | packet[3] if packet[0] >> 4 == 4 else 40 + (packet[4] << 8 | packet[5])
    assert stated == len(packet)
