"""Sharing packets out among the peers that they are for (specification 6.1)."""

from collections.abc import Sequence

from domain.packets.ip import (
    IPV4,
    IPV4_DESTINATION,
    IPV4_HEADER_BYTES,
    IPV6,
    IPV6_DESTINATION,
    IPV6_HEADER_BYTES,
    MAPPED_PREFIX,
)
from domain.packets.parcel import Parcel


def by_destination(parcels_untrusted: Sequence[Parcel]) -> dict[bytes, list[Parcel]]:
    """The parcels grouped by ``domain.packets.ip.destination_of``, each group in the order given.

    Parcels without a whole IP header are left out; the caller sees how many by counting.
    """
    groups: dict[bytes, list[Parcel]] = {}
    for parcel in parcels_untrusted:
        packet = parcel[0]
        # ``destination_of`` spelled out: calls per packet would double the cost of the loop.
        size = len(packet)
        version = packet[0] >> 4 if size >= IPV4_HEADER_BYTES else 0
        if version == IPV4:
            destination = packet[IPV4_DESTINATION]
        elif version == IPV6 and size >= IPV6_HEADER_BYTES:
            destination = packet[IPV6_DESTINATION]
            if destination.startswith(MAPPED_PREFIX):
                destination = destination[len(MAPPED_PREFIX) :]
        else:
            continue
        group = groups.get(destination)
        if group is None:
            groups[destination] = [parcel]
        else:
            group.append(parcel)
    return groups
