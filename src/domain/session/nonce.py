"""Counters, nonces and additional data: what makes every frame of a session unique (specification 2.1).

A datagram starts with 20 bytes in clear, of which the last 12 are the nonce of the AEAD::

    bytes    field
    0..7     route id       the first 8 bytes of the session id
    8..15    counter low    u64 BE, the low 64 bits of an 80-bit counter
    16..17   counter high   u16 BE, its high 16 bits
    18..19   epoch          u16 BE

Low before high: the counter is not one big-endian number of 80 bits. A stream sends none of it but the epoch;
both its ends count along and build the same nonce.

Counter high tells two kinds of datagrams apart where both ends have agreed on aggregated frames: ordinary
ones keep to 0, frames have 1 (``aggregated_datagrams.py``), and each kind counts its low half alone.

Errors of this folder::

    SessionError
    ├── NonceExhaustedError   an epoch has no counter left to seal with
    ├── EpochRefusedError     an epoch cannot be staged or activated (epochs.py)
    ├── FramingError          a byte stream holds no frames (framing.py)
    └── StreamBrokenError     a frame of a stream cannot be opened, so that no later one can (stream.py)
"""

from struct import Struct
from typing import Final

from domain.noise.keys import Role, SessionId
from domain.noise.primitives import TAG_BYTES
from domain.session.identifiers import ROUTE_ID_BYTES, Epoch

# The protocol's (specification 2.1).
DATAGRAM_HEADER: Final = Struct(f">{ROUTE_ID_BYTES}sQHH")  # route id, counter low, counter high, epoch
NONCE: Final = Struct(">QHH")  # counter low, counter high, epoch
COUNTER_LOW_BITS: Final = 64
COUNTER_LOW_MASK: Final = (1 << COUNTER_LOW_BITS) - 1
DATAGRAM_OVERHEAD_BYTES: Final = DATAGRAM_HEADER.size + TAG_BYTES
LAST_COUNTER: Final = (1 << 80) - 1
LAST_COUNTER_HIGH: Final = LAST_COUNTER >> COUNTER_LOW_BITS

# Ours (aggregation 3).
ORDINARY_HIGH: Final = 0
AGGREGATED_HIGH: Final = 1


class SessionError(Exception):
    """A session cannot do what it was asked."""


class NonceExhaustedError(SessionError):
    """The epoch has no counter left: one more frame would repeat a nonce, which gives the keystream away."""

    def __init__(self, epoch: Epoch) -> None:
        super().__init__(f"epoch {epoch} has no counter left")
        self.epoch = epoch


class SendCounter:
    """The 80-bit counter of one epoch and direction; the first frame has counter 1.

    ``last`` is the counter that was used last, 0 for none; ``end`` is the last one that may ever be used.
    """

    __slots__ = ("_end", "_epoch", "_last")

    def __init__(self, epoch: Epoch, last: int = 0, end: int = LAST_COUNTER) -> None:
        self._epoch = epoch
        self._last = last
        self._end = end

    def reserve(self, frames: int) -> int:
        """Take the next ``frames`` counters for good; returns the one before the first of them.

        All or nothing: raises NonceExhaustedError, and takes none, if fewer are left. A caller that fails
        half-way must not hand them back: a counter skipped is harmless, a counter used twice is not.
        """
        before = self._last
        if before + frames > self._end:
            raise NonceExhaustedError(self._epoch)
        self._last = before + frames
        return before


def associated_data_prefix(session_id: SessionId, sender: Role) -> bytes:
    """The 48 bytes of additional data that never change: session id ‖ direction. The nonce follows them."""
    return session_id + sender.value
