"""What the datagrams of a tunnel say on the wire, to whoever sees them pass."""

import socket
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from domain.session.chunks import FRAME_HEADER
from domain.session.identifiers import ROUTE_ID_BYTES

_ETHERNET_HEADER_BYTES: Final = 14
_IPV4_HEADER_BYTES: Final = 20
_UDP_HEADER_BYTES: Final = 8
_COUNTER_HIGH: Final = slice(ROUTE_ID_BYTES + 8, ROUTE_ID_BYTES + 10)
_MORE_FRAGMENTS_OR_OFFSET: Final = 0x3FFF


@dataclass(frozen=True, slots=True)
class Chunk:
    """The header of one datagram of an aggregated frame, and the length of the datagram."""

    route_id: bytes
    counter: int
    index: int
    count: int
    epoch: int
    size: int


class Wire:
    """The datagrams over IPv4 in captured Ethernet frames that go from a host to the server's port, or back.

    ``chunks`` are those of aggregated frames, ``ordinary`` the others, ``fragments`` counts pieces of
    datagrams that were too large for the path.
    """

    def __init__(self, captured: Iterable[bytes], *, source: str, destination: str, port: int) -> None:
        self.chunks: list[Chunk] = []
        self.ordinary: list[bytes] = []
        self.fragments = 0
        ends = socket.inet_aton(source) + socket.inet_aton(destination)
        for frame in captured:
            packet = frame[_ETHERNET_HEADER_BYTES:]
            if len(packet) < _IPV4_HEADER_BYTES or packet[0] != 0x45 or packet[12:20] != ends:
                continue
            if packet[9] != socket.IPPROTO_UDP:
                continue
            if int.from_bytes(packet[6:8]) & _MORE_FRAGMENTS_OR_OFFSET:
                self.fragments += 1
                continue
            datagram = packet[_IPV4_HEADER_BYTES:]
            if port in {int.from_bytes(datagram[:2]), int.from_bytes(datagram[2:4])}:
                for each in datagrams_of_run(datagram[_UDP_HEADER_BYTES : int.from_bytes(datagram[4:6])]):
                    self._sort(each)

    @property
    def frames(self) -> set[tuple[int, int]]:
        """Epoch and counter of every aggregated frame of which something passed."""
        return {(chunk.epoch, chunk.counter) for chunk in self.chunks}

    @property
    def longest_frame(self) -> int:
        """The number of datagrams in the largest of them; 0 if there is none."""
        return max([chunk.count for chunk in self.chunks], default=0)

    @property
    def largest_datagram(self) -> int:
        """The bytes of the largest datagram of any kind; 0 if there is none."""
        return max([*(chunk.size for chunk in self.chunks), *map(len, self.ordinary)], default=0)

    def _sort(self, datagram: bytes) -> None:
        # Handshake messages have neither; nobody asks for them here.
        if len(datagram) <= FRAME_HEADER.size or datagram[_COUNTER_HIGH] == bytes(2):
            self.ordinary.append(datagram)
        else:
            route_id, counter, index, count, epoch = FRAME_HEADER.unpack_from(datagram)
            self.chunks.append(Chunk(route_id, counter, index, count, epoch, len(datagram)))


def datagrams_of_run(run: bytes) -> Iterator[bytes]:
    """The datagrams of a run, which a veth carries as one: each begins with the session's route id."""
    size = run.find(run[:ROUTE_ID_BYTES], 1)
    if size < 0:
        yield run
    else:
        yield from (run[begin : begin + size] for begin in range(0, len(run), size))
