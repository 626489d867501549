"""Making super-packets of finished packets: the kernel's generic receive offload, for packets of a peer.

Packets of a batch are joined when one header can stand for all of them, which is when their headers differ
only in what ``segment`` makes anew::

    IPv4   identification   one more each time; or always the same with DF, where it means nothing (RFC 6864)
    TCP    sequence number  by the length of the payload each time
           PSH              on the last, which ends the train; no other flag but ACK
    both   lengths          the same, but the last may be shorter, which ends the train
           checksums

Other flows may come in between; within a flow the order is kept. A train takes the place of its first packet.

A wrong checksum must not be made right: it is the only thing that tells the receiver that the packet was
damaged before the peer got it, and joining would compute a new one over the damage. So what is joined is
verified, IPv4 headers included, in one weighted sum over the whole train: large additions, and a single
division. That leaves damage the chance of one in 65535 that it has against any checksum. A train with a wrong
sum goes out as the packets that came in. What is not joined is not verified.

Packets with IPv4 options or IPv6 extension headers are not joined: they are rare, and looking for them would
cost all others time.
"""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Final, NamedTuple

from domain.packets.checksum import MODULUS, pseudo_header_sum, sum_of
from domain.packets.ip import IPV4, IPV4_HEADER_BYTES, IPV6, IPV6_HEADER_BYTES
from domain.packets.parcel import (
    ACK,
    CHECKSUM_OFFSET,
    LARGEST_PACKET_BYTES,
    PSH,
    SMALLEST_TCP_HEADER_BYTES,
    TCP,
    UDP,
    UDP_HEADER_BYTES,
    Parcel,
)

# As many as the kernel itself joins (UDP_GRO_CNT_MAX).
MOST_DATAGRAMS: Final = 64

# The sum of each packet of a train counts this many times as much as that of the next. Without weights, a
# faulty memory that turns the same bit on in one packet and off in another would go unnoticed; with this one,
# whose powers are all different modulo 65535 up to the 256th and none the negative of another, it does not.
# Linux takes no super-packet with smaller ones (TCP_MIN_GSO_SIZE).
_SMALLEST_TCP_SEGMENT_BYTES: Final = 8

_WEIGHT: Final = 7
MOST_SEGMENTS: Final = 256

_PLAIN_IPV4: Final = 0x45  # without options
_SMALLEST_BYTES: Final = IPV4_HEADER_BYTES + UDP_HEADER_BYTES
_NEVER: Final = -1  # neither a header, taken as a number, nor a size is negative
_FLAGS: Final = 13  # of the TCP header
_DONT_FRAGMENT: Final = 0x40  # byte 6 of the IPv4 header


class _Shape(NamedTuple):
    """How to compare headers of one kind, taken as one large number.

    The units are what one more of something adds to that number.
    """

    protocol: int
    transport: int  # where the TCP or UDP header begins
    header_bytes: int
    mask: int  # without checksums and PSH
    length_unit: int
    identification_unit: int
    sequence_unit: int
    flags_at: int
    push: int  # the flag that ends a train, at flags_at


@cache  # a few dozen kinds
def _shape(version: int, protocol: int, header_bytes: int) -> _Shape:
    def unit(end: int) -> int:
        return 1 << 8 * (header_bytes - end)

    transport = IPV4_HEADER_BYTES if version == IPV4 else IPV6_HEADER_BYTES
    checksum_end = transport + CHECKSUM_OFFSET[protocol] + 2
    mask = unit(0) - 1 - 0xFFFF * unit(checksum_end)
    length_unit, identification_unit = unit(6), 0
    if version == IPV4:
        mask -= 0xFFFF * unit(12)
        length_unit, identification_unit = unit(4), unit(6)
    if protocol == UDP:
        length_unit += unit(transport + 6)
        return _Shape(UDP, transport, header_bytes, mask, length_unit, identification_unit, 0, 0, 0)
    flags_at = transport + _FLAGS
    mask -= PSH * unit(flags_at + 1)
    sequence_unit = unit(transport + 8)
    return _Shape(
        *(TCP, transport, header_bytes, mask, length_unit, identification_unit, sequence_unit, flags_at, PSH)
    )


class _Train:
    """Packets that follow one another, and what the header of the next one must be."""

    __slots__ = ("members", "predicted", "room", "shape", "size", "step")

    def __init__(self, first: bytes, version: int, protocol: int) -> None:
        transport = IPV4_HEADER_BYTES if version == IPV4 else IPV6_HEADER_BYTES
        transport_bytes = UDP_HEADER_BYTES if protocol == UDP else first[transport + 12] >> 2 & 0x3C
        self.shape = shape = _shape(version, protocol, transport + transport_bytes)
        self.members = [first]
        self.size = len(first)
        payload_bytes = self.size - shape.header_bytes
        # A counter that comes round carries into its neighbour, and matches nothing.
        self.step = shape.identification_unit + shape.sequence_unit * payload_bytes
        self.predicted = (int.from_bytes(first[: shape.header_bytes], "big") & shape.mask) + self.step
        most = MOST_DATAGRAMS if protocol == UDP else MOST_SEGMENTS
        self.room = min(most, (LARGEST_PACKET_BYTES - shape.header_bytes) // payload_bytes) - 1

    def take(self, packet: bytes) -> bool:
        """Add ``packet`` if it comes next."""
        shape = self.shape
        shorter_by = self.size - len(packet)
        if self.predicted == _NEVER or shorter_by < 0 or self.room < 1:
            return False
        header = int.from_bytes(packet[: shape.header_bytes], "big") & shape.mask
        header += shape.length_unit * shorter_by
        if header != self.predicted:
            unit = shape.identification_unit
            if (
                len(self.members) > 1
                or not unit
                or header != self.predicted - unit
                or not _may_repeat(packet)
            ):
                return False
            self.step -= unit
            self.predicted -= unit
        self.members.append(packet)
        self.room -= 1
        self.predicted += self.step
        if shorter_by or not self.room or packet[shape.flags_at] & shape.push:
            self.predicted = _NEVER
        return True

    def parcels(self) -> list[Parcel]:
        """One super-packet; the packets themselves if there is one only, or if a checksum is wrong."""
        members, shape = self.members, self.shape
        if len(members) == 1 or not self._sums_hold():
            return [(packet, 0, False) for packet in members]
        header_bytes = shape.header_bytes
        payload = b"".join([packet[header_bytes:] for packet in members])
        header = bytearray(members[0][:header_bytes])
        transport_bytes = header_bytes - shape.transport + len(payload)
        if shape.transport == IPV4_HEADER_BYTES:
            header[2:4] = (header_bytes + len(payload)).to_bytes(2, "big")
            header[10:12] = bytes(2)
            header[10:12] = (-sum_of(bytes(header[:IPV4_HEADER_BYTES])) % MODULUS).to_bytes(2, "big")
        else:
            header[4:6] = transport_bytes.to_bytes(2, "big")
        if shape.protocol == UDP:
            header[shape.transport + 4 : shape.transport + 6] = transport_bytes.to_bytes(2, "big")
        header[shape.flags_at] |= members[-1][shape.flags_at] & shape.push
        partial = pseudo_header_sum(members[0], shape.protocol, transport_bytes)
        checksum = shape.transport + CHECKSUM_OFFSET[shape.protocol]
        header[checksum : checksum + 2] = partial.to_bytes(2, "big")
        return [(bytes(header) + payload, self.size - header_bytes, True)]

    def _sums_hold(self) -> bool:
        members, shape = self.members, self.shape
        first, count = members[0], len(members)
        from_bytes = int.from_bytes
        total = 0
        for packet in members:
            # Little-endian numbers begin with a word, whatever the length, so they may lie on top of one
            # another.
            total = total * _WEIGHT + from_bytes(packet, "little")
        total *= 256
        # What the sum of each packet lacks to be that of TCP or UDP with its pseudo-header.
        weights: int = (_WEIGHT**count - 1) // (_WEIGHT - 1)
        if shape.transport == IPV4_HEADER_BYTES:
            # The sum of the IPv4 header is zero.
            missing = pseudo_header_sum(first, shape.protocol, self.size - IPV4_HEADER_BYTES)
            return (total + weights * missing + len(members[-1]) - self.size) % MODULUS == 0
        # Addresses and length are in IPv6 header and pseudo-header alike; the rest of the header is too much.
        beside = sum_of(first[:4]) + sum_of(first[6:8]) - shape.protocol
        return (total - weights * beside) % MODULUS == 0


def _started(first: bytes, second: bytes, version: int, protocol: int) -> _Train | None:
    """A train of ``first``; None where a glance shows that ``second`` does not follow, which is cheaper."""
    if len(second) > len(first):
        return None
    if version == IPV4 and (second[4] << 8 | second[5]) - (first[4] << 8 | first[5]) not in {0, 1}:
        return None
    return _Train(first, version, protocol)


def _may_repeat(packet: bytes) -> bool:
    return bool(packet[6] & _DONT_FRAGMENT)


class _Batch:
    """The parcels so far, and which of them the flows may go on with."""

    __slots__ = ("_heads", "_with_udp", "parcels", "trains")

    def __init__(self, *, with_udp: bool) -> None:
        self.parcels: list[Parcel] = []
        self.trains: dict[int, _Train] = {}  # by the place of the first packet
        # Where the newest packet, or train, of a flow is, if something may be joined to it.
        self._heads: dict[int, dict[bytes, int]] = {TCP: {}, UDP: {}}
        self._with_udp = with_udp

    def place(self, packet: bytes) -> _Train | None:
        """Put a packet where it belongs: into a train, which is returned, or after everything else."""
        size = len(packet)
        first = packet[0] if size >= _SMALLEST_BYTES else 0
        if first == _PLAIN_IPV4:
            version, transport = IPV4, IPV4_HEADER_BYTES
            protocol = packet[9]
            whole = packet[2] << 8 | packet[3] == size and not packet[7] and not packet[6] & 0x3F
            flow = packet[12:24]  # addresses and ports
        elif first >> 4 == IPV6 and size >= IPV6_HEADER_BYTES + UDP_HEADER_BYTES:
            version, transport = IPV6, IPV6_HEADER_BYTES
            protocol = packet[6]
            whole = IPV6_HEADER_BYTES + (packet[4] << 8 | packet[5]) == size
            flow = packet[8:44]
        else:
            self._put_last(packet)
            return None
        header_bytes = transport
        joins = opens = False
        if whole and protocol == TCP and size >= transport + SMALLEST_TCP_HEADER_BYTES:
            flags = packet[transport + _FLAGS]
            tcp_bytes = packet[transport + 12] >> 2 & 0x3C
            header_bytes += tcp_bytes
            joins = flags & ~PSH == ACK and SMALLEST_TCP_HEADER_BYTES <= tcp_bytes < size - transport
            opens = joins and not flags & PSH and size >= header_bytes + _SMALLEST_TCP_SEGMENT_BYTES
        elif whole and protocol == UDP:
            header_bytes += UDP_HEADER_BYTES
            checksum = packet[transport + 6] or packet[transport + 7]
            length = packet[transport + 4] << 8 | packet[transport + 5]
            opens = joins = bool(self._with_udp and checksum and header_bytes < size == transport + length)
        else:
            self._put_last(packet)
            return None
        heads = self._heads[protocol]
        place = heads.get(flow)
        if joins and place is not None:
            train = self.trains.get(place) or _started(self.parcels[place][0], packet, version, protocol)
            if train is not None and train.take(packet):
                self.trains[place] = train
                return train
        if opens:
            heads[flow] = len(self.parcels)
        elif place is not None:
            del heads[flow]
        self.parcels.append((packet, 0, False))
        return None

    def _put_last(self, packet: bytes) -> None:
        """What cannot be read might belong to any flow, a fragment for example: nothing may overtake it."""
        for heads in self._heads.values():
            heads.clear()
        self.parcels.append((packet, 0, False))


def coalesce(packets: Sequence[bytes], *, with_udp: bool = True) -> list[Parcel]:
    """The same packets, in as few parcels as can be; ``with_udp`` False leaves UDP alone.

    ``segment`` makes of the parcels what came in, packet by packet and in the order of each flow (the IPv4
    identification excepted where it was always the same). Nothing is refused: what cannot be read goes on as
    it is.
    """
    batch = _Batch(with_udp=with_udp)
    train: _Train | None = None
    # The train that the last packet went into, spelled out: most packets are its next one.
    header_bytes, mask, size, predicted, step, room, flags_at, push = 0, 0, _NEVER, _NEVER, 0, 0, 0, 0
    collect: Callable[[bytes], object] = batch.place  # not called before there is a train
    from_bytes = int.from_bytes
    for packet in packets:
        if len(packet) == size and from_bytes(packet[:header_bytes], "big") & mask == predicted:
            collect(packet)
            predicted += step
            room -= 1
            if not room or packet[flags_at] & push:
                predicted = _NEVER
            continue
        if train is not None:
            train.predicted, train.room = predicted, room
        train = batch.place(packet)
        if train is None:
            size = _NEVER
        else:
            _, _, header_bytes, mask, _, _, _, flags_at, push = train.shape
            size, predicted, step, room = train.size, train.predicted, train.step, train.room
            collect = train.members.append
    parcels = batch.parcels
    for place in sorted(batch.trains, reverse=True):
        parcels[place : place + 1] = batch.trains[place].parcels()
    return parcels
