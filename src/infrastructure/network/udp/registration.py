"""Strangers' datagrams on their way to the registrar: bounded, fair, in doses (specification 2.5).

Every datagram with an unknown route id may be the first message of a handshake, and every such message may
cost a Diffie-Hellman. So they wait here: the peers' traffic goes first, a flood meets bounds, and no source
can hold the places of all others.
"""

from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

from application.network.connection.egress import PeerEgress
from application.network.routing.counters import TunnelCounters
from application.network.udp.packet import Packet
from application.network.udp.registration import Registration
from application.runtime.clock import Clock
from domain.addressing.endpoint import Endpoint, source_network
from domain.noise.message import may_be_message1
from domain.session.runs import cut

# What becomes of a datagram: ``Registrar.register`` of the application.
Register: TypeAlias = Callable[[bytes, PeerEgress], object]

# The protocol's (specification 2.5, 9).
MAX_ENDPOINTS: Final = 1000
MAX_DATAGRAMS_PER_ENDPOINT: Final = 16
WAIT_LIMIT_S: Final = 10.0

# Ours: places that one source may hold: enough for an office behind one address, and sixty sources have to
# work together to fill the table.
MAX_ENDPOINTS_PER_SOURCE: Final = 16

# Ours: one dose. About three accepted handshakes, or fifty cookie challenges: as much as a batch of packets
# costs, so that under a flood of handshakes the peers keep about half of the time.
DOSE_S: Final = 0.001


class _Place:
    """The datagrams of one endpoint, and when the first of them came."""

    __slots__ = ("datagrams", "since_s", "source")

    def __init__(self, source: str, since_s: float) -> None:
        self.source = source
        self.since_s = since_s
        self.datagrams: deque[bytes] = deque()


class UdpRegistration:
    """Serves the waiting endpoints in turn, one datagram of each.

    ``egress_to`` opens the way back to an endpoint. A newcomer to a full table takes the place of who has
    waited longest: that one's client sends again, or is no client.
    """

    def __init__(
        self,
        *,
        register: Register,
        egress_to: Callable[[Endpoint], PeerEgress],
        clock: Clock,
        counters: TunnelCounters,
    ) -> None:
        self._register = register
        self._egress_to = egress_to
        self._clock = clock
        self._counters = counters
        self._places: OrderedDict[Endpoint, _Place] = OrderedDict()
        self._held_by: dict[str, int] = {}  # places per source

    @property
    def pending(self) -> bool:
        """See Registration."""
        return bool(self._places)

    def submit(self, packets: Sequence[Packet]) -> None:
        """See Registration."""
        now_s = self._clock.monotonic_s()
        for packet in packets:
            for datagram in cut((packet.view[: packet.length], packet.segment_bytes)):
                if not datagram or not may_be_message1(datagram[0], len(datagram)):
                    self._counters.handshakes_dropped += 1
                    continue
                place = self._places.get(packet.endpoint) or self._open_place(packet.endpoint, now_s)
                if place is None or len(place.datagrams) == MAX_DATAGRAMS_PER_ENDPOINT:
                    self._counters.handshakes_dropped += 1
                else:
                    place.datagrams.append(bytes(datagram))

    def work(self) -> None:
        """See Registration."""
        now_s = self._clock.monotonic_s()
        end_s = now_s + DOSE_S
        while self._places and now_s < end_s:
            endpoint, place = self._places.popitem(last=False)
            if now_s - place.since_s > WAIT_LIMIT_S:
                self._give_up(place)
                continue
            datagram = place.datagrams.popleft()
            if place.datagrams:
                self._places[endpoint] = place
            else:
                self._release(place)
            self._register(datagram, self._egress_to(endpoint))
            now_s = self._clock.monotonic_s()

    def _open_place(self, endpoint: Endpoint, now_s: float) -> _Place | None:
        source = source_network(endpoint.host)
        held = self._held_by.get(source, 0)
        if held == MAX_ENDPOINTS_PER_SOURCE:
            return None
        if len(self._places) == MAX_ENDPOINTS:
            _endpoint, longest_waiting = self._places.popitem(last=False)
            self._give_up(longest_waiting)
            held = self._held_by.get(source, 0)
        self._held_by[source] = held + 1
        place = self._places[endpoint] = _Place(source, now_s)
        return place

    def _give_up(self, place: _Place) -> None:
        self._counters.handshakes_dropped += len(place.datagrams)
        self._release(place)

    def _release(self, place: _Place) -> None:
        held = self._held_by[place.source] - 1
        if held:
            self._held_by[place.source] = held
        else:
            del self._held_by[place.source]


_: type[Registration] = UdpRegistration
