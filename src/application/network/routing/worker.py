"""A tunnel's work, free of any event loop: what to do when something is readable or a timer is due."""

from typing import Protocol


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
        """The TUN device is readable: forward what is there. Raises SessionEndedError, TunClosedError."""
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
