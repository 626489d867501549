"""The server's side of the handshake: one message in, one verdict out.

Protocol specification 1.8, steps 1 to 9.

Laws

- The checks stand in order of cost, cheapest first; an X25519 agreement is spent only on a message with a
  valid MAC1, and under load only on one that also returns a cookie.
- A refusal has a reason for our counters; the peer hears the same silence whatever it was.
- Nothing is remembered about a peer, only which messages were accepted: a repeated one is refused. That
  only one cookie round is granted per connection or registration, and that a session replaces an older one
  only when its first authenticated frame arrives, is the listener's part.
"""

from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from domain.addressing.peers import AccessList, Peer
from domain.noise.cookie import COOKIE_NONCE_BYTES, CookieJar, seal_cookie_reply
from domain.noise.errors import (
    HandshakeError,
    HandshakeRejectedError,
    MacMismatchError,
    NoiseError,
    RejectionReason,
)
from domain.noise.ik import Initiation, ResponderHandshake
from domain.noise.keys import KeyPair
from domain.noise.load import COOKIE_REPLIES_PER_S, LoadMonitor, TokenBucket
from domain.noise.mac import mac1_key, verify_mac1
from domain.noise.message import (
    DEFAULT_CAPABILITIES,
    Agreed,
    Capability,
    Message1,
    encode_capabilities,
    parse_message1_untrusted,
    select_capabilities,
)
from domain.noise.primitives import KEY_BYTES, Buffer, Primitives, RandomBytes
from domain.noise.replayed import AcceptedEphemerals

# The errors are part of what a caller of ``respond`` needs.
__all__ = [
    "Accepted",
    "Challenge",
    "HandshakeError",
    "HandshakeRejectedError",
    "RejectionReason",
    "ServerHandshake",
]


@dataclass(frozen=True, slots=True)
class Accepted(Agreed):
    """A welcome peer: send it ``message2``."""

    message2: bytes
    peer: Peer


@dataclass(frozen=True, slots=True)
class Challenge:
    """The server is under load: send ``reply``, and wait for a message 1 that returns the cookie."""

    reply: bytes


class ServerHandshake:
    """Answers every message 1 of one server process, whichever listener it came through.

    ``supported`` are the capabilities that may be selected; ``access_list`` may be replaced at any time.
    A process with several of these hands the same monitor and limit to each: load is the load of the process.
    """

    def __init__(
        self,
        primitives: Primitives,
        static: KeyPair,
        access_list: AccessList,
        cookie_jar: CookieJar,
        *,
        supported: AbstractSet[Capability] = DEFAULT_CAPABILITIES,
        load_monitor: LoadMonitor | None = None,
        cookie_reply_limit: TokenBucket | None = None,
    ) -> None:
        self._primitives = primitives
        self._server_public = static.public
        self._responder = ResponderHandshake(primitives, static)
        self._mac1_key = mac1_key(static.public)
        self._cookie_jar = cookie_jar
        self._supported = supported
        self._load_monitor = load_monitor or LoadMonitor()
        self._cookie_reply_limit = cookie_reply_limit or TokenBucket(
            COOKIE_REPLIES_PER_S, burst=COOKIE_REPLIES_PER_S
        )
        self._accepted = AcceptedEphemerals()
        self.access_list = access_list  # replaced as a whole when the configuration changes

    def respond(
        self,
        message_untrusted: Buffer,
        source_host: str,
        now_s: float,
        unix_s: int,
        entropy: RandomBytes,
    ) -> Accepted | Challenge:
        """Judge one message 1.

        ``source_host`` is the address literal it came from, ``now_s`` monotonic seconds for the load,
        ``unix_s`` wall clock seconds for the cookie. Raises HandshakeRejectedError: then nothing at all is
        sent.
        """
        message = parse_message1_untrusted(message_untrusted)
        try:
            verify_mac1(self._mac1_key, message.noise, message.mac1)
        except MacMismatchError as exc:
            raise HandshakeRejectedError(RejectionReason.BAD_MAC1) from exc
        self._load_monitor.record(now_s)
        if message.ephemeral_public in self._accepted:
            raise HandshakeRejectedError(RejectionReason.REPLAYED)
        if self._load_monitor.under_load:
            try:
                self._cookie_jar.verify(message, source_host, unix_s)
            except MacMismatchError:
                return self._challenge(message, source_host, now_s, unix_s, entropy)
        try:
            initiation = self._responder.read_message1(message.noise)
            accepted = self._accept(initiation, self._admit(initiation), entropy)
        except NoiseError as exc:
            raise HandshakeRejectedError(RejectionReason.FAILURE) from exc
        self._accepted.add(message.ephemeral_public)
        return accepted

    def _challenge(
        self, message: Message1, source_host: str, now_s: float, unix_s: int, entropy: RandomBytes
    ) -> Challenge:
        if not self._cookie_reply_limit.try_take(now_s):
            raise HandshakeRejectedError(RejectionReason.COOKIE_REPLY_LIMIT)
        return Challenge(
            seal_cookie_reply(
                self._primitives,
                self._server_public,
                message.ephemeral_public,
                self._cookie_jar.bake(source_host, unix_s),
                entropy(COOKIE_NONCE_BYTES),
            )
        )

    def _admit(self, initiation: Initiation) -> Peer:
        peer = self.access_list.find(initiation.peer_public)
        if peer is None:
            raise HandshakeRejectedError(RejectionReason.UNKNOWN_PEER)
        if not peer.enabled:
            raise HandshakeRejectedError(RejectionReason.PEER_DISABLED)
        return peer

    def _accept(self, initiation: Initiation, peer: Peer, entropy: RandomBytes) -> Accepted:
        capabilities = select_capabilities(initiation.payload, self._supported)
        response = initiation.respond(entropy(KEY_BYTES), encode_capabilities(capabilities))
        return Accepted(
            message2=response.message2,
            keys=response.result.keys,
            session_id=response.result.session_id,
            peer=peer,
            capabilities=capabilities,
        )
