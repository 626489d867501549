"""The way in from one peer, whatever carries it."""

from collections.abc import Sequence
from typing import Protocol

from domain.session.runs import ReceivedRun


class FrameIngress(Protocol):
    """Receives the frames of one session, a batch at a time."""

    def read_runs(self) -> Sequence[ReceivedRun]:
        """The next frames that are there, in order of arrival, in runs; empty if there is none.

        A frame of a stream is a run by itself; datagrams that the kernel has joined are one. A bounded batch;
        never blocks and never waits for a fuller one. The runs are views into the reader's own buffers,
        valid until the next call. Raises application.network.connection.transport.TransportError
        when the path is gone; datagrams that were dequeued before that are delivered first.
        """
        ...
