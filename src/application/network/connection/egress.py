"""The way out to one peer, whatever carries it."""

from collections.abc import Sequence
from typing import Protocol

from domain.addressing.endpoint import Endpoint
from domain.noise.primitives import Buffer
from domain.session.runs import SealedRun


class Egress(Protocol):
    """Sends sealed frames to one peer.

    Ask ``has_room`` before sealing: a frame of a stream that is sealed must be sent, because its counter is
    implied by its place.

    Errors never reach the data plane from here: a frame that cannot be sent is dropped and counted, as on
    a congested link, and whether the peer is still there is for the liveness timers to find out.
    """

    @property
    def has_room(self) -> bool:
        """Whether a batch of packets sealed now would be taken. If not, the packets are to be dropped.

        Service packets may be sent all the same. Always true for datagrams, whose losses cost nothing else.
        """
        ...

    def send_runs(self, runs: Sequence[SealedRun]) -> int:
        """Send the frames of all ``runs`` in order; returns how many frames were taken. Never blocks.

        The caller may reuse the buffers when the call returns. A stream takes all or has ended.
        """
        ...

    def send_batch(self, frames: Sequence[Buffer]) -> int:
        """The same for frames one by one: those of service packets, which come in ones and twos."""
        ...

    def send_message(self, message: bytes) -> None:
        """Send one handshake message, framed as the transport has it. Never blocks."""
        ...

    def close(self) -> None:
        """Give up what belongs to this peer alone (a stream's connection; nothing for UDP)."""
        ...


class PeerEgress(Egress, Protocol):
    """The way out to one of a server's peers.

    ``endpoint`` is where the peer is. Over datagrams it may change in the middle of a session, and
    setting it sends everything after it there; nobody sets that of a stream.
    """

    endpoint: Endpoint
