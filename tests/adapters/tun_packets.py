"""Packets through a TunDevice, for tests that are not about what parcels are."""

from collections.abc import Iterable

from application.network.routing.tun import TunDevice
from domain.packets.segment import segment


def packets_from(device: TunDevice, limit: int) -> list[bytes]:
    """The finished packets of what ``device.read_parcels(limit)`` gives."""
    return [packet for parcel in device.read_parcels(limit) for packet in segment(parcel)]


def send_packets(device: TunDevice, packets: Iterable[bytes]) -> int:
    """Write finished packets; returns how many the kernel took."""
    return device.write_parcels([(packet, 0, False) for packet in packets])
