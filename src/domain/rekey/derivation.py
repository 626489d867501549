"""From an init and an ack to the keys of the next epoch (specification 5.3, 5.4).

Version 1 is one X25519 exchange, and the current keys are the salt with which its result is stretched: they
go into the next ones. Version 2 is a whole Noise IK handshake inside the session, and its keys come from that
alone; the current keys are in its prologue, so that neither message opens at an end that holds others.

An init is answered once and an ack used once; what happens to repeated ones is the machines' part.
"""

import hashlib
from dataclasses import dataclass, field
from typing import Final, Protocol

from domain.noise.errors import NoiseError
from domain.noise.ik import InitiatorHandshake, ResponderHandshake
from domain.noise.keys import EpochKeys, KeyPair
from domain.noise.primitives import KEY_BYTES, LowOrderPointError, Primitives, RandomBytes
from domain.noise.symmetric import hkdf
from domain.packets.service import rekey_ack_v1, rekey_ack_v2, rekey_init_v1, rekey_init_v2
from domain.rekey.rules import RekeyError, RekeyVersion

# The protocol's (specification 5.3, 5.4). No terminators.
_V1_CLIENT_TO_SERVER_INFO: Final = b"tungo-rekey-c2s"
_V1_SERVER_TO_CLIENT_INFO: Final = b"tungo-rekey-s2c"
_V2_PROLOGUE_LABEL: Final = b"tungo-rekey-v2"


class RekeyRefusedError(RekeyError):
    """A peer's init or ack, of the right type and length, yields no keys."""


def v1_keys(
    primitives: Primitives, current: EpochKeys, own_private: bytes, peer_public_untrusted: bytes
) -> EpochKeys:
    """The next keys of version 1; ``current`` are those of the last activated epoch.

    Raises RekeyRefusedError if the peer's key is a point of low order.
    """
    try:
        shared = primitives.agree(own_private, peer_public_untrusted)
    except LowOrderPointError as exc:
        raise RekeyRefusedError("the peer's public key is a point of low order") from exc
    return EpochKeys(
        client_to_server=hkdf(
            salt=current.client_to_server, key_material=shared, info=_V1_CLIENT_TO_SERVER_INFO, size=KEY_BYTES
        ),
        server_to_client=hkdf(
            salt=current.server_to_client, key_material=shared, info=_V1_SERVER_TO_CLIENT_INFO, size=KEY_BYTES
        ),
    )


def v2_prologue(current: EpochKeys) -> bytes:
    """The 32 bytes that both ends of a version 2 handshake must share: a hash of their current keys."""
    return hashlib.sha256(_V2_PROLOGUE_LABEL + current.client_to_server + current.server_to_client).digest()


class Offer(Protocol):
    """A client's half of an exchange: what to send, and the secret to read the answer with."""

    @property
    def init(self) -> bytes:
        """The init, a whole service packet; every repetition sends these very bytes."""
        ...

    def keys_from(self, ack_body_untrusted: bytes) -> EpochKeys:
        """The next keys. Raises RekeyRefusedError; the offer stands as before and may be answered again."""
        ...


class OfferV1:
    """An ephemeral X25519 key, offered under ``current`` keys."""

    __slots__ = ("_current", "_ephemeral", "_primitives", "init")

    def __init__(self, primitives: Primitives, current: EpochKeys, ephemeral_private: bytes) -> None:
        self._primitives = primitives
        self._current = current
        self._ephemeral = KeyPair.from_private(primitives, ephemeral_private)
        self.init = rekey_init_v1(self._ephemeral.public)

    def keys_from(self, ack_body_untrusted: bytes) -> EpochKeys:
        """The next keys; ``ack_body_untrusted`` is the server's public key, 32 bytes."""
        return v1_keys(self._primitives, self._current, self._ephemeral.private, ack_body_untrusted)


class OfferV2:
    """The first message of a handshake between the static keys of the session."""

    __slots__ = ("_handshake", "init")

    def __init__(
        self,
        primitives: Primitives,
        current: EpochKeys,
        static: KeyPair,
        server_public: bytes,
        ephemeral_private: bytes,
    ) -> None:
        self._handshake = InitiatorHandshake(
            primitives, static, server_public, ephemeral_private, prologue=v2_prologue(current)
        )
        self.init = rekey_init_v2(self._handshake.message1)

    def keys_from(self, ack_body_untrusted: bytes) -> EpochKeys:
        """The next keys; ``ack_body_untrusted`` is a Noise message 2 without payload, 48 bytes."""
        try:
            return self._handshake.read_message2(ack_body_untrusted).keys
        except NoiseError as exc:
            raise RekeyRefusedError("the ack does not open") from exc


@dataclass(frozen=True, slots=True)
class Grant:
    """A server's half of an exchange: the ack to send, a whole service packet, and the next keys."""

    ack: bytes = field(repr=False)
    keys: EpochKeys


def grant(
    primitives: Primitives,
    current: EpochKeys,
    init_body_untrusted: bytes,
    entropy: RandomBytes,
    *,
    version: RekeyVersion,
    static: KeyPair,
    client_public: bytes,
) -> Grant:
    """Answer an init whose body has the length of its version.

    ``static`` is the server's own key pair, ``client_public`` the static key that the session was opened
    with; only version 2 looks at them. Raises RekeyRefusedError, also when the init is another client's.
    """
    match version:
        case RekeyVersion.V1:
            ephemeral = KeyPair.from_private(primitives, entropy(KEY_BYTES))
            keys = v1_keys(primitives, current, ephemeral.private, init_body_untrusted)
            return Grant(rekey_ack_v1(ephemeral.public), keys)
        case RekeyVersion.V2:
            responder = ResponderHandshake(primitives, static, prologue=v2_prologue(current))
            try:
                initiation = responder.read_message1(init_body_untrusted)
                if initiation.peer_public != client_public:
                    raise RekeyRefusedError("the init was made with another client's key")
                response = initiation.respond(entropy(KEY_BYTES))
            except NoiseError as exc:
                raise RekeyRefusedError("the init does not open") from exc
            return Grant(rekey_ack_v2(response.message2), response.result.keys)
