"""A client's packets, both ways (design: one packet's way)."""

from collections.abc import Sequence

from application.client.control import ClientControl
from application.network.connection.crypto import SessionCrypto
from application.network.connection.egress import Egress
from application.network.connection.transport import ClientTransport
from application.network.routing.counters import TunnelCounters
from application.network.routing.tun import TunDevice
from application.network.routing.worker import BATCHES_PER_WAKEUP, SessionEndedError, Worker
from application.network.udp.listener import UdpError
from application.network.udp.packet import Packet
from domain.addressing.sources import AllowedSources


class ClientWorker:
    """Forwards between one TUN device and one established session.

    ``packets`` are the receive buffers, one batch of them; their number is the batch size in both directions.
    """

    def __init__(
        self,
        *,
        tun: TunDevice,
        transport: ClientTransport,
        crypto: SessionCrypto,
        control: ClientControl,
        sources: AllowedSources,
        packets: Sequence[Packet],
        counters: TunnelCounters,
    ) -> None:
        self._tun = tun
        self._transport = transport
        self._ingress = transport.ingress()
        self._egress: Egress = transport.egress()
        self._crypto = crypto
        self._control = control
        self._sources = sources
        self._packets = packets
        self._counters = counters

    def tun_fileno(self) -> int:
        """See Worker."""
        return self._tun.fileno()

    def transport_fileno(self) -> int:
        """See Worker."""
        return self._transport.fileno()

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
            try:
                count = self._ingress.read_batch(self._packets)
            except UdpError as error:
                raise SessionEndedError(str(error)) from error
            if count:
                self._forward_in(self._packets[:count])
            if count < limit:
                return

    def handle_timer(self) -> None:
        """See Worker."""
        self._control.handle_timer()

    def next_deadline_s(self) -> float | None:
        """See Worker."""
        return self._control.next_deadline_s()

    def _forward_out(self, packets: list[bytes]) -> None:
        counters = self._counters
        admitted = self._sources.admitted(packets)
        counters.dropped_source += len(packets) - len(admitted)
        counters.packets_out += len(admitted)
        counters.bytes_out += sum(map(len, admitted))
        if admitted:
            self._egress.send_batch(self._crypto.seal(admitted))

    def _forward_in(self, received: Sequence[Packet]) -> None:
        counters = self._counters
        frames = [packet.view[: packet.length] for packet in received if not packet.flags]
        counters.dropped_truncated += len(received) - len(frames)
        opened = self._crypto.open(frames)
        counters.dropped_unauthentic += len(frames) - opened.authenticated
        self._control.observe(opened)
        if opened.packets:
            counters.packets_in += len(opened.packets)
            counters.bytes_in += sum(map(len, opened.packets))
            self._tun.write_batch(opened.packets)


_: type[Worker] = ClientWorker
