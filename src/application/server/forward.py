"""A server's packets, both ways (design: one packet's way)."""

from collections.abc import Sequence

from application.network.connection.sending import send_parcels
from application.network.routing.counters import TunnelCounters
from application.network.routing.tun import TunDevice
from application.network.routing.worker import BATCHES_PER_WAKEUP, Worker
from application.runtime.clock import Clock
from application.runtime.entropy import Entropy
from application.runtime.log import EventLog
from application.server.control import attend
from application.server.reception import Arrival, Reception
from application.server.sessions import PeerSession, SessionRepository
from domain.addressing.destinations import by_destination
from domain.addressing.endpoint import Endpoint
from domain.packets.parcel import Parcel
from domain.session.liveness import SERVER_REAPER_PERIOD_S
from domain.session.nonce import SessionError
from domain.session.opened import OpenedParcels
from domain.session.runs import ReceivedRun


class ServerWorker:
    """Forwards between one TUN device and all peers of one listener, whatever carries their frames.

    ``batch_size`` is how many packets are read from the device at a time.
    """

    def __init__(
        self,
        *,
        tun: TunDevice,
        reception: Reception,
        sessions: SessionRepository,
        batch_size: int,
        clock: Clock,
        entropy: Entropy,
        counters: TunnelCounters,
        log: EventLog,
    ) -> None:
        self._tun = tun
        self._reception = reception
        self._sessions = sessions
        self._batch_size = batch_size
        self._clock = clock
        self._entropy = entropy
        self._counters = counters
        self._log = log
        self._super_packets = False  # what the device hands out
        self._next_reap_s = clock.monotonic_s() + SERVER_REAPER_PERIOD_S

    def tun_fileno(self) -> int:
        """See Worker."""
        return self._tun.fileno()

    def transport_fileno(self) -> int:
        """See Worker."""
        return self._reception.fileno()

    def handle_tun(self) -> None:
        """See Worker."""
        limit = self._batch_size
        for _ in range(BATCHES_PER_WAKEUP):
            parcels = self._tun.read_parcels(limit)
            if parcels:
                self._forward_out(parcels)
            if len(parcels) < limit:
                return

    def handle_transport(self) -> None:
        """See Worker."""
        admitted: list[Parcel] = []
        now_s = self._clock.monotonic_s()
        for arrival in self._reception.receive():
            admitted += self._receive(arrival, now_s)
        if admitted:
            self._counters.packets_in += len(admitted)
            self._counters.bytes_in += sum([len(packet) for packet, _, _ in admitted])
            taken = self._tun.write_parcels(admitted)
            self._counters.dropped_by_host += len(admitted) - taken
        # For peers that take packets alone, the kernel is better at cutting them.
        wanted = self._sessions.some_take_super_packets
        if wanted is not self._super_packets:
            self._super_packets = wanted
            self._tun.hand_out_super_packets(wanted=wanted)

    def handle_timer(self) -> None:
        """See Worker."""
        now_s = self._clock.monotonic_s()
        self._reception.handle_timer(now_s)
        if now_s < self._next_reap_s:
            return
        self._next_reap_s = now_s + SERVER_REAPER_PERIOD_S
        for session in self._sessions.expire(now_s):
            if not session.proven:
                continue  # whoever opened it never showed the key: what strangers do is worth no record
            self._log.info("session expired", client_id=session.peer.client_id, name=session.peer.name)

    def next_deadline_s(self) -> float | None:
        """See Worker."""
        return min(self._next_reap_s, self._reception.next_deadline_s())

    def _forward_out(self, parcels: list[Parcel]) -> None:
        counters = self._counters
        undeliverable = len(parcels)
        for destination, group in by_destination(parcels).items():
            session = self._sessions.find_by_tunnel_address(destination)
            if session is None:
                continue
            try:
                send_parcels(group, session.crypto, session.egress, counters)
            except SessionError as error:
                self._give_up(session, error)
                continue
            undeliverable -= len(group)
        counters.dropped_no_peer += undeliverable

    def _receive(self, arrival: Arrival, now_s: float) -> list[Parcel]:
        session, runs, sources = arrival
        admitted: list[Parcel] = []
        try:
            while runs:
                opened = self._open(session, runs, sources, now_s)
                admitted += self._admitted(session, opened.parcels)
                runs = runs[opened.consumed :]
        except SessionError as error:
            self._give_up(session, error)
        return admitted

    def _give_up(self, session: PeerSession, error: SessionError) -> None:
        """End a session that cannot go on; the others do not notice."""
        self._sessions.remove(session)
        self._log.warning("session failed", client_id=session.peer.client_id, reason=str(error))

    def _open(
        self, session: PeerSession, runs: Sequence[ReceivedRun], sources: Sequence[Endpoint], now_s: float
    ) -> OpenedParcels:
        opened = session.crypto.open_parcels(runs)
        self._counters.dropped_unauthentic += opened.dropped
        self._counters.dropped_malformed += opened.malformed
        if opened.highest_epoch is None:
            return opened
        session.last_authenticated_s = now_s
        if not session.proven:
            self._prove(session)
        if opened.newest >= 0:
            self._roam(session, sources[opened.newest])
        attend(session, opened, opened.highest_epoch, now_s, self._entropy)
        return opened

    def _admitted(self, session: PeerSession, parcels: Sequence[Parcel]) -> list[Parcel]:
        admitted = session.sources.admitted(parcels)
        self._counters.dropped_source += len(parcels) - len(admitted)
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
