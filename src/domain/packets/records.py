"""Records: how parcels lie in the plaintext of an aggregated frame (aggregation specification 2).

::

    bytes   field
    0..1    length          of the packet, u16 BE, 1 to 65535
    2..3    segment bytes   u16 BE; 0: not a super-packet
    4       flags           bit 0: the checksum is partial; the others are 0
    5       reserved        0
    6..     packet

One follows the other without padding. Whoever sends records is an authenticated peer, and is not believed all
the same: a record that is not what it says is left out and counted, and the rest of the frame is kept.
"""

from collections.abc import Sequence
from struct import Struct
from typing import Final

from domain.packets.ip import IPV4, IPV4_HEADER_BYTES, IPV6, IPV6_HEADER_BYTES
from domain.packets.layout import layout_of_untrusted
from domain.packets.parcel import LARGEST_PACKET_BYTES, SMALLEST_SEGMENT_BYTES, MalformedParcelError, Parcel

RECORD_HEADER: Final = Struct(">HHBx")
RECORD_HEADER_BYTES: Final = RECORD_HEADER.size

_PARTIAL_CHECKSUM: Final = 0x01

# The header again, the last four bytes as one number, which is 0 for a finished packet; and of the packet the
# first byte, the IPv4 total length and the IPv6 payload length. One call reads all that a finished packet is
# judged by.
_RECORD: Final = Struct(">HIBxHH")
_SMALLEST_RECORD_BYTES: Final = RECORD_HEADER_BYTES + IPV4_HEADER_BYTES


def encode(parcels: Sequence[Parcel]) -> bytes:
    """The records of the parcels, in order. Raises struct.error for a packet of more than 65535 bytes."""
    pack = RECORD_HEADER.pack
    pieces: list[bytes] = []
    append = pieces.append
    for packet, segment_bytes, partial_checksum in parcels:
        append(pack(len(packet), segment_bytes, partial_checksum))
        append(packet)
    return b"".join(pieces)


def decode_untrusted(plaintext: bytes, mtu_bytes: int = LARGEST_PACKET_BYTES) -> tuple[list[Parcel], int]:
    """The parcels of a frame that pass ``layout_of_untrusted``, in order, and how many records do not.

    A record that runs over the end, or an end too short for one, is counted and ends the frame.
    """
    unpack = _RECORD.unpack_from
    parcels: list[Parcel] = []
    append = parcels.append
    malformed = 0
    size = len(plaintext)
    last_begin = size - _SMALLEST_RECORD_BYTES
    taken = 0
    while taken <= last_begin:
        length, claims, first, ipv4_bytes, ipv6_bytes = unpack(plaintext, taken)
        begin = taken + RECORD_HEADER_BYTES
        taken = begin + length
        if taken > size:
            break
        if not claims:
            # ``begins_whole`` spelled out: a call per record would cost a third more.
            version = first >> 4
            if (version == IPV4 and IPV4_HEADER_BYTES <= length >= ipv4_bytes) or (
                version == IPV6 and length >= IPV6_HEADER_BYTES + ipv6_bytes
            ):
                append((plaintext[begin:taken], 0, False))
            else:
                malformed += 1
            continue
        parcel = _claimed(plaintext[begin:taken], claims, mtu_bytes)
        if parcel is None:
            malformed += 1
        else:
            append(parcel)
    return parcels, malformed + (taken != size)


def _claimed(packet_untrusted: bytes, claims: int, mtu_bytes: int) -> Parcel | None:
    """A parcel that claims to be more than a finished packet; None if it is not."""
    segment_bytes, flags_and_reserved = divmod(claims, 1 << 16)
    if flags_and_reserved & ~(_PARTIAL_CHECKSUM << 8) or 0 < segment_bytes < SMALLEST_SEGMENT_BYTES:
        return None
    partial_checksum = bool(flags_and_reserved)
    try:
        layout_of_untrusted(packet_untrusted, segment_bytes, partial_checksum, mtu_bytes)
    except MalformedParcelError:
        return None
    return packet_untrusted, segment_bytes, partial_checksum
