"""A way out that remembers what went out."""

from collections.abc import Sequence

from application.network.connection.egress import PeerEgress
from domain.addressing.endpoint import Endpoint
from domain.noise.primitives import Buffer
from domain.session.runs import SealedRun, cut


class RecordingEgress:
    """Takes everything until it is closed.

    ``sent`` holds (endpoint at that moment, frame), and handshake messages as they are, without a frame
    around them. ``has_room`` is for tests to set.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self.sent: list[tuple[Endpoint, bytes]] = []
        self.has_room = True
        self.closed = False

    def send_runs(self, runs: Sequence[SealedRun]) -> int:
        return self._send([frame for run in runs for frame in cut(run)])

    def send_batch(self, frames: Sequence[Buffer]) -> int:
        return self._send(frames)

    def _send(self, frames: Sequence[Buffer]) -> int:
        if self.closed:
            return 0
        self.sent += [(self.endpoint, bytes(frame)) for frame in frames]
        return len(frames)

    def send_message(self, message: bytes) -> None:
        self.send_batch([message])

    def close(self) -> None:
        self.closed = True


_: type[PeerEgress] = RecordingEgress
