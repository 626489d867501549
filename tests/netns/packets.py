"""Whole IP packets, as a kernel would have finished them."""

import socket
import struct
from ipaddress import ip_address

from domain.packets.parcel import Parcel

_PORTS = (4000, 4001)  # source, destination


def udp_packet(source: str, destination: str, payload: bytes) -> bytes:
    """An IPv4 or IPv6 packet with a UDP datagram from port 4000 to port 4001."""
    unsummed = struct.pack("!HHHH", *_PORTS, 8 + len(payload), 0) + payload
    checksum = _transport_checksum(source, destination, socket.IPPROTO_UDP, unsummed) or 0xFFFF
    datagram = unsummed[:6] + struct.pack("!H", checksum) + unsummed[8:]
    return _ip_packet(source, destination, socket.IPPROTO_UDP, datagram)


def tcp_syn(source: str, destination: str, segment_size: int) -> bytes:
    """The packet that opens a TCP connection and offers ``segment_size`` as MSS."""
    option = struct.pack("!BBH", 2, 4, segment_size)
    unsummed = struct.pack("!HHIIBBHHH", *_PORTS, 1, 0, 6 << 4, 0x02, 65535, 0, 0) + option
    checksum = _transport_checksum(source, destination, socket.IPPROTO_TCP, unsummed)
    segment = unsummed[:16] + struct.pack("!H", checksum) + unsummed[18:]
    return _ip_packet(source, destination, socket.IPPROTO_TCP, segment)


def udp_train(source: str, destination: str, payload: bytes, segment_bytes: int) -> Parcel:
    """A super-packet of UDP datagrams from port 4000 to port 4001."""
    size = 8 + len(payload)
    partial = internet_checksum(pseudo_header(source, destination, socket.IPPROTO_UDP, size)) ^ 0xFFFF
    datagram = struct.pack("!HHHH", *_PORTS, size, partial) + payload
    return _ip_packet(source, destination, socket.IPPROTO_UDP, datagram), segment_bytes, True


def tcp_train(source: str, destination: str, payload: bytes, segment_bytes: int) -> Parcel:
    """A super-packet in the middle of a TCP connection from port 4000 to port 4001."""
    size = 20 + len(payload)
    partial = internet_checksum(pseudo_header(source, destination, socket.IPPROTO_TCP, size)) ^ 0xFFFF
    header = struct.pack("!HHIIBBHHH", *_PORTS, 1, 1, 5 << 4, 0x10, 65535, partial, 0)
    return _ip_packet(source, destination, socket.IPPROTO_TCP, header + payload), segment_bytes, True


def segment_size_of(tcp_segment: bytes) -> int:
    """The MSS offered by a segment whose first option it is."""
    assert tcp_segment[20] == 2
    return int.from_bytes(tcp_segment[22:24], "big")


def internet_checksum(data: bytes) -> int:
    """RFC 1071, word by word."""
    padded = data + bytes(len(data) % 2)
    total: int = sum(struct.unpack(f"!{len(padded) // 2}H", padded))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total ^ 0xFFFF


def pseudo_header(source: str, destination: str, protocol: int, length: int) -> bytes:
    """What transport checksums cover besides the segment (RFC 768, RFC 8200 section 8.1)."""
    addresses = ip_address(source).packed + ip_address(destination).packed
    if ip_address(source).version == 4:
        return addresses + struct.pack("!HH", protocol, length)
    return addresses + struct.pack("!II", length, protocol)


def _transport_checksum(source: str, destination: str, protocol: int, segment: bytes) -> int:
    return internet_checksum(pseudo_header(source, destination, protocol, len(segment)) + segment)


def _ip_packet(source: str, destination: str, protocol: int, content: bytes) -> bytes:
    addresses = ip_address(source).packed + ip_address(destination).packed
    if ip_address(source).version == 6:
        return struct.pack("!IHBB", 6 << 28, len(content), protocol, 64) + addresses + content
    header = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(content), 1, 0x4000, 64, protocol, 0) + addresses
    return header[:10] + struct.pack("!H", internet_checksum(header)) + header[12:] + content
