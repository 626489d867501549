"""Which inner source addresses one end of a tunnel may use (specification 6.1)."""

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address

from domain.packets.ip import (
    IPV4,
    IPV4_HEADER_BYTES,
    IPV4_SOURCE,
    IPV6,
    IPV6_HEADER_BYTES,
    IPV6_SOURCE,
    MAPPED_PREFIX,
)
from domain.packets.parcel import Parcel


class AllowedSources:
    """The tunnel addresses of one client, as a filter for the packets it sends.

    The client applies it on the way out, so that link-local and forwarded traffic never leaves; the server
    applies it on the way in, so that no client can speak in another's name. None means that the client has
    no address of this family.
    """

    __slots__ = ("_ipv4", "_ipv6", "_mapped")

    def __init__(self, ipv4: IPv4Address | None, ipv6: IPv6Address | None) -> None:
        self._ipv4 = ipv4.packed if ipv4 is not None else None
        self._ipv6 = ipv6.packed if ipv6 is not None else None
        # The IPv4 address may also be written as ::ffff:a.b.c.d in an IPv6 header: both are compared as IPv4.
        self._mapped = MAPPED_PREFIX + ipv4.packed if ipv4 is not None else None

    def admitted(self, parcels_untrusted: Sequence[Parcel]) -> list[Parcel]:
        """The parcels with an allowed source, in order; foreign sources and broken headers are left out."""
        ipv4, ipv6, mapped = self._ipv4, self._ipv6, self._mapped
        admitted: list[Parcel] = []
        append = admitted.append
        for parcel in parcels_untrusted:
            packet = parcel[0]
            size = len(packet)
            if size < IPV4_HEADER_BYTES:
                continue
            version = packet[0] >> 4
            if version == IPV4:
                if packet[IPV4_SOURCE] == ipv4:
                    append(parcel)
            elif version == IPV6 and size >= IPV6_HEADER_BYTES:
                source = packet[IPV6_SOURCE]
                if source in (ipv6, mapped):
                    append(parcel)
        return admitted
