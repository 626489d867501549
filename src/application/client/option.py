"""One of the transports that a client may use."""

from dataclasses import dataclass

from application.network.connection.handshake import Established, Handshake
from application.network.connection.transport import Dialer
from application.network.routing.worker import ClientWorkerFactory
from domain.addressing.tunnel import TunnelAddresses
from domain.settings.profile import TransportProfile


@dataclass(frozen=True, slots=True)
class TransportOption:
    """A transport with everything that carries a session over it; ``addresses`` are the client's there."""

    profile: TransportProfile
    addresses: TunnelAddresses
    dialer: Dialer
    handshake: Handshake
    workers: ClientWorkerFactory


@dataclass(frozen=True, slots=True)
class Link:
    """A session, and the transport that it is over."""

    option: TransportOption
    established: Established
