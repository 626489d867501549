"""What travels between the tunnel device and the wire: a packet, and what is left to be done to it.

Most parcels are one finished IP packet. A super-packet is a train of packets of one TCP or UDP flow that
share one header: the kernel hands it out and takes it whole, so that a program pays for it once. Its length
fields are those of the whole train; its payload is cut every ``segment_bytes``, the last piece being what is
left.

Errors::

    MalformedParcelError   the headers do not say what the parcel claims
"""

from typing import Final, TypeAlias

# (packet, segment_bytes, partial_checksum)
#
# packet            one IP packet; a TCP or UDP super-packet where segment_bytes > 0
# segment_bytes     payload bytes of each segment (gso_size); 0: not a super-packet
# partial_checksum  the TCP or UDP checksum field holds only the pseudo-header sum, folded and not
# complemented,                   and whoever finishes the packet must complete it (the kernel's
# CHECKSUM_PARTIAL)
#
# A super-packet always has a partial checksum: there is nothing that a whole one could be compared with. A
# plain tuple, because millions are made.
Parcel: TypeAlias = tuple[bytes, int, bool]

LARGEST_PACKET_BYTES: Final = 0xFFFF  # what the IPv4 length field and the record format can say

# IP protocol numbers (RFC 9293, RFC 768) and what a tunnel touches of the headers behind them.
TCP: Final = 6
UDP: Final = 17
UDP_HEADER_BYTES: Final = 8
SMALLEST_TCP_HEADER_BYTES: Final = 20
CHECKSUM_OFFSET: Final = {TCP: 16, UDP: 6}  # of the checksum field in the header

# TCP flags, byte 13 of its header (RFC 9293).
FIN: Final = 0x01
SYN: Final = 0x02
RST: Final = 0x04
PSH: Final = 0x08
ACK: Final = 0x10
CWR: Final = 0x80

# Linux's bound on what it sends in one: UDP_MAX_SEGMENTS.
MOST_UDP_SEGMENTS: Final = 128

# Ours: the smallest segments that a super-packet on the wire may have. With them 64 KiB are fewer packets
# than as many records could be; with smaller ones a peer could turn them into tens of thousands.
SMALLEST_SEGMENT_BYTES: Final = 48


class MalformedParcelError(Exception):
    """A parcel is not what it claims to be; it is to be dropped."""

    def __init__(self, why: str, size: int, segment_bytes: int) -> None:
        kind = f"super-packet of {segment_bytes}-byte segments" if segment_bytes else "packet"
        super().__init__(f"{why} (a {kind}, {size} bytes)")
        self.why = why
        self.size = size
        self.segment_bytes = segment_bytes
