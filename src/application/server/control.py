"""A server's side of everything in a session that is not an IP packet."""

from contextlib import suppress

from application.network.connection.losses import report_losses
from application.network.connection.rekeying import RekeyEndedError, carry_out
from application.runtime.entropy import Entropy
from application.server.sessions import PeerSession
from domain.packets.service import PONG, ServicePacketType, type_of_untrusted
from domain.rekey.effects import Effect
from domain.session.identifiers import Epoch
from domain.session.opened import OpenedParcels


def attend(
    session: PeerSession, opened: OpenedParcels, highest_epoch: Epoch, now_s: float, entropy: Entropy
) -> None:
    """Advance the session's rekey, answer the service packets in order, and report losses when that is due.

    Unknown and unexpected types are consumed without an answer (protocol specification 4.1).
    """
    _carry_out(session, session.rekey.observe(highest_epoch))
    for epoch, plaintext in opened.service:
        match type_of_untrusted(plaintext):
            case ServicePacketType.PING:
                session.egress.send_batch(session.crypto.seal([PONG]))
            case ServicePacketType.PONG:
                pass  # an answer to nothing: servers do not ping
            case _:
                _carry_out(session, session.rekey.receive(epoch, plaintext, entropy.random_bytes))
    report_losses(session.crypto, session.egress, now_s)


def _carry_out(session: PeerSession, effects: list[Effect]) -> None:
    # The session goes on with its old keys until the client, who was told, leaves it (specification 4.3).
    with suppress(RekeyEndedError):
        carry_out(effects, session.crypto, session.egress)
