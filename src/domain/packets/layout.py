"""What the headers of a parcel say, for the virtio header that goes before it into a TUN device.

A peer's word is taken for nothing but ``segment_bytes`` and ``partial_checksum``, and those must agree with
the headers. What is looked at::

    IPv4   0 version, header length | 2..3 total length | 6..7 fragment | 9 protocol
    IPv6   0 version | 4..5 payload length | 6 next header
           of extension headers: 0 next header | 1 length in units of 8, less one
           of a routing header besides: 3 segments left
    TCP    12 header length | 13 flags | 16..17 checksum
    UDP    4..5 length | 6..7 checksum

A finished packet is left to the kernel's judgement but for its first bytes. Everything else must be whole,
and of exactly the length that it states: a fragment has no checksum at the place where it would be looked
for. Of the extension headers of IPv6, those are walked over that Linux repeats in every segment: hop-by-hop
options, destination options, and a routing header that is done with. Behind another, nothing is looked for.
"""

from enum import Enum, auto
from functools import cache
from struct import Struct
from typing import Final, NamedTuple

from domain.packets.ip import IPV4, IPV4_HEADER_BYTES, IPV6, IPV6_HEADER_BYTES
from domain.packets.parcel import (
    CHECKSUM_OFFSET,
    CWR,
    LARGEST_PACKET_BYTES,
    MOST_UDP_SEGMENTS,
    RST,
    SMALLEST_TCP_HEADER_BYTES,
    SYN,
    TCP,
    UDP,
    UDP_HEADER_BYTES,
    MalformedParcelError,
)

IPV4_LENGTHS: Final = Struct(">BxH2xHxB")  # version and header length, total, fragment, protocol
IPV6_LENGTHS: Final = Struct(">4xHB")  # payload length, next header
UDP_LENGTH: Final = Struct(">4xH")
_EXTENSION: Final = Struct(">BBxB")  # next header, length, segments left of a routing header

_HOP_BY_HOP: Final = 0
_ROUTING: Final = 43
_DESTINATION: Final = 60
_EXTENSIONS: Final = frozenset({_HOP_BY_HOP, _ROUTING, _DESTINATION})
_EXTENSION_UNIT_BYTES: Final = 8

# Ours: the most that a packet to cut or complete may have of them, and enough for a dozen options. Every
# segment repeats them: without a bound, a peer's train of small segments would grow to dozens of its length.
LARGEST_EXTENSIONS_BYTES: Final = 256

_FRAGMENT: Final = 0x3FFF  # more fragments, or an offset
_NEVER_IN_SEGMENTS: Final = SYN | RST


class Train(Enum):
    """What a super-packet is cut into."""

    NONE = auto()  # it is no super-packet
    TCP_IPV4 = auto()
    TCP_IPV6 = auto()
    UDP = auto()  # over either


class Layout(NamedTuple):
    """Where things are in a parcel; counted in bytes from the beginning of the packet.

    All zero for a finished packet, whose headers are nobody's business.
    """

    train: Train
    protocol: int  # TCP or UDP
    header_bytes: int  # IP, extension, and TCP or UDP headers
    checksum_start: int  # the TCP or UDP header, hence what its checksum covers, begins here
    checksum_offset: int  # the checksum field, from there
    has_cwr: bool  # TCP with CWR: only the first segment may keep it


FINISHED: Final = Layout(Train.NONE, 0, 0, 0, 0, has_cwr=False)


@cache  # two thousand combinations if a peer tries all; one look-up instead of one construction per packet
def _layout(train: Train, protocol: int, header_bytes: int, checksum_start: int, cwr: int) -> Layout:
    return Layout(train, protocol, header_bytes, checksum_start, CHECKSUM_OFFSET[protocol], has_cwr=bool(cwr))


def layout_of_untrusted(
    packet: bytes,
    segment_bytes: int,
    partial_checksum: bool,  # noqa: FBT001 - the fields of a parcel, in their order
    mtu_bytes: int = LARGEST_PACKET_BYTES,
) -> Layout:
    """The layout of a parcel, if it is one; ``mtu_bytes`` bounds every segment with its headers.

    Raises MalformedParcelError if the headers are not all there, state other lengths, or belong to nothing
    that can be cut or completed; if a super-packet has a single segment or none, or a complete checksum, or
    more segments of UDP than Linux makes.
    """
    size = len(packet)
    if not segment_bytes and not partial_checksum:
        if not begins_whole(packet):
            raise MalformedParcelError("no whole IP header of that length", size, 0)
        return FINISHED
    network_bytes, protocol = _network(packet, size, segment_bytes)
    transport_bytes, flags = _transport(packet, protocol, network_bytes, size, segment_bytes)
    train = Train.NONE
    if segment_bytes:
        if not partial_checksum:
            raise MalformedParcelError("a complete checksum", size, segment_bytes)
        payload_bytes = size - network_bytes - transport_bytes
        if payload_bytes <= segment_bytes:
            raise MalformedParcelError("a single segment", size, segment_bytes)
        if network_bytes + transport_bytes + segment_bytes > mtu_bytes:
            raise MalformedParcelError(f"segments larger than {mtu_bytes} bytes", size, segment_bytes)
        if protocol == UDP:
            train = Train.UDP
            if payload_bytes > segment_bytes * MOST_UDP_SEGMENTS:
                raise MalformedParcelError("too many segments", size, segment_bytes)
        else:
            train = Train.TCP_IPV4 if packet[0] >> 4 == IPV4 else Train.TCP_IPV6
            if flags & _NEVER_IN_SEGMENTS:
                raise MalformedParcelError("SYN or RST", size, segment_bytes)
    return _layout(train, protocol, network_bytes + transport_bytes, network_bytes, flags & CWR)


def begins_whole(packet_untrusted: bytes) -> bool:
    """Whether this begins with a whole IP header that states no more bytes than there are."""
    size = len(packet_untrusted)
    if size < IPV4_HEADER_BYTES:
        return False
    version = packet_untrusted[0] >> 4
    if version == IPV4:
        return (packet_untrusted[2] << 8 | packet_untrusted[3]) <= size
    if version == IPV6 and size >= IPV6_HEADER_BYTES:
        return IPV6_HEADER_BYTES + (packet_untrusted[4] << 8 | packet_untrusted[5]) <= size
    return False


def _network(packet: bytes, size: int, segment_bytes: int) -> tuple[int, int]:
    """The length of the IP header, with its extensions, and the protocol behind it."""
    if not IPV4_HEADER_BYTES <= size <= LARGEST_PACKET_BYTES:
        raise MalformedParcelError("no length of an IP packet", size, segment_bytes)
    version = packet[0] >> 4
    if version == IPV4:
        first, total_bytes, fragment, protocol = IPV4_LENGTHS.unpack_from(packet)
        network_bytes = (first & 0xF) * 4
        if network_bytes < IPV4_HEADER_BYTES or fragment & _FRAGMENT:
            raise MalformedParcelError("a fragment or no IPv4 header", size, segment_bytes)
    elif version == IPV6 and size >= IPV6_HEADER_BYTES:
        payload_bytes, protocol = IPV6_LENGTHS.unpack_from(packet)
        network_bytes = IPV6_HEADER_BYTES
        total_bytes = IPV6_HEADER_BYTES + payload_bytes
        if protocol in _EXTENSIONS:
            network_bytes, protocol = _behind_extensions(packet, protocol, size, segment_bytes)
    else:
        raise MalformedParcelError("no whole IP header", size, segment_bytes)
    if total_bytes != size:
        raise MalformedParcelError(f"it states {total_bytes} bytes", size, segment_bytes)
    return network_bytes, protocol


def _behind_extensions(packet: bytes, first: int, size: int, segment_bytes: int) -> tuple[int, int]:
    """Where the extension headers of an IPv6 packet end, and the protocol behind them."""
    begin, header = IPV6_HEADER_BYTES, first
    last_begin = min(IPV6_HEADER_BYTES + LARGEST_EXTENSIONS_BYTES, size - UDP_HEADER_BYTES)
    while header in _EXTENSIONS and begin <= last_begin:
        following, units, segments_left = _EXTENSION.unpack_from(packet, begin)
        if header == _ROUTING and segments_left:
            # The checksum is that of another destination than the one in the IPv6 header.
            raise MalformedParcelError("not at its destination yet", size, segment_bytes)
        header = following
        begin += (units + 1) * _EXTENSION_UNIT_BYTES
    if begin > last_begin:
        raise MalformedParcelError("extension headers without an end", size, segment_bytes)
    return begin, header


def _transport(packet: bytes, protocol: int, begin: int, size: int, segment_bytes: int) -> tuple[int, int]:
    """The length of the TCP or UDP header, and the TCP flags."""
    if protocol == TCP and size >= begin + SMALLEST_TCP_HEADER_BYTES:
        transport_bytes = (packet[begin + 12] >> 4) * 4
        if transport_bytes < SMALLEST_TCP_HEADER_BYTES or begin + transport_bytes > size:
            raise MalformedParcelError("no whole TCP header", size, segment_bytes)
        return transport_bytes, packet[begin + 13]
    if protocol == UDP and size >= begin + UDP_HEADER_BYTES:
        (datagram_bytes,) = UDP_LENGTH.unpack_from(packet, begin)
        if datagram_bytes != size - begin:
            raise MalformedParcelError(f"its UDP states {datagram_bytes} bytes", size, segment_bytes)
        return UDP_HEADER_BYTES, 0
    raise MalformedParcelError("neither whole TCP nor UDP", size, segment_bytes)
