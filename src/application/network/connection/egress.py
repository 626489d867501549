"""The way out to one peer, whatever carries it."""

from collections.abc import Sequence
from typing import Protocol

from domain.addressing.endpoint import Endpoint
from domain.noise.primitives import Buffer


class Egress(Protocol):
    """Sends sealed frames to one peer.

    Errors never reach the data plane from here: a frame that cannot be sent is dropped and counted, as on
    a congested link, and whether the peer is still there is for the liveness timers to find out.
    """

    def send_batch(self, frames: Sequence[Buffer]) -> int:
        """Send all ``frames`` in order; returns how many were taken. Never blocks.

        The caller may reuse the buffers when the call returns.
        """
        ...

    def close(self) -> None:
        """Give up what belongs to this peer alone (a stream's connection; nothing for UDP)."""
        ...


class RoamingEgress(Egress, Protocol):
    """The way out to a peer whose address may change in the middle of a session (datagrams).

    Setting ``endpoint`` sends everything after it there.
    """

    endpoint: Endpoint
