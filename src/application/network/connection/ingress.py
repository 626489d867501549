"""The way in from one peer, whatever carries it."""

from collections.abc import Sequence
from typing import Protocol

from domain.noise.primitives import Buffer


class FrameIngress(Protocol):
    """Receives the frames of one session, a batch at a time."""

    def read_frames(self) -> Sequence[Buffer]:
        """The next frames that are there, in order of arrival; empty if there is none.

        A bounded batch; never blocks and never waits for a fuller one. The frames are views into the reader's
        own buffers, valid until the next call. Raises application.network.connection.transport.TransportError
        when the path is gone; datagrams that were dequeued before that are delivered first.
        """
        ...
