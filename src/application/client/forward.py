"""A client's packets, both ways (design: one packet's way)."""

from collections.abc import Sequence

from application.client.control import ClientControl
from application.network.connection.crypto import ParcelCrypto
from application.network.connection.egress import Egress
from application.network.connection.sending import send_parcels
from application.network.connection.transport import ClientTransport, TransportError
from application.network.routing.counters import TunnelCounters
from application.network.routing.tun import TunDevice
from application.network.routing.worker import BATCHES_PER_WAKEUP, ProbingWorker, SessionEndedError
from domain.addressing.sources import AllowedSources
from domain.packets.parcel import Parcel
from domain.session.nonce import SessionError
from domain.session.runs import ReceivedRun


class ClientWorker:
    """Forwards between one TUN device and one established session, whatever carries its frames.

    ``batch_size`` is how many packets are read from the device at a time.
    """

    def __init__(
        self,
        *,
        tun: TunDevice,
        transport: ClientTransport,
        crypto: ParcelCrypto,
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
            parcels = self._tun.read_parcels(limit)
            if parcels:
                self._forward_out(parcels)
            if len(parcels) < limit:
                break
        refusal = self._transport.take_refusal()
        if refusal is not None:
            # What waits to be read is older: it does not say that the server is still there.
            self._forward_what_arrived()
            self._control.refused(refusal)

    def handle_transport(self) -> None:
        """See Worker. One batch: what it leaves behind is readable still."""
        self._forward_what_arrived()
        self._heed_refusal()

    def handle_timer(self) -> None:
        """See Worker."""
        self._control.handle_timer()
        self._heed_refusal()

    def probe(self) -> None:
        """See ProbingWorker."""
        self._control.probe()

    def next_deadline_s(self) -> float | None:
        """See Worker."""
        return self._control.next_deadline_s()

    def _forward_out(self, parcels: list[Parcel]) -> None:
        counters = self._counters
        admitted = self._sources.admitted(parcels)
        counters.dropped_source += len(parcels) - len(admitted)
        if admitted:
            send_parcels(admitted, self._crypto, self._egress, counters)

    def _heed_refusal(self) -> None:
        refusal = self._transport.take_refusal()
        if refusal is not None:
            self._control.refused(refusal)

    def _forward_what_arrived(self) -> None:
        try:
            runs = self._ingress.read_runs()
        except TransportError as error:
            raise SessionEndedError(str(error)) from error
        if runs:
            self._forward_in(runs)

    def _forward_in(self, runs: Sequence[ReceivedRun]) -> None:
        counters = self._counters
        parcels: list[Parcel] = []
        try:
            while runs:
                opened = self._crypto.open_parcels(runs)
                counters.dropped_unauthentic += opened.dropped
                counters.dropped_malformed += opened.malformed
                self._control.observe(opened)
                parcels += opened.parcels
                runs = runs[opened.consumed :]
        except SessionError as error:
            raise SessionEndedError(str(error)) from error
        if parcels:
            counters.packets_in += len(parcels)
            counters.bytes_in += sum([len(packet) for packet, _, _ in parcels])
            counters.dropped_by_host += len(parcels) - self._tun.write_parcels(parcels)


_: type[ProbingWorker] = ClientWorker
