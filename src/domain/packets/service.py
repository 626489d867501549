"""Service packets: the plaintexts that are control messages and not IP packets (specification 4.1).

::

    bytes   field
    0       FF       no IP packet starts with it
    1       01       version
    2       type     one of ServicePacketType, or a number that only a newer peer knows
    3..     body     see BODY_BYTES

Receiving is August's rule: FF 01 and a third byte make a service packet, whatever the type and the length.
(March's rule, which also wants the exact length, only decides what a March peer does with what we send; we
send exact lengths, which satisfy both.)

Numbers from 80 up are our own extension, and only go to a peer that has agreed to aggregated frames.

Errors::

    MalformedServicePacketError   a service packet whose type or length is not the one expected
"""

from enum import IntEnum
from struct import Struct
from typing import Final


class ServicePacketType(IntEnum):
    """The third byte of a service packet."""

    UNKNOWN = 0
    RESERVED = 1  # once a session reset; never sent
    REKEY_INIT_V1 = 2
    REKEY_ACK_V1 = 3
    PING = 4
    PONG = 5
    EPOCH_EXHAUSTED = 6
    REKEY_INIT_V2 = 7
    REKEY_ACK_V2 = 8
    LOSS_REPORT = 0x80


# The protocol's (specification 4.1, 5.2).
SERVICE_PREFIX: Final = b"\xff\x01"
SERVICE_HEADER_BYTES: Final = len(SERVICE_PREFIX) + 1
BODY_BYTES: Final = {
    ServicePacketType.REKEY_INIT_V1: 32,  # X25519 public key
    ServicePacketType.REKEY_ACK_V1: 32,  # X25519 public key
    ServicePacketType.PING: 0,
    ServicePacketType.PONG: 0,
    ServicePacketType.EPOCH_EXHAUSTED: 0,
    ServicePacketType.REKEY_INIT_V2: 96,  # Noise IK message 1
    ServicePacketType.REKEY_ACK_V2: 48,  # Noise IK message 2
    ServicePacketType.LOSS_REPORT: 8,  # datagrams received, datagrams missing
}

_LOSS: Final = Struct(">II")  # received, missing (aggregation 4)
_MOST_LOSS: Final = (1 << 32) - 1

_TYPES: Final[dict[int, ServicePacketType]] = {each.value: each for each in ServicePacketType}


class MalformedServicePacketError(Exception):
    """A service packet is not what its receiver expects; it is to be ignored."""

    def __init__(self, expected: ServicePacketType, size: int) -> None:
        super().__init__(f"these {size} bytes are no {expected.name}")
        self.expected = expected
        self.size = size


def _packet(packet_type: ServicePacketType, body: bytes = b"") -> bytes:
    if len(body) != BODY_BYTES[packet_type]:
        raise ValueError(f"{packet_type.name} has a body of {BODY_BYTES[packet_type]} bytes, not {len(body)}")
    return SERVICE_PREFIX + bytes((packet_type,)) + body


PING: Final = _packet(ServicePacketType.PING)
PONG: Final = _packet(ServicePacketType.PONG)
EPOCH_EXHAUSTED: Final = _packet(ServicePacketType.EPOCH_EXHAUSTED)


def rekey_init_v1(public_key: bytes) -> bytes:
    """The client's offer of an ephemeral X25519 key. Raises ValueError unless it has 32 bytes."""
    return _packet(ServicePacketType.REKEY_INIT_V1, public_key)


def rekey_ack_v1(public_key: bytes) -> bytes:
    """The server's ephemeral X25519 key in answer. Raises ValueError unless it has 32 bytes."""
    return _packet(ServicePacketType.REKEY_ACK_V1, public_key)


def rekey_init_v2(noise_message_1: bytes) -> bytes:
    """The client's first Noise IK message. Raises ValueError unless it has 96 bytes: no payload."""
    return _packet(ServicePacketType.REKEY_INIT_V2, noise_message_1)


def rekey_ack_v2(noise_message_2: bytes) -> bytes:
    """The server's second Noise IK message. Raises ValueError unless it has 48 bytes: no payload."""
    return _packet(ServicePacketType.REKEY_ACK_V2, noise_message_2)


def loss_report(received: int, missing: int) -> bytes:
    """How many datagrams arrived and how many did not; what exceeds 32 bits is cut down to them."""
    return _packet(
        ServicePacketType.LOSS_REPORT, _LOSS.pack(min(received, _MOST_LOSS), min(missing, _MOST_LOSS))
    )


def type_of_untrusted(plaintext: bytes) -> int | None:
    """The type of a service packet; None if this is none.

    A ServicePacketType wherever there is one. Any other number is a type that only a newer peer knows: such
    a packet is consumed and ignored, never passed on as an IP packet. Nothing is known about the length
    of the body.
    """
    if len(plaintext) < SERVICE_HEADER_BYTES or not plaintext.startswith(SERVICE_PREFIX):
        return None
    number = plaintext[SERVICE_HEADER_BYTES - 1]
    return _TYPES.get(number, number)


def body_of_untrusted(plaintext: bytes, expected: ServicePacketType) -> bytes:
    """The body of a service packet of the ``expected`` type, with exactly the length that this type has.

    Raises MalformedServicePacketError for anything else; ``expected`` must be a type that has a known length.
    """
    size = len(plaintext)
    if type_of_untrusted(plaintext) != expected or size != SERVICE_HEADER_BYTES + BODY_BYTES[expected]:
        raise MalformedServicePacketError(expected, size)
    return plaintext[SERVICE_HEADER_BYTES:]


def loss_of_untrusted(plaintext: bytes) -> tuple[int, int]:
    """Received and missing out of a loss report. Raises MalformedServicePacketError if it is none."""
    received, missing = _LOSS.unpack(body_of_untrusted(plaintext, ServicePacketType.LOSS_REPORT))
    return received, missing
