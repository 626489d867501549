"""Sharing parcels out among frames.

Every parcel leaves in the call that brings it: a frame is filled with what is there, never kept open for
more. The order stays. A super-packet is cut only where an empty frame has no room for it, because cutting
costs more than a frame that is half full.
"""

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from domain.packets.parcel import SMALLEST_SEGMENT_BYTES, MalformedParcelError, Parcel
from domain.packets.records import RECORD_HEADER_BYTES
from domain.packets.segment import segment, split

_TAKES_NO_RECORD: Final = -1


class Group(NamedTuple):
    """Parcels that follow one another; ``fits``: their records fit into one frame, otherwise into none."""

    parcels: list[Parcel]
    fits: bool


def grouped(parcels: Sequence[Parcel], room_bytes: int) -> tuple[list[Group], int]:
    """The parcels as groups for frames with room for ``room_bytes`` of records, and how many were malformed.

    A parcel that does not fit and cannot be cut stands in a group that ``fits`` no frame.
    """
    largest_packet_bytes = room_bytes - RECORD_HEADER_BYTES
    groups: list[Group] = []
    current: list[Parcel] = []
    left = 0
    malformed = 0
    for parcel in parcels:
        pieces: Sequence[Parcel] = (parcel,)
        if len(parcel[0]) > largest_packet_bytes or 0 < parcel[1] < SMALLEST_SEGMENT_BYTES:
            try:
                pieces = _cut(parcel, largest_packet_bytes)
            except MalformedParcelError:
                malformed += 1
                continue
        for piece in pieces:
            size = RECORD_HEADER_BYTES + len(piece[0])
            if size <= left:
                current.append(piece)
                left -= size
            elif size <= room_bytes:
                current = [piece]
                groups.append(Group(current, fits=True))
                left = room_bytes - size
            elif left == _TAKES_NO_RECORD:
                current.append(piece)
            else:
                current = [piece]
                groups.append(Group(current, fits=False))
                left = _TAKES_NO_RECORD
    return groups, malformed


def finished(parcels: Iterable[Parcel]) -> tuple[list[bytes], int]:
    """The parcels as packets with complete checksums, and how many parcels were malformed."""
    packets: list[bytes] = []
    malformed = 0
    for parcel in parcels:
        packet, segment_bytes, partial_checksum = parcel
        if segment_bytes or partial_checksum:
            try:
                packets += segment(parcel)
            except MalformedParcelError:
                malformed += 1
        else:
            packets.append(packet)
    return packets, malformed


def _cut(parcel: Parcel, most_bytes: int) -> list[Parcel]:
    """Smaller parcels, most of them as large as may be. Raises MalformedParcelError."""
    _, segment_bytes, _ = parcel
    if 2 * segment_bytes > most_bytes or segment_bytes < SMALLEST_SEGMENT_BYTES:
        # No two segments share a frame, or the other end would take them for an attack. One alone may fit no
        # frame and go out as it is: it has to be finished.
        return [(packet, 0, False) for packet in segment(parcel)]
    return split(parcel, most_bytes)
