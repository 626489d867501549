"""The caller-owned buffer that a datagram, or a run of them, is read into."""

from enum import IntFlag
from typing import Protocol

from domain.addressing.endpoint import Endpoint


class PacketFlags(IntFlag):
    """What the reader noticed about what it has read."""

    NONE = 0
    TRUNCATED = 1  # longer than the buffer: what is in it is only a beginning, never to be handed on


class Packet(Protocol):
    """One place in a batch: for a datagram, or for several of one sender that the kernel has joined.

    Joined datagrams stand back to back; all have ``segment_bytes`` but the last, which may be shorter. The
    owner allocates it once, with a non-empty ``data``, and keeps it; a read fills it and overwrites what the
    previous read left. Whoever needs the bytes beyond the next read copies them.
    """

    data: bytearray  # preallocated by the owner; its length is what can be received at once
    view: memoryview  # a view of the whole of ``data``, made once, so that slices cost no copy
    length: int  # bytes of ``data`` in use after a read
    segment_bytes: int  # the length of each datagram in them; ``length`` if there is one
    endpoint: Endpoint  # the source after a read
    flags: int  # PacketFlags, as a plain int
