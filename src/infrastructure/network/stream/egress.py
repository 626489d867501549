"""Frames on their way into a connection."""

from collections.abc import Sequence
from typing import Protocol

from application.network.connection.egress import PeerEgress
from domain.addressing.endpoint import Endpoint
from domain.noise.primitives import Buffer
from domain.session.framing import framed
from domain.session.runs import SealedRun, frames_in


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

    def send_runs(self, runs: Sequence[SealedRun]) -> int:
        return self._write([frames for frames, _ in runs], frames_in(runs))

    def send_batch(self, frames: Sequence[Buffer]) -> int:
        return self._write(frames, len(frames))

    def send_message(self, message: bytes) -> None:
        self.send_batch((framed(message),))

    def close(self) -> None:
        self._outlet.close()

    def _write(self, pieces: Sequence[Buffer], frames: int) -> int:
        if not pieces:
            return 0
        if self._outlet.write(pieces[0] if len(pieces) == 1 else b"".join(pieces)):
            return frames
        self.dropped += frames
        return 0


_: type[PeerEgress] = StreamEgress
