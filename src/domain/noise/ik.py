"""Noise IK: one round trip, the initiator knows the responder's static key beforehand.

::

    <- s
    ...
    -> e, es, s, ss     message 1
    <- e, ee, se        message 2

Protocol specification 1.1, 1.4 and 1.5; Noise Protocol Framework revision 34, section 7.5. The session
handshake has an empty prologue, rekey v2 (specification 5.4) a prologue and empty payloads.
"""

from dataclasses import dataclass
from typing import Final

from domain.noise.errors import NoiseError
from domain.noise.keys import EpochKeys, KeyPair, SessionId
from domain.noise.primitives import KEY_BYTES, TAG_BYTES, Buffer, Primitives
from domain.noise.symmetric import SymmetricState

# Message 1:
#   offset  size     field
#   0       32       ephemeral public key
#   32      32 + 16  static public key, sealed
#   80      n + 16   payload, sealed
_SEALED_PAYLOAD_OFFSET: Final = KEY_BYTES + KEY_BYTES + TAG_BYTES
EMPTY_MESSAGE1_BYTES: Final = _SEALED_PAYLOAD_OFFSET + TAG_BYTES

# Message 2:
#   offset  size     field
#   0       32       ephemeral public key
#   32      n + 16   payload, sealed
EMPTY_MESSAGE2_BYTES: Final = KEY_BYTES + TAG_BYTES


@dataclass(frozen=True, slots=True)
class HandshakeResult:
    """What one end holds after message 2; ``payload`` and ``peer_public`` are the other end's."""

    keys: EpochKeys
    session_id: SessionId
    payload: bytes
    peer_public: bytes


@dataclass(frozen=True, slots=True)
class Response:
    """The responder's half of a finished handshake: what to send and what it agreed to."""

    message2: bytes
    result: HandshakeResult


class InitiatorHandshake:
    """One attempt of the initiator: ``message1`` is ready, message 2 is awaited.

    ``ephemeral_private`` is 32 bytes of fresh entropy and must never serve two attempts. Raises NoiseError
    when ``responder_public`` is a point of low order.
    """

    __slots__ = ("_ephemeral", "_responder_public", "_static", "_symmetric", "message1")

    def __init__(
        self,
        primitives: Primitives,
        static: KeyPair,
        responder_public: bytes,
        ephemeral_private: bytes,
        *,
        payload: bytes = b"",
        prologue: bytes = b"",
    ) -> None:
        self._static = static
        self._responder_public = responder_public
        self._ephemeral = KeyPair.from_private(primitives, ephemeral_private)
        self._symmetric = _pre_message_state(primitives, responder_public, prologue)
        self.message1 = self._write_message1(payload)

    @property
    def ephemeral_public(self) -> bytes:
        """The first 32 bytes of ``message1``."""
        return self._ephemeral.public

    def _write_message1(self, payload: bytes) -> bytes:
        symmetric = self._symmetric
        symmetric.mix_hash(self._ephemeral.public)
        symmetric.mix_agreement(self._ephemeral.private, self._responder_public)
        sealed_static = symmetric.encrypt_and_hash(self._static.public)
        symmetric.mix_agreement(self._static.private, self._responder_public)
        return self._ephemeral.public + sealed_static + symmetric.encrypt_and_hash(payload)

    def read_message2(self, message_untrusted: Buffer) -> HandshakeResult:
        """Finish the handshake.

        Raises NoiseError if this is not the responder's answer to ``message1``. The attempt is then as it was
        before, so that a forgery does not spoil it for the genuine message.
        """
        if len(message_untrusted) < EMPTY_MESSAGE2_BYTES:
            raise NoiseError("message 2 is too short")
        message = bytes(message_untrusted)
        symmetric = self._symmetric.fork()
        responder_ephemeral = message[:KEY_BYTES]
        symmetric.mix_hash(responder_ephemeral)
        symmetric.mix_agreement(self._ephemeral.private, responder_ephemeral)
        symmetric.mix_agreement(self._static.private, responder_ephemeral)
        payload = symmetric.decrypt_and_hash(message[KEY_BYTES:])
        return _result(symmetric, payload, self._responder_public)


class ResponderHandshake:
    """The responder's end: one object answers any number of initiators and keeps nothing of them.

    What depends on the static key and the prologue alone is computed once, here.
    """

    __slots__ = ("_primitives", "_static", "_symmetric")

    def __init__(self, primitives: Primitives, static: KeyPair, *, prologue: bytes = b"") -> None:
        self._primitives = primitives
        self._static = static
        self._symmetric = _pre_message_state(primitives, static.public, prologue)

    def read_message1(self, message_untrusted: Buffer) -> "Initiation":
        """Open message 1: who speaks, and what it brings.

        It may be a replay: only the first datagram under the new keys proves that the initiator is alive.
        Raises NoiseError.
        """
        if len(message_untrusted) < EMPTY_MESSAGE1_BYTES:
            raise NoiseError("message 1 is too short")
        message = bytes(message_untrusted)
        symmetric = self._symmetric.fork()
        initiator_ephemeral = message[:KEY_BYTES]
        symmetric.mix_hash(initiator_ephemeral)
        symmetric.mix_agreement(self._static.private, initiator_ephemeral)
        initiator_public = symmetric.decrypt_and_hash(message[KEY_BYTES:_SEALED_PAYLOAD_OFFSET])
        symmetric.mix_agreement(self._static.private, initiator_public)
        payload = symmetric.decrypt_and_hash(message[_SEALED_PAYLOAD_OFFSET:])
        return Initiation(self._primitives, symmetric, initiator_ephemeral, initiator_public, payload)


class Initiation:
    """An opened message 1, not answered yet: the moment to decide whether its sender is welcome.

    ``peer_public`` is the initiator's static key and ``payload`` what it sent along.
    """

    __slots__ = ("_initiator_ephemeral", "_primitives", "_symmetric", "payload", "peer_public")

    def __init__(
        self,
        primitives: Primitives,
        symmetric: SymmetricState,
        initiator_ephemeral: bytes,
        peer_public: bytes,
        payload: bytes,
    ) -> None:
        self._primitives = primitives
        self._symmetric = symmetric
        self._initiator_ephemeral = initiator_ephemeral
        self.peer_public = peer_public
        self.payload = payload

    def respond(self, ephemeral_private: bytes, payload: bytes = b"") -> Response:
        """Message 2, and the session that it opens.

        ``ephemeral_private`` is 32 bytes of fresh entropy. Raises NoiseError when a key of the initiator is a
        point of low order.
        """
        symmetric = self._symmetric.fork()
        ephemeral = KeyPair.from_private(self._primitives, ephemeral_private)
        symmetric.mix_hash(ephemeral.public)
        symmetric.mix_agreement(ephemeral.private, self._initiator_ephemeral)
        symmetric.mix_agreement(ephemeral.private, self.peer_public)
        message2 = ephemeral.public + symmetric.encrypt_and_hash(payload)
        return Response(message2, _result(symmetric, self.payload, self.peer_public))


def _pre_message_state(primitives: Primitives, responder_public: bytes, prologue: bytes) -> SymmetricState:
    symmetric = SymmetricState(primitives)
    symmetric.mix_hash(prologue)
    symmetric.mix_hash(responder_public)
    return symmetric


def _result(symmetric: SymmetricState, payload: bytes, peer_public: bytes) -> HandshakeResult:
    return HandshakeResult(
        keys=EpochKeys(*symmetric.split()),
        session_id=SessionId(symmetric.handshake_hash),
        payload=payload,
        peer_public=peer_public,
    )
