"""Puts a server's worker together on this platform."""

from collections.abc import Callable

from application.network.connection.crypto import SessionCrypto
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
from domain.noise.keys import EpochKeys, SessionId
from domain.noise.server import Accepted, ServerHandshake
from domain.rekey.server import ServerRekey
from domain.settings.profile import TransportProfile
from infrastructure.network.udp.buffers import DatagramBuffer
from infrastructure.network.udp.egress import PeerEgress
from infrastructure.network.udp.registration import UdpRegistration
from infrastructure.tunnel.sizes import BATCH_SIZE, datagram_buffer_bytes


class PalServerWorkerFactory:
    """Gives each listener its session repository, its registrar and its receive buffers."""

    def __init__(
        self,
        *,
        profile: TransportProfile,
        handshake: ServerHandshake,
        sessions: SessionRepository,
        crypto_for: Callable[[SessionId, EpochKeys], SessionCrypto],
        rekey_for: Callable[[Accepted], ServerRekey],
        entropy: Entropy,
        clock: Clock,
        counters: TunnelCounters,
        log: EventLog,
    ) -> None:
        self._profile = profile
        self._sessions = sessions
        self._clock = clock
        self._entropy = entropy
        self._counters = counters
        self._log = log
        self._registrar = Registrar(
            profile=profile,
            handshake=handshake,
            sessions=sessions,
            crypto_for=crypto_for,
            rekey_for=rekey_for,
            entropy=entropy,
            clock=clock,
            counters=counters,
        )

    def create(self, listener: UdpListener, tun: TunDevice) -> Worker:
        """See ServerWorkerFactory."""
        batch_egress = listener.batch_egress()
        buffer_bytes = datagram_buffer_bytes(self._profile.interface_mtu_bytes)
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
