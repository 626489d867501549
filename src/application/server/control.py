"""A server's side of everything in a session that is not an IP packet."""

from domain.packets.service import PONG, ServicePacketType, type_of_untrusted
from domain.session.datagram import OpenedBatch


def answers_to(opened: OpenedBatch) -> list[bytes]:
    """The service packets to send back for those in an opened batch, in order.

    Unknown and unexpected types are consumed without an answer (protocol specification 4.1).
    """
    return [
        PONG for _epoch, plaintext in opened.service if type_of_untrusted(plaintext) is ServicePacketType.PING
    ]
