"""Sealing parcels and sending them on, as far as the peer has room."""

from collections.abc import Iterator, Sequence
from typing import Final

from application.network.connection.crypto import ParcelCrypto
from application.network.connection.egress import Egress
from application.network.routing.counters import TunnelCounters
from domain.packets.parcel import Parcel

# Ours: what is sealed between two looks at ``Egress.has_room``, unless one parcel alone is larger. A batch of
# finished packets is less than that. One of super-packets is more, up to megabytes from some devices, and a
# stream that had room for "a batch" would end as that of a peer that never reads. Two full frames cost no
# more sealed in one call.
PORTION_BYTES: Final = 128 << 10


def send_parcels(
    parcels: Sequence[Parcel], crypto: ParcelCrypto, egress: Egress, counters: TunnelCounters
) -> None:
    """Seal and send ``parcels`` in order; those for which there is no room are dropped, the last ones.

    Counts both. Raises what ``ParcelCrypto.seal_parcels`` raises.
    """
    left = len(parcels)
    for portion, size in _portions(parcels):
        if not egress.has_room:
            # Before sealing: a sealed frame of a stream cannot be left out any more.
            counters.dropped_no_room += left
            return
        egress.send_runs(crypto.seal_parcels(portion))
        left -= len(portion)
        counters.packets_out += len(portion)
        counters.bytes_out += size


def _portions(parcels: Sequence[Parcel]) -> Iterator[tuple[Sequence[Parcel], int]]:
    """``parcels`` in order, in portions of at most PORTION_BYTES, each with its size."""
    total = sum([len(packet) for packet, _, _ in parcels])
    if total <= PORTION_BYTES:
        yield parcels, total
        return
    begin = size = 0
    for place, (packet, _, _) in enumerate(parcels):
        if size + len(packet) > PORTION_BYTES and place > begin:
            yield parcels[begin:place], size
            begin, size = place, 0
        size += len(packet)
    yield parcels[begin:], size
