import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.packets.checksum import complete, pseudo_header_sum, sum_of
from domain.packets.parcel import UDP
from tests.domain.packets.trains import FLOWS, UDP_IPV4, Flow, some_payload
from tests.netns.packets import internet_checksum

EACH_FLOW = pytest.mark.parametrize("flow", FLOWS.values(), ids=FLOWS)


@given(st.binary(max_size=3000))
def test_a_sum_is_that_of_the_words_one_by_one(data: bytes) -> None:
    assert sum_of(data) == (internet_checksum(data) ^ 0xFFFF) % 0xFFFF


@pytest.mark.parametrize("size", [0, 1, 399, 400, 401, 719, 720, 721, 1400, 1439, 1441, 65534, 65535])
@pytest.mark.parametrize("fill", [b"\xff", b"\x01", b"\x80\x7f"])
def test_a_sum_of_any_length_is_that_of_the_words(size: int, fill: bytes) -> None:
    data = (fill * size)[:size]

    assert sum_of(data) == (internet_checksum(data) ^ 0xFFFF) % 0xFFFF


@EACH_FLOW
def test_the_pseudo_header_has_addresses_protocol_and_length(flow: Flow) -> None:
    packet = flow.packet(b"x" * 100)
    content = flow.transport(b"x" * 100, 0)

    assert pseudo_header_sum(packet, flow.protocol, len(content)) == (
        internet_checksum(flow.pseudo_header(content)) ^ 0xFFFF
    )


@EACH_FLOW
@pytest.mark.parametrize("size", [0, 1, 2, 1399, 1400])
def test_a_partial_checksum_is_completed(flow: Flow, size: int) -> None:
    payload = some_payload(size)
    start = 20 if flow.in_ipv4 else 40

    assert complete(flow.partial(payload), start, 6 if flow.protocol == UDP else 16) == flow.packet(payload)


def test_a_checksum_of_zero_is_sent_as_all_ones() -> None:
    rest = sum_of(UDP_IPV4.partial(b"\0\0")[20:])
    payload = (0xFFFF - rest).to_bytes(2, "big")

    assert complete(UDP_IPV4.partial(payload), 20, 6)[26:28] == b"\xff\xff"
