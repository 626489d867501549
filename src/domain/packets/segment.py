"""Cutting super-packets, into finished packets or into smaller super-packets.

What Linux's own software segmentation makes of the same super-packet, byte for byte. Every piece repeats the
headers, and in them only this changes::

    IPv4   2..3 total length | 4..5 identification, one more per segment, also with DF | 10..11 checksum
    IPv6   4..5 payload length
    TCP    4..7 sequence number | 13 FIN and PSH only in the last, CWR only in the first | 16..17 checksum
    UDP    4..5 length | 6..7 checksum

The checksum follows from the one in the super-packet's field (a partial sum over its pseudo-header) and the
change of length: a sum that was wrong remains wrong by as much.
"""

from struct import Struct
from typing import Final

from domain.packets.checksum import MODULUS, complete, sum_of
from domain.packets.ip import IPV4, IPV6_HEADER_BYTES
from domain.packets.layout import Layout, layout_of_untrusted
from domain.packets.parcel import CWR, FIN, PSH, TCP, UDP_HEADER_BYTES, Parcel

_IPV4: Final = Struct(
    ">2sHH4sH"
)  # version and class, total length, identification, .., checksum; addresses follow
_FIELD: Final = Struct(">H")
_IPV6_LENGTH: Final = 4
_TCP: Final = Struct(">4sL4sBB2sH")  # ports, sequence number, acknowledged, offset, flags, window, checksum
_UDP: Final = Struct(">4sHH")  # ports, length, checksum

_IPV4_ROUND: Final = 1 << 16
_TCP_ROUND: Final = 1 << 32


def segment(parcel: Parcel) -> list[bytes]:
    """The finished packets of a parcel, all checksums complete; a finished packet comes back as it is.

    Raises MalformedParcelError as ``layout_of_untrusted`` does.
    """
    packet, segment_bytes, partial_checksum = parcel
    if not partial_checksum and not segment_bytes:
        return [packet]
    layout = layout_of_untrusted(packet, segment_bytes, partial_checksum)
    if not segment_bytes:
        return [complete(packet, layout.checksum_start, layout.checksum_offset)]
    return _cut(packet, layout, 1, segment_bytes, finish=True)


def split(parcel: Parcel, most_bytes: int) -> list[Parcel]:
    """The same segments in parcels of at most ``most_bytes`` each, counted with headers.

    A parcel that is short enough, or that is no super-packet, comes back as it is; a single segment is never
    cut, however long. Raises MalformedParcelError as ``layout_of_untrusted`` does.
    """
    packet, segment_bytes, partial_checksum = parcel
    if len(packet) <= most_bytes or not segment_bytes:
        return [parcel]
    layout = layout_of_untrusted(packet, segment_bytes, partial_checksum)
    segments_each = max(1, (most_bytes - layout.header_bytes) // segment_bytes)
    longest_single = layout.header_bytes + segment_bytes
    return [
        (piece, segment_bytes if len(piece) > longest_single else 0, True)
        for piece in _cut(packet, layout, segments_each, segment_bytes, finish=False)
    ]


def _cut(
    packet: bytes, layout: Layout, segments_each: int, segment_bytes: int, *, finish: bool
) -> list[bytes]:
    """Pieces of ``segments_each`` segments; ``finish`` their checksums or leave them partial."""
    header_bytes, transport = layout.header_bytes, layout.checksum_start
    step = segments_each * segment_bytes
    payloads = [packet[begin : begin + step] for begin in range(header_bytes, len(packet), step)]
    sizes = [len(payload) for payload in payloads]
    in_ipv4 = packet[0] >> 4 == IPV4
    network_headers = (
        _in_ipv4(packet, layout, sizes, segments_each) if in_ipv4 else _in_ipv6(packet, layout, sizes)
    )
    # With the length of the whole train taken out of it, each piece only adds its own.
    (field,) = _FIELD.unpack_from(packet, transport + layout.checksum_offset)
    pseudo_header = field - (len(packet) - transport)
    sums = [sum_of(payload) for payload in payloads] if finish else None
    header = packet[transport:header_bytes]
    if layout.protocol == TCP:
        transport_headers = _in_tcp(header, pseudo_header, sizes, step, sums)
    else:
        transport_headers = _in_udp(header, pseudo_header, sizes, sums)
    return list(map(b"".join, zip(network_headers, transport_headers, payloads, strict=True)))


def _in_ipv4(packet: bytes, layout: Layout, sizes: list[int], segments_each: int) -> list[bytes]:
    start, _, identification, middle, _ = _IPV4.unpack_from(packet)
    end = packet[_IPV4.size : layout.checksum_start]
    fixed_sum = sum_of(start + middle + end) + layout.header_bytes
    pack = _IPV4.pack
    headers = []
    for size in sizes:
        checksum = -(fixed_sum + size + identification) % MODULUS
        headers.append(pack(start, layout.header_bytes + size, identification, middle, checksum) + end)
        identification = (identification + segments_each) % _IPV4_ROUND
    return headers


def _in_ipv6(packet: bytes, layout: Layout, sizes: list[int]) -> list[bytes]:
    start, end = packet[:_IPV6_LENGTH], packet[_IPV6_LENGTH + _FIELD.size : layout.checksum_start]
    besides = layout.header_bytes - IPV6_HEADER_BYTES
    # All but the last are the same.
    full = start + _FIELD.pack(besides + sizes[0]) + end
    last = start + _FIELD.pack(besides + sizes[-1]) + end
    return [full] * (len(sizes) - 1) + [last]


def _in_tcp(
    header: bytes, pseudo_header: int, sizes: list[int], step: int, sums: list[int] | None
) -> list[bytes]:
    ports, sequence, acknowledged, offset, flags, window, _ = _TCP.unpack_from(header)
    end = header[_TCP.size :]
    fixed_sum = pseudo_header + sum_of(ports + acknowledged + bytes((offset, 0)) + window + end) + len(header)
    pack = _TCP.pack
    headers = []
    last = len(sizes) - 1
    for index, size in enumerate(sizes):
        its_flags = flags
        if index < last:
            its_flags &= ~(FIN | PSH)
        if index:
            its_flags &= ~CWR
        if sums is None:
            checksum = (pseudo_header + len(header) + size) % MODULUS or MODULUS
        else:
            checksum = -(fixed_sum + size + sequence + its_flags + sums[index]) % MODULUS
        headers.append(pack(ports, sequence, acknowledged, offset, its_flags, window, checksum) + end)
        sequence = (sequence + step) % _TCP_ROUND
    return headers


def _in_udp(header: bytes, pseudo_header: int, sizes: list[int], sums: list[int] | None) -> list[bytes]:
    ports, _, _ = _UDP.unpack(header)
    ports_sum = sum_of(ports)
    pack = _UDP.pack
    headers = []
    for index, size in enumerate(sizes):
        length = UDP_HEADER_BYTES + size
        checksum = pseudo_header + length
        if sums is not None:
            checksum = -(checksum + ports_sum + length + sums[index])
        headers.append(pack(ports, length, checksum % MODULUS or MODULUS))
    return headers
