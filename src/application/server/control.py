"""A server's side of everything in a session that is not an IP packet."""

from contextlib import suppress

from application.network.connection.rekeying import RekeyEndedError, carry_out
from application.runtime.entropy import Entropy
from application.server.sessions import PeerSession
from domain.packets.service import PONG, ServicePacketType, type_of_untrusted
from domain.rekey.effects import Effect
from domain.session.identifiers import Epoch
from domain.session.opened import OpenedBatch


def attend(session: PeerSession, opened: OpenedBatch, highest_epoch: Epoch, entropy: Entropy) -> None:
    """Advance the session's rekey, and answer the service packets of an opened batch in order.

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


def _carry_out(session: PeerSession, effects: list[Effect]) -> None:
    # The session goes on with its old keys until the client, who was told, leaves it (specification 4.3).
    with suppress(RekeyEndedError):
        carry_out(effects, session.crypto, session.egress)
