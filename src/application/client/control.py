"""A client's side of everything in a session that is not an IP packet."""

from application.network.connection.crypto import SessionCrypto
from application.network.routing.worker import SessionEndedError
from domain.packets.service import PING, ServicePacketType, type_of_untrusted
from domain.session.datagram import OpenedBatch
from domain.session.liveness import ClientLiveness, LivenessAction


class ClientControl:
    """Turns service packets and timers into service packets to send, and into the end of the session.

    Plaintexts that it returns travel as ordinary frames in the current send epoch.
    """

    def __init__(self, *, crypto: SessionCrypto, liveness: ClientLiveness) -> None:
        self._crypto = crypto
        self._liveness = liveness

    def observe(self, opened: OpenedBatch, now_s: float) -> list[bytes]:
        """Take note of an opened batch. Raises SessionEndedError if the server has ended the session."""
        if opened.authenticated:
            self._liveness.authenticated(now_s)
        for _epoch, plaintext in opened.service:
            if type_of_untrusted(plaintext) is ServicePacketType.EPOCH_EXHAUSTED:
                raise SessionEndedError("the server has no key generation left for this session")
        return []

    def handle_timer(self, now_s: float) -> list[bytes]:
        """Whatever is due. Raises SessionEndedError when the server has been silent for too long."""
        match self._liveness.handle_timer(now_s):
            case LivenessAction.SEND_PING:
                return [PING]
            case LivenessAction.DEAD:
                raise SessionEndedError("nothing authentic came from the server for too long")
            case None:
                return []

    def next_deadline_s(self) -> float:
        """When ``handle_timer`` is due, on the monotonic clock."""
        return self._liveness.next_deadline_s()
