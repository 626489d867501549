"""Runs and parcels, seen as what most tests are about: single frames and finished packets."""

from collections.abc import Iterable

from application.network.connection.ingress import FrameIngress
from application.network.udp.packet import Packet
from domain.noise.primitives import Buffer
from domain.packets.parcel import Parcel
from domain.session.runs import ReceivedRun, cut


def frames_from(ingress: FrameIngress) -> list[Buffer]:
    """What one ``read_runs`` gives, taken apart; views as the reader has them."""
    return frames_of(ingress.read_runs())


def frames_of(runs: Iterable[ReceivedRun]) -> list[Buffer]:
    """The frames of all runs, in order."""
    return [frame for run in runs for frame in cut(run)]


def datagrams_of(packets: Iterable[Packet]) -> list[Buffer]:
    """What a batch was filled with, taken apart."""
    return frames_of([(packet.view[: packet.length], packet.segment_bytes) for packet in packets])


def parcels(packets: Iterable[bytes]) -> list[Parcel]:
    """Finished packets as parcels."""
    return [(packet, 0, False) for packet in packets]
