"""Reception over datagrams: one socket for all, the sender told by the route id (specification 2.2, 2.5)."""

import math
import struct
from collections.abc import Iterator, Sequence
from typing import Final

from application.network.routing.counters import TunnelCounters
from application.network.routing.worker import BATCHES_PER_WAKEUP
from application.network.udp.batch import BatchIngress
from application.network.udp.listener import UdpListener
from application.network.udp.packet import Packet
from application.network.udp.registration import Registration
from application.server.reception import Arrival, Reception
from application.server.sessions import PeerSession, SessionRepository
from domain.addressing.endpoint import Endpoint
from domain.session.identifiers import ROUTE_ID_BYTES

_AT_ONCE_S: Final = 0.0  # a deadline that has always passed already
_ROUTE_ID: Final = struct.Struct(f"{ROUTE_ID_BYTES}s")


class DatagramReception:
    """Sorts datagrams by session, those with either of its route ids together, so that their order stays.

    ``packets`` are the receive buffers, one batch of them. A run goes where its first datagram belongs: one
    sender's port is one session's, and what is not, the session refuses.
    """

    def __init__(
        self,
        *,
        listener: UdpListener,
        sessions: SessionRepository,
        registration: Registration,
        packets: Sequence[Packet],
        counters: TunnelCounters,
    ) -> None:
        self._listener = listener
        self._ingress: BatchIngress = listener.batch_ingress()
        self._sessions = sessions
        self._registration = registration
        self._packets = packets
        self._counters = counters

    @property
    def local_endpoint(self) -> Endpoint:
        """See Reception."""
        return self._listener.local_endpoint

    def fileno(self) -> int:
        """See Reception."""
        return self._listener.fileno()

    def receive(self) -> Iterator[Arrival]:
        """See Reception."""
        limit = len(self._packets)
        for _ in range(BATCHES_PER_WAKEUP):
            count = self._ingress.read_batch(self._packets)
            if count:
                yield from self._arrivals(self._packets[:count])
            if count < limit:
                break
        self._registration.work()

    def handle_timer(self, now_s: float) -> None:  # noqa: ARG002 - how long strangers wait, the registration knows
        """See Reception."""
        self._registration.work()

    def next_deadline_s(self) -> float:
        """See Reception."""
        return _AT_ONCE_S if self._registration.pending else math.inf

    def close(self) -> None:
        """See Reception."""
        self._listener.close()

    def _arrivals(self, received: Sequence[Packet]) -> Iterator[Arrival]:
        groups: dict[PeerSession, list[Packet]] = {}
        strangers: list[Packet] = []
        find = self._sessions.find_by_route_id
        unpack_from = _ROUTE_ID.unpack_from
        for packet in received:
            if packet.flags:
                self._counters.dropped_truncated += 1
                continue
            if packet.length < ROUTE_ID_BYTES:
                self._counters.dropped_unauthentic += 1
                continue
            session = find(*unpack_from(packet.data))
            if session is None:
                strangers.append(packet)
            elif session in groups:
                groups[session].append(packet)
            else:
                groups[session] = [packet]
        if strangers:
            self._registration.submit(strangers)
        for session, group in groups.items():
            yield Arrival(
                session,
                [(packet.view[: packet.length], packet.segment_bytes) for packet in group],
                [packet.endpoint for packet in group],
            )


_: type[Reception] = DatagramReception
