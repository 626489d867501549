"""Puts a server's worker together on this platform."""

from application.network.routing.counters import TunnelCounters
from application.network.routing.tun import TunDevice
from application.network.routing.worker import Worker
from application.runtime.clock import Clock
from application.runtime.entropy import Entropy
from application.runtime.log import EventLog
from application.server.forward import ServerWorker
from application.server.reception import Reception, ServerWorkerFactory
from application.server.sessions import SessionRepository
from infrastructure.tunnel.sizes import BATCH_SIZE


class PalServerWorkerFactory:
    """Joins a listener of any kind to a TUN device; ``sessions`` are those of the listener."""

    def __init__(
        self,
        *,
        sessions: SessionRepository,
        entropy: Entropy,
        clock: Clock,
        counters: TunnelCounters,
        log: EventLog,
    ) -> None:
        self._sessions = sessions
        self._entropy = entropy
        self._clock = clock
        self._counters = counters
        self._log = log

    def create(self, reception: Reception, tun: TunDevice) -> Worker:
        """See ServerWorkerFactory."""
        return ServerWorker(
            tun=tun,
            reception=reception,
            sessions=self._sessions,
            batch_size=BATCH_SIZE,
            clock=self._clock,
            entropy=self._entropy,
            counters=self._counters,
            log=self._log,
        )


_: type[ServerWorkerFactory] = PalServerWorkerFactory
