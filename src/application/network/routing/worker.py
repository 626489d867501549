"""A tunnel's work, free of any event loop: what to do when something is readable or a timer is due."""

from typing import Final, Protocol

from application.network.connection.handshake import Established
from application.network.routing.tun import TunDevice

# Ours: how many batches one call may move before the other descriptor has its turn. Two keep a saturated
# direction busy and the other one's delay below a millisecond.
BATCHES_PER_WAKEUP: Final = 2


class SessionEndedError(Exception):
    """The tunnel cannot go on; the text says why. A client reconnects."""


class Worker(Protocol):
    """Forwards packets between a TUN device and a transport.

    Each call does a bounded amount of work and returns, so that no descriptor starves another.
    """

    def tun_fileno(self) -> int:
        """The descriptor whose readability calls for ``handle_tun``."""
        ...

    def transport_fileno(self) -> int:
        """The descriptor whose readability calls for ``handle_transport``."""
        ...

    def handle_tun(self) -> None:
        """The TUN device is readable: forward what is there.

        Brings no deadline closer, save for a doubt about the path: the next timer is soon enough for that.
        Raises SessionEndedError, TunClosedError.
        """
        ...

    def handle_transport(self) -> None:
        """The transport is readable: forward what is there. Raises SessionEndedError, TunClosedError."""
        ...

    def handle_timer(self) -> None:
        """``next_deadline_s`` has come. Raises SessionEndedError."""
        ...

    def next_deadline_s(self) -> float | None:
        """When ``handle_timer`` is due, on the monotonic clock; None if no timer is running."""
        ...


class ProbingWorker(Worker, Protocol):
    """A worker that can be told to look whether the other end is still there."""

    def probe(self) -> None:
        """The network has changed: ask the other end at once. Raises SessionEndedError.

        If it stays silent, the session ends within two seconds rather than after the usual time-out.
        """
        ...


class ClientWorkerFactory(Protocol):
    """Puts a client's worker together on this platform."""

    def create(self, established: Established, tun: TunDevice) -> ProbingWorker:
        """A worker for one session; closing ``tun`` and the transport stays with the caller."""
        ...
