"""The addresses in an IP header: the little of it that a tunnel looks at (specification 6.1).

The fields that are read, and nothing else is looked at, not even the header length::

    version         high nibble of byte 0
                    4: at least 20 bytes   6: at least 40 bytes
    source          bytes 12..15           bytes 8..23
    destination     bytes 16..19           bytes 24..39

An address is handed out as the 4 or 16 bytes on the wire. An IPv4-mapped IPv6 address (::ffff:a.b.c.d) counts
as the IPv4 address inside it, hence its 4 bytes: otherwise one peer would have two names.
"""

from typing import Final

IPV4: Final = 4
IPV4_HEADER_BYTES: Final = 20
IPV4_SOURCE: Final = slice(12, 16)
IPV4_DESTINATION: Final = slice(16, 20)

IPV6: Final = 6
IPV6_HEADER_BYTES: Final = 40
IPV6_SOURCE: Final = slice(8, 24)
IPV6_DESTINATION: Final = slice(24, 40)

MAPPED_PREFIX: Final = bytes(10) + b"\xff\xff"


def source_of(packet_untrusted: bytes) -> bytes | None:
    """The source address, 4 or 16 bytes; None if this does not start with a whole IP header."""
    return _address(packet_untrusted, IPV4_SOURCE, IPV6_SOURCE)


def destination_of(packet_untrusted: bytes) -> bytes | None:
    """The destination address, 4 or 16 bytes; None if this does not start with a whole IP header."""
    return _address(packet_untrusted, IPV4_DESTINATION, IPV6_DESTINATION)


def _address(
    packet_untrusted: bytes, in_ipv4: "slice[int, int, int]", in_ipv6: "slice[int, int, int]"
) -> bytes | None:
    size = len(packet_untrusted)
    if size < IPV4_HEADER_BYTES:
        return None
    version = packet_untrusted[0] >> 4
    if version == IPV4:
        return packet_untrusted[in_ipv4]
    if version == IPV6 and size >= IPV6_HEADER_BYTES:
        address = packet_untrusted[in_ipv6]
        return address[len(MAPPED_PREFIX) :] if address.startswith(MAPPED_PREFIX) else address
    return None
