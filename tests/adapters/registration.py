"""Registration without a queue."""

from collections.abc import Callable, Sequence

from application.network.connection.egress import PeerEgress
from application.network.udp.packet import Packet
from application.network.udp.registration import Registration
from domain.addressing.endpoint import Endpoint
from infrastructure.network.udp.registration import Register


class ImmediateRegistration:
    """Hands every datagram to the registrar when ``work`` is called next, however many there are."""

    def __init__(self, register: Register, egress_to: Callable[[Endpoint], PeerEgress]) -> None:
        self._register = register
        self._egress_to = egress_to
        self._waiting: list[tuple[bytes, Endpoint]] = []

    @property
    def pending(self) -> bool:
        return bool(self._waiting)

    def submit(self, packets: Sequence[Packet]) -> None:
        self._waiting += [(bytes(packet.view[: packet.length]), packet.endpoint) for packet in packets]

    def work(self) -> None:
        waiting, self._waiting = self._waiting, []
        for message, endpoint in waiting:
            self._register(message, self._egress_to(endpoint))


_: type[Registration] = ImmediateRegistration
