from ipaddress import IPv4Address, IPv6Address

from hypothesis import given
from hypothesis import strategies as st

from domain.addressing.destinations import by_destination
from domain.packets.ip import destination_of
from tests.domain.packets.test_ip import ipv4_packet, ipv6_packet


def grouped(packets: list[bytes]) -> dict[bytes, list[bytes]]:
    """The packets by destination, as parcels that keep what else they say."""
    groups = by_destination([(packet, 1000, True) for packet in packets])
    assert all(parcel[1:] == (1000, True) for group in groups.values() for parcel in group)
    return {destination: [packet for packet, _, _ in group] for destination, group in groups.items()}


def test_packets_are_grouped_by_destination_in_order() -> None:
    to_a = [ipv4_packet("10.0.1.1", "10.0.1.2", bytes([n])) for n in range(3)]
    to_b = [ipv6_packet("fd00::1", "fd00::2", bytes([n])) for n in range(2)]
    mapped_to_a = ipv6_packet("fd00::1", "::ffff:10.0.1.2")

    groups = grouped([to_a[0], to_b[0], b"", to_a[1], b"\xff\x01\x04", mapped_to_a, to_b[1], to_a[2]])

    assert groups == {
        IPv4Address("10.0.1.2").packed: [to_a[0], to_a[1], mapped_to_a, to_a[2]],
        IPv6Address("fd00::2").packed: to_b,
    }


@given(st.lists(st.binary(max_size=64)))
def test_grouping_any_bytes_loses_only_what_has_no_destination(packets: list[bytes]) -> None:
    groups = grouped(packets)

    for destination, group in groups.items():
        assert group == [packet for packet in packets if destination_of(packet) == destination]
    readable = [packet for packet in packets if destination_of(packet) is not None]
    assert sum(map(len, groups.values())) == len(readable)
