import json
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import TypedDict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.packets.ip import destination_of, source_of

VECTORS = Path(__file__).parents[2] / "vectors" / "service_packets.json"


class AddressCase(TypedDict):
    kind: str
    bytes: str
    note: str
    source: str | None
    destination: str | None


def address_cases() -> list[AddressCase]:
    cases: list[AddressCase] = json.loads(VECTORS.read_text())["cases"]
    found = [case for case in cases if case["kind"] == "inner_addresses"]
    assert found
    return found


def unmapped(text: str | None) -> bytes | None:
    """The bytes under which an address is compared: an IPv4-mapped one as IPv4."""
    if text is None:
        return None
    address = ip_address(text)
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return address.packed


def ipv4_packet(source: str, destination: str, payload: bytes = b"") -> bytes:
    return bytes([0x45]) + bytes(11) + IPv4Address(source).packed + IPv4Address(destination).packed + payload


def ipv6_packet(source: str, destination: str, payload: bytes = b"") -> bytes:
    return bytes([0x60]) + bytes(7) + IPv6Address(source).packed + IPv6Address(destination).packed + payload


@pytest.mark.parametrize("case", address_cases(), ids=lambda case: case["note"])
def test_addresses_are_read_as_recorded(case: AddressCase) -> None:
    packet = bytes.fromhex(case["bytes"])

    assert source_of(packet) == unmapped(case["source"])
    assert destination_of(packet) == unmapped(case["destination"])


def test_a_mapped_address_is_the_ipv4_address_inside_it() -> None:
    packet = ipv6_packet("::ffff:10.0.1.2", "::ffff:10.0.1.3")

    assert source_of(packet) == bytes([10, 0, 1, 2])
    assert destination_of(packet) == bytes([10, 0, 1, 3])


@pytest.mark.parametrize("whole", [ipv4_packet("10.0.1.2", "8.8.8.8"), ipv6_packet("fd00::2", "fd00::3")])
def test_a_cut_header_has_no_addresses(whole: bytes) -> None:
    for size in range(len(whole)):
        assert source_of(whole[:size]) is None
        assert destination_of(whole[:size]) is None
    assert destination_of(whole) is not None


@pytest.mark.parametrize("version", [v for v in range(16) if v not in (4, 6)])
def test_another_version_has_no_addresses(version: int) -> None:
    packet = bytes([version << 4 | 5]) + bytes(59)

    assert source_of(packet) is None
    assert destination_of(packet) is None


@given(st.sampled_from([0x45, 0x40, 0x60, 0x6F]), st.binary(max_size=80))
def test_any_bytes_after_a_version_are_read_or_refused(first: int, rest: bytes) -> None:
    packet = bytes([first]) + rest
    needed = 20 if first >> 4 == 4 else 40

    for address in (source_of(packet), destination_of(packet)):
        assert (address is not None) == (len(packet) >= needed)
        assert address is None or len(address) in {4, 16}
