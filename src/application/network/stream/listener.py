"""Connections that carry TunGo frames one after another, as a server sees them (specification 3).

Errors::

    TransportError (connection/transport.py)   the listening socket failed, or one connection is over
    └── StreamBindError                        the endpoint cannot be bound (in use, unknown here)
        └── StreamBindForbiddenError           this process may not (also a MissingRightsError)
"""

from collections.abc import Sequence
from typing import Protocol

from application.network.connection.egress import PeerEgress
from application.network.connection.transport import TransportError
from application.runtime.rights import MissingRightsError
from domain.addressing.endpoint import Endpoint
from domain.noise.primitives import Buffer


class StreamBindError(TransportError):
    """The endpoint cannot be bound."""


class StreamBindForbiddenError(StreamBindError, MissingRightsError):
    """This process lacks the right to bind the endpoint."""


class StreamConnection(Protocol):
    """One accepted connection, from its first byte on; hashable by identity."""

    @property
    def endpoint(self) -> Endpoint:
        """Where the client is: the other end of the socket or, behind a trusted proxy, what the proxy says.

        It is final once ``read_frames`` has returned a frame.
        """
        ...

    @property
    def closed(self) -> bool:
        """Whether ``close`` was called, here or through the egress."""
        ...

    def read_frames(self) -> Sequence[Buffer]:
        """The next complete frames, without their lengths, in order; empty if there is none yet.

        One bounded read of what is there; never blocks. The opening handshakes of the layers below (TLS,
        HTTP) go on in here. The frames are views, valid until the next ``read_frames`` on any connection of
        the listener. Raises TransportError when the connection is over, whoever ended it; the text is the
        reason. Frames that came together with the violation that ended it are lost.
        """
        ...

    def take_long_frames(self) -> None:
        """Both ends have agreed on aggregated frames, which are longer than others."""
        ...

    def egress(self) -> PeerEgress:
        """The way to the client; the same object each time. Its ``close`` closes the connection."""
        ...

    def close(self) -> None:
        """Say goodbye in the way of the layers below, and close; a second call does nothing."""
        ...


class StreamListener(Protocol):
    """A listening socket and all its connections, behind one descriptor."""

    @property
    def local_endpoint(self) -> Endpoint:
        """The address and port that the socket is bound to."""
        ...

    def fileno(self) -> int:
        """The descriptor to watch for readability: it is readable while ``poll`` has work; -1 after close."""
        ...

    def poll(self) -> Sequence[StreamConnection]:
        """Write what was waiting for room, accept what knocks; returns the connections to read from now.

        A bounded amount of work, never blocks. A new connection is returned once at least, soon after it was
        accepted, whether or not it has sent anything. Fair: a connection that was returned and has more comes
        again only after the others. Raises TransportError if the listening socket itself failed.
        """
        ...

    def close(self) -> None:
        """Close the socket and every connection; a second call does nothing."""
        ...
