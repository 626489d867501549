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


def admitted(sources: AllowedSources, packets: list[bytes]) -> list[bytes]:
    """What passes of ``packets``, as parcels that keep what else they say."""
    passed = sources.admitted([(packet, 1000, True) for packet in packets])
    assert all(parcel[1:] == (1000, True) for parcel in passed)
    return [packet for packet, _, _ in passed]


def test_own_packets_pass_in_order_and_foreign_ones_are_dropped() -> None:
    own = [from_ipv4("10.0.1.2", b"1"), from_ipv6("fd00:1::2", b"2"), from_ipv4("10.0.1.2", b"3")]

    passed = admitted(
        DUAL, [from_ipv4("10.0.1.3"), own[0], from_ipv6("fe80::1"), own[1], own[2], from_ipv6("fd00:1::3")]
    )

    assert passed == own


@pytest.mark.parametrize(
    "packet", [from_ipv4("0.0.0.0"), from_ipv4("10.0.1.1"), from_ipv6("::"), from_ipv6("fe80::2")]
)
def test_a_foreign_source_is_dropped(packet: bytes) -> None:
    assert admitted(DUAL, [packet]) == []


def test_an_address_family_that_the_client_does_not_have_is_dropped() -> None:
    both = [from_ipv4("10.0.1.2"), from_ipv6("fd00:1::2")]

    assert admitted(AllowedSources(OURS_IPV4, None), both) == both[:1]
    assert admitted(AllowedSources(None, OURS_IPV6), both) == both[1:]
    assert admitted(AllowedSources(None, None), both) == []


def test_a_mapped_source_is_compared_as_ipv4() -> None:
    own, foreign = from_ipv6("::ffff:10.0.1.2"), from_ipv6("::ffff:10.0.1.3")

    assert admitted(DUAL, [own, foreign]) == [own]
    assert admitted(AllowedSources(None, OURS_IPV6), [own, foreign]) == []


@pytest.mark.parametrize("whole", [from_ipv4("10.0.1.2"), from_ipv6("fd00:1::2")])
def test_a_cut_header_is_dropped(whole: bytes) -> None:
    assert admitted(DUAL, [whole[:size] for size in range(len(whole))]) == []
    assert admitted(DUAL, [whole]) == [whole]


def test_the_version_nibble_decides_which_bytes_are_the_source() -> None:
    ipv6_with_our_ipv4_inside = bytes([0x60]) + from_ipv4("10.0.1.2", bytes(20))[1:]
    no_ip_at_all = b"\xff\x01\x04" + from_ipv4("10.0.1.2")[3:]

    assert admitted(DUAL, [ipv6_with_our_ipv4_inside, no_ip_at_all, b""]) == []


PACKETS = st.one_of(
    st.binary(max_size=64),
    st.builds(bytes.__add__, st.sampled_from([from_ipv4("10.0.1.2"), from_ipv6("fd00:1::2")]), st.binary()),
    st.builds(bytes.__add__, st.sampled_from([b"\x45", b"\x60"]), st.binary(max_size=64)),
)


@given(st.lists(PACKETS))
def test_exactly_the_packets_whose_source_is_ours_are_admitted(packets: list[bytes]) -> None:
    ours = {OURS_IPV4.packed, OURS_IPV6.packed}

    assert admitted(DUAL, packets) == [packet for packet in packets if source_of(packet) in ours]
