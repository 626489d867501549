from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.addressing.sources import AllowedSources
from domain.packets.ip import source_of

OURS_IPV4 = IPv4Address("10.0.1.2")
OURS_IPV6 = IPv6Address("fd00:1::2")
DUAL = AllowedSources(OURS_IPV4, OURS_IPV6)


def from_ipv4(source: str, payload: bytes = b"") -> bytes:
    return bytes([0x45]) + bytes(11) + IPv4Address(source).packed + bytes([8, 8, 8, 8]) + payload


def from_ipv6(source: str, payload: bytes = b"") -> bytes:
    return bytes([0x60]) + bytes(7) + IPv6Address(source).packed + bytes(16) + payload


def test_own_packets_pass_in_order_and_foreign_ones_are_dropped() -> None:
    own = [from_ipv4("10.0.1.2", b"1"), from_ipv6("fd00:1::2", b"2"), from_ipv4("10.0.1.2", b"3")]

    admitted = DUAL.admitted(
        [from_ipv4("10.0.1.3"), own[0], from_ipv6("fe80::1"), own[1], own[2], from_ipv6("fd00:1::3")]
    )

    assert admitted == own


@pytest.mark.parametrize(
    "packet", [from_ipv4("0.0.0.0"), from_ipv4("10.0.1.1"), from_ipv6("::"), from_ipv6("fe80::2")]
)
def test_a_foreign_source_is_dropped(packet: bytes) -> None:
    assert DUAL.admitted([packet]) == []


def test_an_address_family_that_the_client_does_not_have_is_dropped() -> None:
    both = [from_ipv4("10.0.1.2"), from_ipv6("fd00:1::2")]

    assert AllowedSources(OURS_IPV4, None).admitted(both) == both[:1]
    assert AllowedSources(None, OURS_IPV6).admitted(both) == both[1:]
    assert AllowedSources(None, None).admitted(both) == []


def test_a_mapped_source_is_compared_as_ipv4() -> None:
    own, foreign = from_ipv6("::ffff:10.0.1.2"), from_ipv6("::ffff:10.0.1.3")

    assert DUAL.admitted([own, foreign]) == [own]
    assert AllowedSources(None, OURS_IPV6).admitted([own, foreign]) == []


@pytest.mark.parametrize("whole", [from_ipv4("10.0.1.2"), from_ipv6("fd00:1::2")])
def test_a_cut_header_is_dropped(whole: bytes) -> None:
    assert DUAL.admitted([whole[:size] for size in range(len(whole))]) == []
    assert DUAL.admitted([whole]) == [whole]


def test_the_version_nibble_decides_which_bytes_are_the_source() -> None:
    ipv6_with_our_ipv4_inside = bytes([0x60]) + from_ipv4("10.0.1.2", bytes(20))[1:]
    no_ip_at_all = b"\xff\x01\x04" + from_ipv4("10.0.1.2")[3:]

    assert DUAL.admitted([ipv6_with_our_ipv4_inside, no_ip_at_all, b""]) == []


PACKETS = st.one_of(
    st.binary(max_size=64),
    st.builds(bytes.__add__, st.sampled_from([from_ipv4("10.0.1.2"), from_ipv6("fd00:1::2")]), st.binary()),
    st.builds(bytes.__add__, st.sampled_from([b"\x45", b"\x60"]), st.binary(max_size=64)),
)


@given(st.lists(PACKETS))
def test_exactly_the_packets_whose_source_is_ours_are_admitted(packets: list[bytes]) -> None:
    ours = {OURS_IPV4.packed, OURS_IPV6.packed}

    assert DUAL.admitted(packets) == [packet for packet in packets if source_of(packet) in ours]
