"""What a handshake is, as the client's use case calls it."""

from dataclasses import dataclass
from typing import Protocol

from application.network.connection.crypto import ParcelCrypto
from application.network.connection.transport import ClientTransport
from domain.noise.keys import EpochKeys, SessionId


class HandshakeFailedError(Exception):
    """No session: the server did not answer in time, or answered with something else."""


@dataclass(frozen=True, slots=True)
class Established:
    """A session that both ends hold keys for."""

    transport: ClientTransport
    crypto: ParcelCrypto
    session_id: SessionId
    keys: EpochKeys
    rekey_v2: bool  # the server selected capability 01
    aggregated: bool  # and 80: super-packets travel whole


class Handshake(Protocol):
    """Turns a path into a session."""

    async def establish(self, transport: ClientTransport) -> Established:
        """Run the handshake over ``transport``; how long it may take is the caller's to limit.

        Does not close ``transport``, whatever happens. Raises HandshakeFailedError when the server's answer
        makes no session, TransportError when the path is gone.
        """
        ...
