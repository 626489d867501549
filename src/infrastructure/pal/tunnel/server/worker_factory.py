"""Puts a server's worker together on this platform."""

from application.network.routing.counters import TunnelCounters
from application.network.routing.tun import TunDevice
from application.network.routing.worker import ServerWorkerFactory, Worker
from application.network.udp.listener import UdpListener
from application.runtime.clock import Clock
from application.runtime.entropy import Entropy
from application.runtime.log import EventLog
from application.server.forward import ServerWorker
from application.server.register import Registrar
from application.server.sessions import SessionRepository
from infrastructure.network.udp.buffers import DatagramBuffer
from infrastructure.network.udp.egress import PeerEgress
from infrastructure.network.udp.registration import UdpRegistration
from infrastructure.tunnel.sizes import BATCH_SIZE, datagram_buffer_bytes


class PalServerWorkerFactory:
    """Gives each listener its queue of strangers and its receive buffers."""

    def __init__(
        self,
        *,
        mtu_bytes: int,
        registrar: Registrar,
        sessions: SessionRepository,
        entropy: Entropy,
        clock: Clock,
        counters: TunnelCounters,
        log: EventLog,
    ) -> None:
        self._mtu_bytes = mtu_bytes
        self._registrar = registrar
        self._sessions = sessions
        self._entropy = entropy
        self._clock = clock
        self._counters = counters
        self._log = log

    def create(self, listener: UdpListener, tun: TunDevice) -> Worker:
        """See ServerWorkerFactory."""
        batch_egress = listener.batch_egress()
        buffer_bytes = datagram_buffer_bytes(self._mtu_bytes)
        return ServerWorker(
            tun=tun,
            listener=listener,
            sessions=self._sessions,
            registration=UdpRegistration(
                register=self._registrar.register,
                egress_to=lambda endpoint: PeerEgress(batch_egress, endpoint),
                clock=self._clock,
                counters=self._counters,
            ),
            packets=DatagramBuffer.allocate(BATCH_SIZE, buffer_bytes),
            clock=self._clock,
            entropy=self._entropy,
            counters=self._counters,
            log=self._log,
        )


_: type[ServerWorkerFactory] = PalServerWorkerFactory
