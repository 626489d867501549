"""Frames on their way into a connection."""

from collections.abc import Sequence
from typing import Protocol

from application.network.connection.egress import PeerEgress
from domain.addressing.endpoint import Endpoint
from domain.noise.primitives import Buffer
from domain.session.framing import framed


class Outlet(Protocol):
    """The writing side of a connection."""

    @property
    def has_room(self) -> bool:
        """Whether a batch would be taken without growing what waits beyond measure."""
        ...

    def write(self, payload: Buffer) -> bool:
        """Send ``payload``, or let it wait; False if the connection is over or not open yet."""
        ...

    def close(self) -> None:
        """Close the connection; a second call does nothing."""
        ...


class StreamEgress:
    """The way to the peer at the other end of one connection.

    A batch is one write: one system call and, on WebSocket, few messages. Frames are dropped, and counted,
    only when the connection is over.
    """

    __slots__ = ("_outlet", "dropped", "endpoint")

    def __init__(self, outlet: Outlet, endpoint: Endpoint) -> None:
        self._outlet = outlet
        self.endpoint = endpoint
        self.dropped = 0

    @property
    def has_room(self) -> bool:
        return self._outlet.has_room

    def send_batch(self, frames: Sequence[Buffer]) -> int:
        if not frames:
            return 0
        if self._outlet.write(frames[0] if len(frames) == 1 else b"".join(frames)):
            return len(frames)
        self.dropped += len(frames)
        return 0

    def send_message(self, message: bytes) -> None:
        self.send_batch((framed(message),))

    def close(self) -> None:
        self._outlet.close()


_: type[PeerEgress] = StreamEgress
