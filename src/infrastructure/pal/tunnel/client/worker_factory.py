"""Puts a client's worker together on this platform."""

from collections.abc import Callable

from application.client.control import ClientControl
from application.client.forward import ClientWorker
from application.network.connection.handshake import Established
from application.network.routing.counters import TunnelCounters
from application.network.routing.tun import TunDevice
from application.network.routing.worker import ClientWorkerFactory, ProbingWorker
from application.runtime.clock import Clock
from application.runtime.entropy import Entropy
from domain.addressing.sources import AllowedSources
from domain.addressing.tunnel import TunnelAddresses
from domain.rekey.client import ClientRekey
from domain.session.liveness import ClientLiveness
from infrastructure.tunnel.sizes import BATCH_SIZE


class PalClientWorkerFactory:
    """Gives each session its control plane, for one of the client's transports."""

    def __init__(
        self,
        *,
        addresses: TunnelAddresses,
        rekey_for: Callable[[Established], ClientRekey],
        clock: Clock,
        entropy: Entropy,
        counters: TunnelCounters,
    ) -> None:
        self._addresses = addresses
        self._rekey_for = rekey_for
        self._clock = clock
        self._entropy = entropy
        self._counters = counters

    def create(self, established: Established, tun: TunDevice) -> ProbingWorker:
        """See ClientWorkerFactory."""
        tun.hand_out_super_packets(wanted=established.aggregated)
        ipv6 = self._addresses.ipv6
        return ClientWorker(
            tun=tun,
            transport=established.transport,
            crypto=established.crypto,
            control=ClientControl(
                crypto=established.crypto,
                egress=established.transport.egress(),
                liveness=ClientLiveness(self._clock.monotonic_s()),
                rekey=self._rekey_for(established),
                clock=self._clock,
                entropy=self._entropy,
            ),
            sources=AllowedSources(self._addresses.ipv4.ip, ipv6.ip if ipv6 else None),
            batch_size=BATCH_SIZE,
            counters=self._counters,
        )


_: type[ClientWorkerFactory] = PalClientWorkerFactory
