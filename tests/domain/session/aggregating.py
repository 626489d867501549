"""Two ends that have agreed on aggregated frames, and parcels for them to exchange."""

import struct
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

from domain.noise.keys import EpochKeys, Role, SessionId
from domain.noise.primitives import Buffer, Primitives
from domain.packets.parcel import Parcel
from domain.session.aggregated_datagrams import AggregatedDatagrams
from domain.session.identifiers import Epoch
from domain.session.opened import OpenedParcels
from domain.session.run_trial import RunTrial
from domain.session.runs import SealedRun, cut
from tests.adapters.primitives import PlainPrimitives
from tests.domain.packets.trains import TCP_IPV4, some_payload

MTU_BYTES = 1420
DATAGRAM_BYTES = MTU_BYTES + 36
SEGMENT_BYTES = MTU_BYTES - 40
SESSION_ID = SessionId(bytes(range(32)))
FRAME_ROUTE_ID = SESSION_ID[8:16]


def keys_of(epoch: int) -> EpochKeys:
    return EpochKeys(bytes([epoch, 1, *range(30)]), bytes([epoch, 2, *range(30)]))


def datagram_session(
    role: Role,
    primitives: Primitives | None = None,
    mtu_bytes: int = MTU_BYTES,
    trial: RunTrial | None = None,
) -> AggregatedDatagrams:
    return AggregatedDatagrams(
        primitives or PlainPrimitives(), role, SESSION_ID, keys_of(0), mtu_bytes=mtu_bytes, trial=trial
    )


@dataclass(slots=True)
class Ends:
    client: AggregatedDatagrams
    server: AggregatedDatagrams

    def up(self, *parcels: Parcel) -> OpenedParcels:
        """From the client to the server, as a kernel that joins datagrams delivers it."""
        return self.server.open_parcels(self.client.seal_parcels(parcels))

    def rekey(self, epoch: int) -> None:
        for end in (self.server, self.client):
            end.install(Epoch(epoch), keys_of(epoch))
            end.activate(Epoch(epoch))


def established() -> Ends:
    return Ends(datagram_session(Role.CLIENT), datagram_session(Role.SERVER))


def numbered(number: int, size: int = 40) -> Parcel:
    """A finished packet that can be told from the others."""
    return struct.pack(">BBHI12x", 0x45, 0, size, number) + bytes(size - 20), 0, False


@cache
def super_packet(segments: int, seed: int = 1) -> Parcel:
    """A TCP super-packet with segments of the MTU's size."""
    return TCP_IPV4.train(some_payload(segments * SEGMENT_BYTES, seed), SEGMENT_BYTES)


def datagrams_of(runs: Iterable[SealedRun]) -> list[bytes]:
    return [bytes(datagram) for run in runs for datagram in cut(run)]


def one_by_one(datagrams: Iterable[Buffer]) -> list[tuple[Buffer, int]]:
    """As a kernel that joins nothing delivers them."""
    return [(datagram, len(datagram)) for datagram in datagrams]
