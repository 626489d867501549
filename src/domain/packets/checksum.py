"""The Internet checksum (RFC 1071), as fast as Python can.

Sums are kept modulo 65535, the ring that one's complement addition of 16-bit words lives in: 2^16 is 1 in it,
so a whole integer may be added where its words would have been, and a byte swap is a multiplication by 256. A
sum is then independent of the grouping, and taken over large integers instead of words.

Of the two zeros of one's complement, 0 and 0xFFFF, a sum of anything but zero bytes is the latter; a checksum
is its complement, hence 0, except where UDP keeps 0 for "no checksum" and sends 0xFFFF (RFC 768).
"""

from typing import Final

from domain.packets.ip import IPV4, IPV4_DESTINATION, IPV4_SOURCE, IPV6_DESTINATION, IPV6_SOURCE

MODULUS: Final = 0xFFFF
_SWAP: Final = 256

# Dividing a large integer costs twice as much per byte as making it. Before it is divided, the upper half of
# a usual packet is added to the lower, twice: a quarter less time at 1400 bytes. Multiples of 16, so that
# words meet words.
_FIRST_FOLD: Final = 5760
_FIRST_MASK: Final = (1 << _FIRST_FOLD) - 1
_SECOND_FOLD: Final = 2880
_SECOND_MASK: Final = (1 << _SECOND_FOLD) - 1
_UNFOLDED_BYTES: Final = 400  # up to here, folding does not pay


def sum_of(data: bytes) -> int:
    """The one's complement sum of the big-endian words of ``data``, 0 to 65534; an odd end is padded."""
    # Little-endian pads an odd end by itself; the swap makes big-endian of it.
    words = int.from_bytes(data, "little")
    if len(data) > _UNFOLDED_BYTES:
        words = (words >> _FIRST_FOLD) + (words & _FIRST_MASK)
        words = (words >> _SECOND_FOLD) + (words & _SECOND_MASK)
    return words % MODULUS * _SWAP % MODULUS


def pseudo_header_sum(packet: bytes, protocol: int, transport_bytes: int) -> int:
    """The sum of the pseudo-header (RFC 9293, RFC 8200 section 8.1) as a partial checksum field holds it.

    ``packet`` begins with a whole IP header; ``transport_bytes`` are the length of TCP or UDP header and
    payload. Folded and not complemented, 1 to 65535.
    """
    source, destination = (
        (IPV4_SOURCE, IPV4_DESTINATION) if packet[0] >> 4 == IPV4 else (IPV6_SOURCE, IPV6_DESTINATION)
    )
    addresses = int.from_bytes(packet[source], "big") + int.from_bytes(packet[destination], "big")
    return (addresses + protocol + transport_bytes) % MODULUS or MODULUS


def complete(packet: bytes, checksum_start: int, checksum_offset: int) -> bytes:
    """``packet`` with its partial checksum completed.

    The sum runs from ``checksum_start`` to the end and includes the field, ``checksum_offset`` bytes further,
    with what it holds of the pseudo-header. A zero is written as 0xFFFF, also in TCP, as Linux does here.
    """
    field = checksum_start + checksum_offset
    checksum = -sum_of(packet[checksum_start:]) % MODULUS or MODULUS
    return packet[:field] + checksum.to_bytes(2, "big") + packet[field + 2 :]
