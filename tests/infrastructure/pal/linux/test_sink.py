"""The answer to IPv6 packets that an IPv4-only tunnel cannot carry (RFC 4443)."""

import socket
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from application.network.routing.tun import TunClosedError
from infrastructure.pal.linux.sink import refusal, refuse_packets
from tests.adapters.tun import FakeTunDevice
from tests.netns.packets import internet_checksum, pseudo_header, udp_packet

HERE = "2001:db8::2"
THERE = "2001:db8:f::1"
PACKET = udp_packet(HERE, THERE, b"private")


def answer_to(packet: bytes) -> bytes:
    answer = refusal(packet)
    assert answer is not None
    return answer


def test_the_answer_comes_from_the_destination_and_quotes_the_packet() -> None:
    answer = answer_to(PACKET)
    assert answer[8:24] == socket.inet_pton(socket.AF_INET6, THERE)
    assert answer[24:40] == socket.inet_pton(socket.AF_INET6, HERE)
    assert answer[40:42] == bytes([1, 1])  # destination unreachable, administratively prohibited
    assert answer[48:] == PACKET


def test_a_long_packet_is_quoted_as_far_as_1280_bytes_allow() -> None:
    packet = udp_packet(HERE, THERE, bytes(1400))
    answer = answer_to(packet)
    assert len(answer) == 1280
    assert answer[48:] == packet[:1232]


@given(st.binary(max_size=1500))
def test_length_and_checksum_of_the_answer_are_right(payload: bytes) -> None:
    answer = answer_to(udp_packet(HERE, THERE, payload))
    message = answer[40:]
    assert struct.unpack_from("!H", answer, 4)[0] == len(message)
    assert internet_checksum(pseudo_header(THERE, HERE, socket.IPPROTO_ICMPV6, len(message)) + message) == 0


@pytest.mark.parametrize(
    ("source", "destination"), [("::", THERE), ("ff02::1", THERE), (HERE, "ff02::2"), (HERE, "ff0e::1")]
)
def test_packets_to_or_from_no_single_host_are_not_answered(source: str, destination: str) -> None:
    assert refusal(udp_packet(source, destination, b"x")) is None


@pytest.mark.parametrize(
    ("icmp_type", "answered"), [(1, False), (4, False), (127, False), (128, True), (135, True)]
)
def test_errors_are_not_answered_and_questions_are(icmp_type: int, answered: bool) -> None:
    packet = PACKET[:6] + bytes([socket.IPPROTO_ICMPV6]) + PACKET[7:40] + bytes([icmp_type, 0, 0, 0])
    assert (refusal(packet) is not None) is answered


def test_an_ipv4_packet_is_not_answered() -> None:
    assert refusal(udp_packet("192.0.2.1", "198.51.100.1", b"a payload long enough for a header")) is None


@given(st.binary(max_size=100))
def test_no_bytes_make_it_fail(packet: bytes) -> None:
    answer = refusal(packet)
    assert answer is None or answer[48:] == packet


def test_waiting_packets_are_answered_in_order_and_the_unanswerable_swallowed() -> None:
    device = FakeTunDevice()
    other = udp_packet(HERE, THERE, b"another")
    device.route_in(PACKET, udp_packet(HERE, "ff02::2", b"x"), other)
    assert refuse_packets(device) == 2
    assert device.written == [answer_to(PACKET), answer_to(other)]


def test_one_wake_up_answers_a_bounded_number() -> None:
    device = FakeTunDevice()
    device.route_in(*[PACKET] * 100)
    assert 0 < refuse_packets(device) < 100
    assert device.waiting > 0


def test_a_vanished_device_is_told() -> None:
    device = FakeTunDevice()
    device.vanish()
    with pytest.raises(TunClosedError):
        refuse_packets(device)
