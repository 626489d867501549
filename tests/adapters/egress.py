"""A way out that remembers what went out."""

from collections.abc import Sequence

from application.network.connection.egress import RoamingEgress
from domain.addressing.endpoint import Endpoint
from domain.noise.primitives import Buffer


class RecordingEgress:
    """Takes every frame until it is closed; ``sent`` holds (endpoint at that moment, frame)."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self.sent: list[tuple[Endpoint, bytes]] = []
        self.closed = False

    def send_batch(self, frames: Sequence[Buffer]) -> int:
        if self.closed:
            return 0
        self.sent += [(self.endpoint, bytes(frame)) for frame in frames]
        return len(frames)

    def close(self) -> None:
        self.closed = True


_: type[RoamingEgress] = RecordingEgress
