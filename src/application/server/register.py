"""From message 1 to an indexed session (protocol specification 1.8, 2.5)."""

from collections.abc import Callable
from enum import Enum, auto

from application.network.connection.crypto import ParcelCrypto
from application.network.connection.egress import PeerEgress
from application.network.routing.counters import TunnelCounters
from application.runtime.clock import Clock
from application.runtime.entropy import Entropy
from application.server.sessions import PeerSession, SessionRepository
from domain.addressing.tunnel import AddressingError, client_addresses
from domain.noise.keys import EpochKeys, SessionId
from domain.noise.server import Accepted, Challenge, HandshakeRejectedError, ServerHandshake
from domain.rekey.server import ServerRekey
from domain.session.identifiers import aggregated_route_id_of, route_id_of
from domain.settings.profile import TransportProfile


class Verdict(Enum):
    """What became of a first handshake message that made no session."""

    REFUSED = auto()  # the sender hears nothing
    CHALLENGED = auto()  # the sender was asked for a cookie


class Registrar:
    """Answers handshakes of one listener and registers who is allowed in.

    ``crypto_for`` makes the session's frames, aggregated ones if so agreed, and ``rekey_for`` its rekey
    machine, both for the listener's kind of transport.
    """

    def __init__(
        self,
        *,
        profile: TransportProfile,
        handshake: ServerHandshake,
        sessions: SessionRepository,
        crypto_for: Callable[[SessionId, EpochKeys, bool], ParcelCrypto],
        rekey_for: Callable[[Accepted], ServerRekey],
        entropy: Entropy,
        clock: Clock,
        counters: TunnelCounters,
    ) -> None:
        self._profile = profile
        self._handshake = handshake
        self._sessions = sessions
        self._crypto_for = crypto_for
        self._rekey_for = rekey_for
        self._entropy = entropy
        self._clock = clock
        self._counters = counters

    def register(self, message_untrusted: bytes, egress: PeerEgress) -> PeerSession | Verdict:
        """Handle what may be a first handshake message, come from ``egress.endpoint``.

        Returns the new session, message 2 sent and the session indexed, or why there is none. Whatever
        is not an acceptable message 1 meets silence and a counter: strangers learn nothing.
        """
        now_s = self._clock.monotonic_s()
        try:
            outcome = self._handshake.respond(
                message_untrusted,
                source_host=egress.endpoint.host,
                now_s=now_s,
                unix_s=self._clock.unix_s(),
                entropy=self._entropy.random_bytes,
            )
        except HandshakeRejectedError:
            self._counters.handshakes_refused += 1
            return Verdict.REFUSED
        match outcome:
            case Challenge():
                self._counters.handshakes_challenged += 1
                egress.send_message(outcome.reply)
                return Verdict.CHALLENGED
            case Accepted():
                return self._admit(outcome, egress, now_s)

    def _admit(self, accepted: Accepted, egress: PeerEgress, now_s: float) -> PeerSession | Verdict:
        peer = accepted.peer
        try:
            addresses = client_addresses(self._profile.ipv4_subnet, self._profile.ipv6_subnet, peer.client_id)
        except AddressingError:
            self._counters.handshakes_refused += 1
            return Verdict.REFUSED
        session = PeerSession(
            peer=peer,
            route_id=route_id_of(accepted.session_id),
            frames_route_id=aggregated_route_id_of(accepted.session_id) if accepted.aggregated else None,
            addresses=addresses,
            crypto=self._crypto_for(accepted.session_id, accepted.keys, accepted.aggregated),
            egress=egress,
            rekey=self._rekey_for(accepted),
            now_s=now_s,
        )
        self._counters.handshakes_accepted += 1
        egress.send_message(accepted.message2)
        self._sessions.add(session)
        return session
