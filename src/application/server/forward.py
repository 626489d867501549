"""A server's packets, both ways (design: one packet's way)."""

import struct
from collections.abc import Sequence
from typing import Final

from application.network.routing.counters import TunnelCounters
from application.network.routing.tun import TunDevice
from application.network.routing.worker import BATCHES_PER_WAKEUP, Worker
from application.network.udp.batch import BatchIngress
from application.network.udp.listener import UdpListener
from application.network.udp.packet import Packet
from application.network.udp.registration import Registration
from application.runtime.clock import Clock
from application.runtime.entropy import Entropy
from application.runtime.log import EventLog
from application.server.control import attend
from application.server.sessions import PeerSession, SessionRepository
from domain.addressing.endpoint import Endpoint
from domain.packets.ip import by_destination
from domain.session.identifiers import ROUTE_ID_BYTES
from domain.session.liveness import SERVER_REAPER_PERIOD_S
from domain.session.nonce import SessionError

_AT_ONCE_S: Final = 0.0  # a deadline that has always passed already
_ROUTE_ID: Final = struct.Struct(f"{ROUTE_ID_BYTES}s")


class ServerWorker:
    """Forwards between one TUN device and all peers of one listener.

    ``packets`` are the receive buffers, one batch of them; their number is the batch size in both directions.
    """

    def __init__(
        self,
        *,
        tun: TunDevice,
        listener: UdpListener,
        sessions: SessionRepository,
        registration: Registration,
        packets: Sequence[Packet],
        clock: Clock,
        entropy: Entropy,
        counters: TunnelCounters,
        log: EventLog,
    ) -> None:
        self._tun = tun
        self._listener = listener
        self._ingress: BatchIngress = listener.batch_ingress()
        self._sessions = sessions
        self._registration = registration
        self._packets = packets
        self._clock = clock
        self._entropy = entropy
        self._counters = counters
        self._log = log
        self._next_reap_s = clock.monotonic_s() + SERVER_REAPER_PERIOD_S

    def tun_fileno(self) -> int:
        """See Worker."""
        return self._tun.fileno()

    def transport_fileno(self) -> int:
        """See Worker."""
        return self._listener.fileno()

    def handle_tun(self) -> None:
        """See Worker."""
        limit = len(self._packets)
        for _ in range(BATCHES_PER_WAKEUP):
            packets = self._tun.read_batch(limit)
            if packets:
                self._forward_out(packets)
            if len(packets) < limit:
                return

    def handle_transport(self) -> None:
        """See Worker."""
        limit = len(self._packets)
        for _ in range(BATCHES_PER_WAKEUP):
            count = self._ingress.read_batch(self._packets)
            if count:
                self._forward_in(self._packets[:count])
            if count < limit:
                break
        self._registration.work()

    def handle_timer(self) -> None:
        """See Worker."""
        self._registration.work()
        now_s = self._clock.monotonic_s()
        if now_s < self._next_reap_s:
            return
        self._next_reap_s = now_s + SERVER_REAPER_PERIOD_S
        for session in self._sessions.expire(now_s):
            if not session.proven:
                continue  # whoever opened it never showed the key: what strangers do is worth no record
            self._log.info("session expired", client_id=session.peer.client_id, name=session.peer.name)

    def next_deadline_s(self) -> float | None:
        """See Worker."""
        return _AT_ONCE_S if self._registration.pending else self._next_reap_s

    def _forward_out(self, packets: list[bytes]) -> None:
        counters = self._counters
        undeliverable = len(packets)
        for destination, group in by_destination(packets).items():
            session = self._sessions.find_by_tunnel_address(destination)
            if session is None:
                continue
            try:
                session.egress.send_batch(session.crypto.seal(group))
            except SessionError as error:
                self._give_up(session, error)
                continue
            undeliverable -= len(group)
            counters.packets_out += len(group)
            counters.bytes_out += sum(map(len, group))
        counters.dropped_no_peer += undeliverable

    def _forward_in(self, received: Sequence[Packet]) -> None:
        admitted: list[bytes] = []
        now_s = self._clock.monotonic_s()
        for route_id, group in self._by_route_id(received).items():
            session = self._sessions.find_by_route_id(route_id)
            if session is None:
                self._registration.submit(group)
            else:
                admitted += self._receive(session, group, now_s)
        if admitted:
            self._counters.packets_in += len(admitted)
            self._counters.bytes_in += sum(map(len, admitted))
            self._tun.write_batch(admitted)

    def _by_route_id(self, received: Sequence[Packet]) -> dict[bytes, list[Packet]]:
        groups: dict[bytes, list[Packet]] = {}
        unpack_from = _ROUTE_ID.unpack_from
        for packet in received:
            if packet.flags:
                self._counters.dropped_truncated += 1
            elif packet.length < ROUTE_ID_BYTES:
                self._counters.dropped_unauthentic += 1
            else:
                (route_id,) = unpack_from(packet.data)
                group = groups.get(route_id)
                if group is None:
                    groups[route_id] = [packet]
                else:
                    group.append(packet)
        return groups

    def _receive(self, session: PeerSession, group: list[Packet], now_s: float) -> list[bytes]:
        try:
            return self._open(session, group, now_s)
        except SessionError as error:
            self._give_up(session, error)
            return []

    def _give_up(self, session: PeerSession, error: SessionError) -> None:
        """End a session that cannot go on; the others do not notice."""
        self._sessions.remove(session)
        self._log.error("session failed", client_id=session.peer.client_id, reason=str(error))

    def _open(self, session: PeerSession, group: list[Packet], now_s: float) -> list[bytes]:
        opened = session.crypto.open([packet.view[: packet.length] for packet in group])
        self._counters.dropped_unauthentic += len(group) - opened.authenticated
        if opened.highest_epoch is None:
            return []
        session.last_authenticated_s = now_s
        if not session.proven:
            self._prove(session)
        if opened.newest >= 0:
            self._roam(session, group[opened.newest].endpoint)
        attend(session, opened, opened.highest_epoch, self._entropy)
        admitted = session.sources.admitted(opened.packets)
        self._counters.dropped_source += len(opened.packets) - len(admitted)
        return admitted

    def _prove(self, session: PeerSession) -> None:
        # Logged here and not at registration: a stranger who replays message 1 must not be able to fill the
        # log.
        replaced = self._sessions.prove(session)
        self._log.info(
            "client connected",
            client_id=session.peer.client_id,
            name=session.peer.name,
            endpoint=str(session.egress.endpoint),
            address=str(session.addresses.ipv4.ip),
            replaced=len(replaced),
        )

    def _roam(self, session: PeerSession, endpoint: Endpoint) -> None:
        # Only the newest authenticated datagram moves the peer: an older one that was held up on the way must
        # not send the replies back to where the peer no longer is.
        if endpoint != session.egress.endpoint:
            session.egress.endpoint = endpoint
            self._log.info("client moved", client_id=session.peer.client_id, endpoint=str(endpoint))


_: type[Worker] = ServerWorker
