"""Where datagrams of strangers wait until somebody looks at them."""

from collections.abc import Sequence
from typing import Protocol

from application.network.udp.packet import Packet


class Registration(Protocol):
    """Takes datagrams with an unknown route id to the registrar, in doses that leave time for the peers."""

    @property
    def pending(self) -> bool:
        """Whether ``work`` has something to do."""
        ...

    def submit(self, packets: Sequence[Packet]) -> None:
        """Remember datagrams that belong to no session; whole ones only, the caller has sorted out the rest.

        What it keeps it copies: the buffers may be reused when the call returns. What exceeds its bounds is
        dropped and counted.
        """
        ...

    def work(self) -> None:
        """Hand waiting datagrams to the registrar, for a bounded time."""
        ...
