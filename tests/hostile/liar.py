"""A peer with keys that lies wherever something can be said, and what is still sound of what comes of it.

The lies are drawn from a seed and keep near the truth: most fields of most records are right, so that what is
wrong is reached by whoever takes them apart.
"""

import random
import struct
from collections.abc import Sequence
from dataclasses import replace
from functools import cache

from domain.packets.parcel import TCP, UDP, Parcel
from domain.packets.records import RECORD_HEADER, RECORD_HEADER_BYTES, encode
from domain.packets.service import PING, loss_report
from domain.session.aggregated_datagrams import AggregatedDatagrams
from domain.session.chunks import FRAME_HEADER, FRAME_HEADER_BYTES, MOST_CHUNKS
from domain.session.runs import cut
from tests.domain.packets.trains import Flow, some_payload

EDGES = (0, 1, 2, 7, 8, 19, 20, 39, 40, 45, 46, 47, 127, 128, 255, 256, 1279, 1280, 1460, 1500, 1501)
EDGES_16 = (*EDGES, 0x0500, 0x3FFF, 0x4000, 0x7FFF, 0x8000, 0xFEFF, 0xFF00, 0xFFF0, 0xFFFF)
EDGES_64 = (*EDGES_16, 1 << 32, (1 << 63) - 1, 1 << 63, (1 << 64) - 1)
HEADERS_BYTES = 80  # of the longest headers that the lies are about
RECORDS_BYTES = 60_000  # what a frame can be expected to hold

# Layout of the virtio header and Linux's numbers for the trains in it, for soundness alone.
# flags, type, header bytes, segment bytes, checksum start and offset
VIRTIO_HEADER = struct.Struct("=BBHHHH")
NEEDS_CHECKSUM = 1
TRAINS = {1: (4, TCP), 4: (6, TCP), 5: (None, UDP)}


@cache
def _payload(size: int) -> bytes:
    return some_payload(size)


class Liar:
    """``flows`` are those that the peer may have; what it seals is told in their name, or in another's."""

    def __init__(self, seed: int, flows: Sequence[Flow]) -> None:
        self._choice = random.Random(seed)
        self._flows = [replace(flow, protocol=protocol) for flow in flows for protocol in (TCP, UDP)]

    # Records

    def plaintext(self) -> bytes:
        """What a frame may hold: records, most of them sound, or bytes that are none."""
        choice = self._choice
        if choice.random() < 0.05:
            return choice.randbytes(choice.choice([0, 1, 5, 6, 7, 25, 26, 300, 9000]))
        records = b""
        for _ in range(choice.randint(1, 6)):
            record = self.record()
            if len(records) + len(record) <= RECORDS_BYTES:
                records += record
        if choice.random() < 0.1:
            records = records[: choice.randrange(len(records) + 1)]
        elif choice.random() < 0.1:
            records += choice.randbytes(choice.randint(1, 30))
        return records

    def parcel(self) -> Parcel:
        """A sound one."""
        choice = self._choice
        flow = choice.choice(self._flows)
        kind = choice.random()
        if kind < 0.5:
            segment_bytes = choice.choice([8, 100, 536, 1200, 1360])
            segments = choice.randint(2, 40)
            return flow.train(_payload(segments * segment_bytes - choice.randint(0, 7)), segment_bytes)
        payload = _payload(choice.choice([0, 1, 40, 1200]))
        return (flow.partial(payload), 0, True) if kind < 0.75 else (flow.packet(payload), 0, False)

    def record(self) -> bytes:
        """One record; the lie in it, if there is one, is in its header or in the headers of its packet."""
        choice = self._choice
        packet, segment_bytes, partial_checksum = self.parcel()
        if choice.random() < 0.3:
            return encode([(packet, segment_bytes, partial_checksum)])
        length, flags, reserved = len(packet), int(partial_checksum), 0
        match choice.randrange(8):
            case 0:
                length = self._near(length, EDGES_16, 0xFFFF)
            case 1:
                segment_bytes = self._near(segment_bytes, EDGES_16, 0xFFFF)
            case 2:
                flags = choice.randrange(256)
            case 3:
                reserved = choice.randrange(1, 256)
            case 4:
                packet = packet[: choice.randrange(len(packet) + 1)]
                length = len(packet)
            case 5:
                packet += choice.randbytes(choice.randint(1, 40))
                length = len(packet)
            case _:
                packet = self._with_lying_field(packet)
        header = RECORD_HEADER.pack(length & 0xFFFF, segment_bytes, flags)
        return header[: RECORD_HEADER_BYTES - 1] + bytes([reserved]) + packet

    def _with_lying_field(self, packet: bytes) -> bytes:
        """One or two bytes of its headers are something else."""
        choice = self._choice
        lying = bytearray(packet)
        last = min(len(packet), HEADERS_BYTES) - 2
        if choice.random() < 0.5:
            lying[choice.randint(0, last + 1)] = choice.randrange(256)
        else:
            place = choice.randint(0, last // 2) * 2
            told = int.from_bytes(lying[place : place + 2])
            lying[place : place + 2] = self._near(told, EDGES_16, 0xFFFF).to_bytes(2)
        return bytes(lying)

    def _near(self, truth: int, edges: Sequence[int], most: int) -> int:
        choice = self._choice
        match choice.randrange(3):
            case 0:
                return choice.choice(edges) & most
            case 1:
                return (truth + choice.choice([-1, 1, -8, 8, 20, 1 << 8])) & most
            case _:
                return choice.randint(0, most)

    # Datagrams

    def datagrams(self, session: AggregatedDatagrams) -> list[bytes]:
        """One frame of the session, or something like it."""
        choice = self._choice
        if choice.random() < 0.1:
            return self._ordinary(session)
        plaintext = self.plaintext()
        counter = session._frame_counter.reserve(choice.choice([1, 1, 1, 1, 2, 70])) + 1
        smallest = -(-(len(plaintext) + 16) // MOST_CHUNKS)
        chunk_bytes = choice.choice([smallest, max(smallest, 1300), max(smallest, choice.randint(1, 1400))])
        told = [bytes(each) for each in cut(session._sealed_frame(plaintext, counter, chunk_bytes))]
        for _ in range(choice.choice([0, 0, 1, 1, 2])):
            self._distort(told)
        if choice.random() < 0.2:
            choice.shuffle(told)
        return told

    def _distort(self, told: list[bytes]) -> None:
        choice = self._choice
        place = choice.randrange(len(told)) if told else 0
        match choice.randrange(6) if told else -1:
            case 0:
                del told[place]
            case 1:
                told.insert(choice.randrange(len(told) + 1), told[place])
            case 2:  # two of one name
                told.insert(place, told[place][:FRAME_HEADER_BYTES] + choice.randbytes(len(told[place])))
            case 3:
                told[place] = told[place][: choice.randrange(len(told[place]) + 1)]
            case 4:
                told[place] += choice.randbytes(choice.randint(1, 60))
            case 5:
                everywhere = choice.random() < 0.5
                field, shift = choice.randrange(5), choice.random()
                for each in range(len(told)) if everywhere else [place]:
                    told[each] = self._with_lying_header(told[each], field, shift)
            case _:
                pass

    def _with_lying_header(self, datagram: bytes, field: int, shift: float) -> bytes:
        if len(datagram) < FRAME_HEADER_BYTES:
            return datagram
        route_id, counter, index, count, epoch = FRAME_HEADER.unpack_from(datagram)
        number = EDGES_64[int(shift * len(EDGES_64))]
        match field:
            case 0:
                route_id = route_id[:7] + bytes([number & 0xFF])
            case 1:
                counter = number
            case 2:
                index = number & 0xFF
            case 3:
                count = number & 0xFF
            case _:
                epoch = number & 0xFFFF
        return FRAME_HEADER.pack(route_id, counter, index, count, epoch) + datagram[FRAME_HEADER_BYTES:]

    def _ordinary(self, session: AggregatedDatagrams) -> list[bytes]:
        """Ordinary datagrams with what does not belong there, and frames that call themselves ordinary."""
        choice = self._choice
        odd = [
            PING,
            loss_report(choice.choice(EDGES_64), choice.choice(EDGES_64)),
            loss_report(1, 1)[: choice.randint(2, 11)],
            choice.randbytes(choice.randint(0, 60)),
            self.plaintext()[:1400],
            self._with_lying_field(self.parcel()[0])[:1400],
        ]
        if choice.random() < 0.7:
            return session.seal(choice.sample(odd, 2))
        frame = cut(session._sealed_frame(self.plaintext(), session._frame_counter.reserve(1) + 1, 1400))
        (ordinary,) = session.seal([PING])
        return [ordinary[:8] + bytes(each)[8:] for each in frame]


def flaw_of(packet: bytes, virtio_header: bytes, mtu_bytes: int, *, tells_headers: bool = True) -> str | None:
    """What is wrong with a packet and the virtio header before it; None if a kernel can trust them.

    Written down from what Linux expects, not from how parcels are taken apart. Without ``tells_headers`` the
    length of the headers in it is another number, as in what a kernel hands on.
    """
    if len(packet) < 20 or packet[0] >> 4 not in {4, 6}:
        return "no IP packet"
    version = packet[0] >> 4
    total = int.from_bytes(packet[2:4]) if version == 4 else 40 + int.from_bytes(packet[4:6])
    if total > len(packet):
        return f"it states {total} bytes and has {len(packet)}"
    virtio = VIRTIO_HEADER.unpack(virtio_header)
    if not virtio[0] & NEEDS_CHECKSUM:
        return None if virtio[1] == 0 else "segments without a partial checksum"
    return _unfinished_flaw(packet, version, total, virtio, mtu_bytes, tells_headers=tells_headers)


def _unfinished_flaw(
    packet: bytes, version: int, total: int, virtio: tuple[int, ...], mtu_bytes: int, *, tells_headers: bool
) -> str | None:
    _, kind, header_bytes, segment_bytes, start, offset = virtio
    network_bytes = (packet[0] & 15) * 4 if version == 4 else 40
    protocol = packet[9] if version == 4 else packet[6]
    transport_at = len(packet) if total != len(packet) else network_bytes
    if (start, offset) != (transport_at, {TCP: 16, UDP: 6}.get(protocol)):
        return "a checksum where none is"
    if start + offset + 2 > len(packet):
        return "a checksum beyond the end"
    if version == 4 and (network_bytes < 20 or int.from_bytes(packet[6:8]) & 0x3FFF):
        return "a checksum in a fragment or behind a broken header"
    if kind == 0:
        return None
    if TRAINS.get(kind & 0x7F) not in ((version, protocol), (None, protocol)):
        return "a train of another kind"
    told_bytes = header_bytes if tells_headers else None
    return _train_flaw(packet, protocol, network_bytes, told_bytes, segment_bytes, mtu_bytes)


def _train_flaw(
    packet: bytes,
    protocol: int,
    network_bytes: int,
    told_bytes: int | None,
    segment_bytes: int,
    mtu_bytes: int,
) -> str | None:
    transport_bytes = 8 if protocol == UDP else (packet[network_bytes + 12] >> 4) * 4
    if protocol == TCP and transport_bytes < 20:
        return "no TCP header"
    header_bytes = network_bytes + transport_bytes
    if told_bytes not in {None, header_bytes}:
        return "headers of another length"
    if not 0 < segment_bytes < len(packet) - header_bytes:
        return "no segments"
    if header_bytes + segment_bytes > mtu_bytes:
        return "segments larger than the MTU"
    return None
