"""The caller-owned buffer that one datagram is read into."""

from enum import IntFlag
from typing import Protocol

from domain.addressing.endpoint import Endpoint


class PacketFlags(IntFlag):
    """What the reader noticed about a datagram."""

    NONE = 0
    TRUNCATED = 1  # longer than the buffer: what is in it is only a beginning, never to be handed on


class Packet(Protocol):
    """One datagram's place in a batch.

    The owner allocates it once, with a non-empty ``data``, and keeps it; a read fills it and overwrites what
    the previous read left. Whoever needs the bytes beyond the next read copies them.
    """

    data: bytearray  # preallocated by the owner; its length is the largest datagram that can be received
    view: memoryview  # a view of the whole of ``data``, made once, so that slices cost no copy
    length: int  # bytes of ``data`` in use after a read
    endpoint: Endpoint  # the source of the datagram after a read
    flags: int  # PacketFlags, as a plain int
