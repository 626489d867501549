"""What stands before each packet that crosses a TUN device: a virtio_net_hdr (<linux/virtio_net.h>).

::

    flags 1 | gso_type 1 | hdr_len 2 | gso_size 2 | csum_start 2 | csum_offset 2

in the byte order of the host. It says of the packet behind it what a Parcel says (``domain.packets.parcel``):
with a ``gso_type`` it is a super-packet whose segments carry ``gso_size`` bytes; with the flag NEEDS_CSUM the
checksum at ``csum_start`` + ``csum_offset`` is partial. All zero, the packet is finished.
"""

import struct
from functools import cache
from typing import Final

from domain.packets.checksum import complete
from domain.packets.ip import IPV4, IPV4_HEADER_BYTES, IPV6_HEADER_BYTES
from domain.packets.layout import Layout, Train
from domain.packets.parcel import CHECKSUM_OFFSET, Parcel

_HEADER: Final = struct.Struct("=BBHHHH")
HEADER_BYTES: Final = _HEADER.size

# Of a finished packet.
PLAIN_HEADER: Final = bytes(HEADER_BYTES)

_NEEDS_CSUM: Final = 0x01
_GSO_TYPES: Final = {Train.TCP_IPV4: 1, Train.TCP_IPV6: 4, Train.UDP: 5}
_GSO_ECN: Final = 0x80  # CWR is set, and only the first segment may keep it

_FIRST_BYTE_WITHOUT_OPTIONS: Final = IPV4 << 4 | IPV4_HEADER_BYTES // 4


def parcel_of(received: bytes) -> Parcel:
    """The packet behind its header, as the kernel handed them out."""
    flags, gso_type, _, gso_size, start, offset = _HEADER.unpack_from(received)
    packet = received[HEADER_BYTES:]
    if gso_type:
        return packet, gso_size, True
    if not flags & _NEEDS_CSUM:
        return packet, 0, False
    if _is_where_a_parcel_has_it(packet, start, offset):
        return packet, 0, True
    # A tunnel inside the tunnel, IP options, a rare protocol: whoever gets it would look at another place.
    return complete(packet, start, offset), 0, False


def header_of(parcel: Parcel, layout: Layout) -> bytes:
    """The header of a parcel that is not finished; ``layout`` is that of its packet."""
    start, offset = layout.checksum_start, layout.checksum_offset
    if layout.train is Train.NONE:
        return _with_partial_checksum(start, offset)
    gso_type = _GSO_TYPES[layout.train]
    if layout.has_cwr:
        gso_type |= _GSO_ECN
    return _HEADER.pack(_NEEDS_CSUM, gso_type, layout.header_bytes, parcel[1], start, offset)


@cache  # every acknowledgement of a TCP connection that leaves a host has the same
def _with_partial_checksum(start: int, offset: int) -> bytes:
    return _HEADER.pack(_NEEDS_CSUM, 0, 0, 0, start, offset)


def _is_where_a_parcel_has_it(packet: bytes, start: int, offset: int) -> bool:
    if start == IPV4_HEADER_BYTES:
        return packet[0] == _FIRST_BYTE_WITHOUT_OPTIONS and CHECKSUM_OFFSET.get(packet[9]) == offset
    return start == IPV6_HEADER_BYTES and packet[0] >> 4 != IPV4 and CHECKSUM_OFFSET.get(packet[6]) == offset
