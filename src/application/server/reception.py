"""What comes in at one listener: frames of sessions, and strangers who want one."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol

from application.network.routing.tun import TunDevice
from application.network.routing.worker import Worker
from application.server.sessions import PeerSession
from domain.addressing.endpoint import Endpoint
from domain.session.runs import ReceivedRun


class Arrival(NamedTuple):
    """Frames of one session, not authenticated yet, in order of arrival."""

    session: PeerSession
    runs: Sequence[ReceivedRun]
    sources: Sequence[Endpoint]
    """Where each of the runs came from; empty for a stream, which has one end for all its life."""


class Reception(Protocol):
    """A listener with everybody who talks to it.

    Strangers' handshakes are answered in here, in doses that leave time for the peers. Each call does a
    bounded amount of work and never blocks.
    """

    @property
    def local_endpoint(self) -> Endpoint:
        """The address and port that clients reach."""
        ...

    def fileno(self) -> int:
        """The descriptor whose readability calls for ``receive``; -1 after close."""
        ...

    def receive(self) -> Iterator[Arrival]:
        """What has come. An arrival's runs are valid until the next one is taken: use them at once.

        Raises UdpError or TransportError if the listener itself has failed; what one peer does raises
        nothing.
        """
        ...

    def handle_timer(self, now_s: float) -> None:
        """``next_deadline_s`` has come: go on with the strangers, give up those who take too long."""
        ...

    def next_deadline_s(self) -> float:
        """When ``handle_timer`` is due, on the monotonic clock; infinity if nobody waits for anything."""
        ...

    def close(self) -> None:
        """Stop listening and let everybody go; a second call does nothing."""
        ...


class ServerWorkerFactory(Protocol):
    """Puts a server's worker together on this platform."""

    def create(self, reception: Reception, tun: TunDevice) -> Worker:
        """A worker for all sessions of ``reception``; closing both stays with the caller."""
        ...
