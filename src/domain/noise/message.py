"""The first handshake message on the wire, the capabilities that the payloads name, and what comes of both.

Protocol specification 1.2 and 1.3. Message 2 has no wire form of its own: it is the bare Noise message.
"""

from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from domain.noise.errors import HandshakeRejectedError, RejectionReason, UnexpectedCapabilityError
from domain.noise.ik import EMPTY_MESSAGE1_BYTES
from domain.noise.keys import EpochKeys, SessionId
from domain.noise.mac import MAC_BYTES, PROTOCOL_VERSION
from domain.noise.primitives import KEY_BYTES, TAG_BYTES, Buffer

# Message 1:
#   offset  size  field
#   0       1     version = 01
#   1       n     Noise message: ephemeral public key first
#   1 + n   16    MAC1
#   17 + n  16    MAC2
_VERSION_BYTES: Final = 1
_MACS_BYTES: Final = 2 * MAC_BYTES

# The length gate leaves out the payload's tag (specification 1.3): what passes it and is still too short
# fails in Noise.
MINIMUM_MESSAGE1_BYTES: Final = _VERSION_BYTES + (EMPTY_MESSAGE1_BYTES - TAG_BYTES) + _MACS_BYTES

# Ours: a capability is one byte, so a message 1 that names each of the 256 once is the longest that makes
# sense. Receive buffers must hold it.
LARGEST_MESSAGE_BYTES: Final = _VERSION_BYTES + EMPTY_MESSAGE1_BYTES + 256 + _MACS_BYTES


class Capability(IntEnum):
    """What an end can do beyond the basic protocol, one byte each (specification 1.2).

    A payload must never reach 8 bytes: a message 2 of 56 bytes is taken for a cookie reply (specification
    1.4).
    """

    REKEY_V2 = 0x01
    AGGREGATION = 0x80  # ours, from the private range that the Go program leaves alone


# Ours: what every data plane of ours can do. Aggregation is named only by ends that have it.
DEFAULT_CAPABILITIES: Final = frozenset({Capability.REKEY_V2})


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreed:
    """What both ends have after a handshake: the keys of epoch 0, and what they can both do."""

    keys: EpochKeys
    session_id: SessionId
    capabilities: frozenset[Capability]

    @property
    def rekey_v2(self) -> bool:
        """Whether this session rekeys with version 2."""
        return Capability.REKEY_V2 in self.capabilities

    @property
    def aggregated(self) -> bool:
        """Whether both ends take aggregated frames."""
        return Capability.AGGREGATION in self.capabilities


@dataclass(frozen=True, slots=True)
class Message1:
    """Message 1 taken apart; nothing in it is verified."""

    noise: bytes
    mac1: bytes
    mac2: bytes

    @property
    def ephemeral_public(self) -> bytes:
        """The sender's ephemeral public key."""
        return self.noise[:KEY_BYTES]

    def encode(self) -> bytes:
        """The bytes on the wire."""
        return bytes([PROTOCOL_VERSION]) + self.noise + self.mac1 + self.mac2


def may_be_message1(first_byte: int, length: int) -> bool:
    """Whether a datagram passes the cheapest checks, which need no copy: the version byte and the length."""
    return first_byte == PROTOCOL_VERSION and MINIMUM_MESSAGE1_BYTES <= length <= LARGEST_MESSAGE_BYTES


def parse_message1_untrusted(message_untrusted: Buffer) -> Message1:
    """Take message 1 apart.

    Raises HandshakeRejectedError with TOO_SHORT, then BAD_VERSION: the two cheapest checks of a server.
    """
    if len(message_untrusted) < MINIMUM_MESSAGE1_BYTES:
        raise HandshakeRejectedError(RejectionReason.TOO_SHORT)
    if message_untrusted[0] != PROTOCOL_VERSION:
        raise HandshakeRejectedError(RejectionReason.BAD_VERSION)
    message = bytes(message_untrusted)
    return Message1(
        noise=message[_VERSION_BYTES:-_MACS_BYTES],
        mac1=message[-_MACS_BYTES:-MAC_BYTES],
        mac2=message[-MAC_BYTES:],
    )


def encode_capabilities(capabilities: AbstractSet[Capability]) -> bytes:
    """A payload, in ascending order."""
    return bytes(sorted(capabilities))


def select_capabilities(
    payload_untrusted: bytes, supported: AbstractSet[Capability]
) -> frozenset[Capability]:
    """The server's choice: what the client advertised and the server supports. Other bytes mean nothing."""
    return frozenset(capability for capability in supported if capability in payload_untrusted)


def accept_selection(payload_untrusted: bytes, advertised: AbstractSet[Capability]) -> frozenset[Capability]:
    """The client's reading of the server's choice.

    Raises UnexpectedCapabilityError when it holds any byte that was not advertised.
    """
    if any(byte not in advertised for byte in payload_untrusted):
        raise UnexpectedCapabilityError("the server selected a capability that was not advertised")
    return frozenset(map(Capability, payload_untrusted))
