"""A client's packets, both ways (design: one packet's way)."""

from collections.abc import Sequence

from application.client.control import ClientControl
from application.network.connection.crypto import SessionCrypto
from application.network.connection.egress import Egress
from application.network.connection.transport import ClientTransport, TransportError
from application.network.routing.counters import TunnelCounters
from application.network.routing.tun import TunDevice
from application.network.routing.worker import BATCHES_PER_WAKEUP, ProbingWorker, SessionEndedError
from domain.addressing.sources import AllowedSources
from domain.noise.primitives import Buffer
from domain.session.nonce import SessionError


class ClientWorker:
    """Forwards between one TUN device and one established session, whatever carries its frames.

    ``batch_size`` is how many packets are read from the device at a time.
    """

    def __init__(
        self,
        *,
        tun: TunDevice,
        transport: ClientTransport,
        crypto: SessionCrypto,
        control: ClientControl,
        sources: AllowedSources,
        batch_size: int,
        counters: TunnelCounters,
    ) -> None:
        self._tun = tun
        self._transport = transport
        self._ingress = transport.ingress()
        self._egress: Egress = transport.egress()
        self._crypto = crypto
        self._control = control
        self._sources = sources
        self._batch_size = batch_size
        self._counters = counters

    def tun_fileno(self) -> int:
        """See Worker."""
        return self._tun.fileno()

    def transport_fileno(self) -> int:
        """See Worker."""
        return self._transport.fileno()

    def handle_tun(self) -> None:
        """See Worker."""
        limit = self._batch_size
        for _ in range(BATCHES_PER_WAKEUP):
            packets = self._tun.read_batch(limit)
            if packets:
                self._forward_out(packets)
            if len(packets) < limit:
                return

    def handle_transport(self) -> None:
        """See Worker."""
        for _ in range(BATCHES_PER_WAKEUP):
            try:
                frames = self._ingress.read_frames()
            except TransportError as error:
                raise SessionEndedError(str(error)) from error
            if not frames:
                return
            self._forward_in(frames)

    def handle_timer(self) -> None:
        """See Worker."""
        self._control.handle_timer()

    def probe(self) -> None:
        """See ProbingWorker."""
        self._control.probe()

    def next_deadline_s(self) -> float | None:
        """See Worker."""
        return self._control.next_deadline_s()

    def _forward_out(self, packets: list[bytes]) -> None:
        counters = self._counters
        if not self._egress.has_room:
            # Before sealing: a sealed frame of a stream cannot be left out any more.
            counters.dropped_no_room += len(packets)
            return
        admitted = self._sources.admitted(packets)
        counters.dropped_source += len(packets) - len(admitted)
        counters.packets_out += len(admitted)
        counters.bytes_out += sum(map(len, admitted))
        if admitted:
            self._egress.send_batch(self._crypto.seal(admitted))

    def _forward_in(self, frames: Sequence[Buffer]) -> None:
        counters = self._counters
        packets: list[bytes] = []
        try:
            while frames:
                opened = self._crypto.open(frames)
                counters.dropped_unauthentic += opened.consumed - opened.authenticated
                self._control.observe(opened)
                packets += opened.packets
                frames = frames[opened.consumed :]
        except SessionError as error:
            raise SessionEndedError(str(error)) from error
        if packets:
            counters.packets_in += len(packets)
            counters.bytes_in += sum(map(len, packets))
            self._tun.write_batch(packets)


_: type[ProbingWorker] = ClientWorker
