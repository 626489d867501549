"""Joining the datagrams that a program sends one by one into UDP super-packets.

A host's kernel hands TCP to a TUN device in trains, and UDP only if the program has asked for that. Most do
not, and each of their datagrams then costs both ends of a tunnel as much as a super-packet. So datagrams of
one flow and one length that follow one another are joined before they are sealed; the kernel behind the other
end takes them apart again, where it can, and there the last difference is gone.

Only packets of our own host are joined, whose checksums are still partial: nothing has to be verified or
made right. They come out as they went in, but for the IPv4 identifications of datagrams that must not be
fragmented: those have no meaning (RFC 6864), and the kernel counts them up.
"""

from collections.abc import Sequence
from struct import Struct
from typing import Final

from domain.packets.checksum import MODULUS, pseudo_header_sum, sum_of
from domain.packets.ip import IPV4_HEADER_BYTES, IPV6_HEADER_BYTES
from domain.packets.parcel import (
    LARGEST_PACKET_BYTES,
    SMALLEST_SEGMENT_BYTES,
    UDP,
    UDP_HEADER_BYTES,
    Parcel,
)

# Linux's smallest bound on the segments of one train (UDP_MAX_SEGMENTS of older kernels).
MOST_SEGMENTS: Final = 64

# What comes before the payload, in the parts that agree in a train and those that do not::
#
#     IPv4   version, TOS 2 | length 2 | identification 2 | flags, TTL, protocol 4 | checksum 2 | addresses 8
#     IPv6   version, flow 4 | payload length 2 | next header, hop limit 2 | addresses 32
#     UDP    ports 4 | length 2 | checksum 2
_IN_IPV4: Final = Struct(">2sHH4sH8s4sHH")
_IN_IPV6: Final = Struct(">4sH2s32s4sHH")

_PLAIN_IPV4: Final = 0x45  # no options
_IPV6_NIBBLE: Final = 6
_DONT_FRAGMENT: Final = 0x40
_IPV4_ROUND: Final = 1 << 16


class _Train:
    """Datagrams that may be joined; ``flow`` is what is the same in all of them."""

    __slots__ = ("datagrams", "flow", "identification", "may_count", "open", "payload_bytes", "size")

    def __init__(
        self, parcel: Parcel, flow: tuple[bytes, ...], identification: int, size: int, *, may_count: bool
    ) -> None:
        self.datagrams = [parcel]
        self.flow = flow
        self.identification = identification  # of the last one
        self.may_count = may_count  # the identifications are nobody's
        self.payload_bytes = size
        self.size = len(parcel[0])
        self.open = size >= SMALLEST_SEGMENT_BYTES

    def takes(self, flow: tuple[bytes, ...], identification: int, payload_bytes: int) -> bool:
        return (
            self.open
            and flow == self.flow
            and payload_bytes <= self.payload_bytes
            and 0 < payload_bytes <= LARGEST_PACKET_BYTES - self.size
            and (
                (identification - self.identification) % _IPV4_ROUND == 1
                or (self.may_count and identification == self.identification)
            )
        )

    def add(self, parcel: Parcel, identification: int, payload_bytes: int) -> None:
        self.datagrams.append(parcel)
        self.identification = identification
        self.size += payload_bytes
        self.open = payload_bytes == self.payload_bytes and len(self.datagrams) < MOST_SEGMENTS


def with_datagrams_joined(parcels: Sequence[Parcel]) -> Sequence[Parcel]:
    """``parcels`` of our own host in order, with UDP super-packets in the place of datagrams that make one.

    The first of a train keeps its place, and nothing of another flow is overtaken: only neighbours are
    joined.
    """
    joined: list[Parcel] = []
    train: _Train | None = None
    for parcel in parcels:
        packet, segment_bytes, partial_checksum = parcel
        read = None if segment_bytes or not partial_checksum else _datagram(packet)
        if read is None:
            if train is not None:
                joined.append(_parcel_of(train))
                train = None
            joined.append(parcel)
            continue
        flow, identification, payload_bytes, may_count = read
        if train is not None:
            if train.takes(flow, identification, payload_bytes):
                train.add(parcel, identification, payload_bytes)
                continue
            joined.append(_parcel_of(train))
        train = _Train(parcel, flow, identification, payload_bytes, may_count=may_count)
    if train is not None:
        joined.append(_parcel_of(train))
    return joined


def _datagram(packet: bytes) -> tuple[tuple[bytes, ...], int, int, bool] | None:
    """Flow, identification, payload bytes, and whether identifications mean nothing; None if not UDP."""
    size = len(packet)
    if size > _IN_IPV4.size and packet[0] == _PLAIN_IPV4 and packet[9] == UDP:
        start, length, identification, middle, _, addresses, ports, udp_bytes, _ = _IN_IPV4.unpack_from(
            packet
        )
        header_bytes = IPV4_HEADER_BYTES
        flow = (start, middle, addresses, ports)
        # No fragments: the flags are all or nothing, and the offset is zero.
        whole = length == size and not middle[0] & ~_DONT_FRAGMENT and not middle[1]
        may_count = bool(middle[0])
    elif size > _IN_IPV6.size and packet[0] >> 4 == _IPV6_NIBBLE and packet[6] == UDP:
        start, length, middle, addresses, ports, udp_bytes, _ = _IN_IPV6.unpack_from(packet)
        header_bytes = IPV6_HEADER_BYTES
        flow = (start, middle, addresses, ports)
        identification, may_count = 0, True  # there are none
        whole = length == size - IPV6_HEADER_BYTES
    else:
        return None
    if not whole or udp_bytes != size - header_bytes:
        return None
    return flow, identification, udp_bytes - UDP_HEADER_BYTES, may_count


def _parcel_of(train: _Train) -> Parcel:
    first = train.datagrams[0]
    if len(train.datagrams) == 1:
        return first
    packet = first[0]
    network_bytes = IPV4_HEADER_BYTES if packet[0] == _PLAIN_IPV4 else IPV6_HEADER_BYTES
    header_bytes = network_bytes + UDP_HEADER_BYTES
    transport_bytes = train.size - network_bytes
    if network_bytes == IPV4_HEADER_BYTES:
        start, _, identification, middle, _, addresses, ports, _, _ = _IN_IPV4.unpack_from(packet)
        lengths = (start, train.size, identification, middle)
        total = sum_of(start + middle + addresses) + train.size + identification
        partial = pseudo_header_sum(packet, UDP, transport_bytes)
        header = _IN_IPV4.pack(*lengths, -total % MODULUS, addresses, ports, transport_bytes, partial)
    else:
        start, _, middle, addresses, ports, _, _ = _IN_IPV6.unpack_from(packet)
        partial = pseudo_header_sum(packet, UDP, transport_bytes)
        header = _IN_IPV6.pack(start, transport_bytes, middle, addresses, ports, transport_bytes, partial)
    payloads = [datagram[header_bytes:] for datagram, _, _ in train.datagrams]
    return header + b"".join(payloads), train.payload_bytes, True
