"""A bound UDP socket, as the application sees it.

Errors::

    UdpError                 the socket failed; the text names the endpoint and the reason
    ├── UdpBindError         the endpoint cannot be bound (in use, no such address)
    │   └── UdpBindForbiddenError    this process may not (also a MissingRightsError)
    └── UdpClosedError       used after close()
"""

from typing import Protocol

from application.network.udp.batch import BatchEgress, BatchIngress
from application.network.udp.packet import Packet
from application.runtime.rights import MissingRightsError
from domain.addressing.endpoint import Endpoint
from domain.noise.primitives import Buffer


class UdpError(Exception):
    """A UDP socket failed."""


class UdpBindError(UdpError):
    """The endpoint cannot be bound."""


class UdpBindForbiddenError(UdpBindError, MissingRightsError):
    """This process lacks the right to bind the endpoint."""


class UdpClosedError(UdpError):
    """The socket was used after it had been closed."""


class UdpReader(Protocol):
    """Reads single datagrams: for the control plane. The data plane uses BatchIngress."""

    def read_from(self, packet: Packet) -> bool:
        """Fill ``packet`` with the next datagram; False if none is there. Never blocks.

        A datagram longer than ``packet.data`` sets PacketFlags.TRUNCATED. Raises ValueError if
        ``packet.data`` is empty, UdpError if the socket failed, UdpClosedError after close.
        """
        ...


class UdpWriter(Protocol):
    """Writes single datagrams: for the control plane. The data plane uses BatchEgress."""

    def write_to(self, datagram: Buffer, endpoint: Endpoint) -> bool:
        """Send one datagram; False if the kernel had no room for it (it is dropped). Never blocks.

        Raises UdpError if the socket failed, UdpClosedError after close.
        """
        ...


class UdpListener(UdpReader, UdpWriter, Protocol):
    """A bound, non-blocking UDP socket that many peers send to."""

    @property
    def local_endpoint(self) -> Endpoint:
        """The address and port that the socket is bound to."""
        ...

    def fileno(self) -> int:
        """The descriptor to watch for readability; -1 after close."""
        ...

    def batch_ingress(self) -> BatchIngress:
        """The batch reader of this socket. Reads through it and through ``read_from`` may be mixed."""
        ...

    def batch_egress(self) -> BatchEgress:
        """The batch writer of this socket."""
        ...

    def close(self) -> None:
        """Close the socket; a second call does nothing."""
        ...
