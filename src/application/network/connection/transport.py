"""A client's path to a server, from the first handshake message to the last datagram.

Errors::

    TransportError           the path is gone; the text names the endpoint and the reason
    ├── ResolutionError      the server's name has no address
    └── DialError            no path could be opened
        └── DialForbiddenError   this process may not open any: trying again will not help (also a
                                 MissingRightsError)
"""

from typing import Protocol

from application.network.connection.egress import Egress
from application.network.connection.ingress import FrameIngress
from application.runtime.rights import MissingRightsError
from domain.addressing.endpoint import Endpoint
from domain.settings.profile import TransportProfile


class TransportError(Exception):
    """The path to the peer is gone."""


class ResolutionError(TransportError):
    """The server's name has no address."""


class DialError(TransportError):
    """No path to the server could be opened."""


class DialForbiddenError(DialError, MissingRightsError):
    """This process lacks the right to open paths."""


class ClientTransport(Protocol):
    """One dialled path: handshake messages first, one at a time, then batches of frames."""

    @property
    def remote_endpoint(self) -> Endpoint:
        """The server's address that was dialled."""
        ...

    async def send_message(self, message: bytes) -> None:
        """Send one handshake message. Raises TransportError."""
        ...

    async def receive_message(self) -> bytes:
        """The next message from the server, not authenticated in any way. Raises TransportError."""
        ...

    def fileno(self) -> int:
        """The descriptor to watch for readability; -1 after close."""
        ...

    def ingress(self) -> FrameIngress:
        """The frames from the server; no other read may follow on ``receive_message`` but through it."""
        ...

    def take_refusal(self) -> str | None:
        """What the network has said about the path since the last call: why it does not lead to the server.

        A sentence, None if nothing was said; news met while sending count as well as those met while reading.
        Nobody vouches for them: whoever knows the two endpoints can forge them, and a true one may be about
        one datagram. So within a session neither ``ingress`` nor ``egress`` fails for them.
        Always None for a stream.
        """
        ...

    def take_long_frames(self) -> None:
        """Both ends have agreed on aggregated frames, which on a stream are longer than others."""
        ...

    def egress(self) -> Egress:
        """The way to the server."""
        ...

    def close(self) -> None:
        """Give the path up; a second call does nothing."""
        ...


class Dialer(Protocol):
    """Opens paths to a server."""

    async def resolve(self, profile: TransportProfile) -> list[Endpoint]:
        """The server's endpoints in order of preference, never empty. Raises ResolutionError."""
        ...

    async def dial(self, endpoint: Endpoint) -> ClientTransport:
        """Open a path to ``endpoint`` from a new local port. Raises DialError."""
        ...
