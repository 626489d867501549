"""The composition root: which adapter stands behind which port.

The one module that imports ``dependency_injector``. Each provider is annotated with the port it provides
and built by a typed function, because mypy does not look into a provider's arguments; a test binds every
signature.
"""

# dependency-injector's generic providers forget their argument at run time: kept as text, a test can read it.
from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from dependency_injector import containers, providers

from application.client.connect import ClientTunnel
from application.client.handshake import DatagramHandshake
from application.network.connection.crypto import SessionCrypto
from application.network.connection.handshake import Handshake
from application.network.connection.transport import Dialer
from application.network.routing.counters import TunnelCounters
from application.network.routing.router import Router
from application.network.routing.tun import TunManager
from application.network.routing.worker import ClientWorkerFactory, ServerWorkerFactory
from application.network.udp.listener import UdpListener
from application.runtime.clock import Clock
from application.runtime.entropy import Entropy
from application.runtime.log import EventLog
from application.server.serve import Server, UdpServerTunnel
from application.server.sessions import SessionRepository
from domain.addressing.tunnel import server_addresses
from domain.noise.client import ClientHandshake
from domain.noise.cookie import CookieJar
from domain.noise.keys import EpochKeys, KeyPair, Role, SessionId
from domain.noise.message import Capability
from domain.noise.primitives import KEY_BYTES, Primitives
from domain.noise.server import ServerHandshake
from domain.session.datagram import DatagramSession
from domain.settings.client import ClientSettings
from domain.settings.server import ServerSettings
from infrastructure.cryptography.entropy import SystemEntropy
from infrastructure.cryptography.primitives import PycaPrimitives
from infrastructure.logging.text import TextEventLog
from infrastructure.network.udp.client import UdpDialer
from infrastructure.network.udp.listener import BoundUdpListener
from infrastructure.pal.linux.clock import SystemClock
from infrastructure.pal.tunnel.client.tun_manager import FIREWALL_MARK, ClientTunManager
from infrastructure.pal.tunnel.client.worker_factory import PalClientWorkerFactory
from infrastructure.pal.tunnel.server.tun_manager import ServerTunManager
from infrastructure.pal.tunnel.server.worker_factory import PalServerWorkerFactory
from infrastructure.tunnel.router import ReadinessRouter

CryptoFor: TypeAlias = Callable[[SessionId, EpochKeys], SessionCrypto]
OpenListener: TypeAlias = Callable[[], UdpListener]
NewHandshake: TypeAlias = Callable[[], ClientHandshake]

# What this program can do of what the protocol can negotiate.
CAPABILITIES = frozenset[Capability]()


def build_datagram_crypto(primitives: Primitives, role: Role) -> CryptoFor:
    """Sessions over datagrams, seen from ``role``."""

    def crypto_for(session_id: SessionId, keys: EpochKeys) -> SessionCrypto:
        return DatagramSession(primitives, role, session_id, keys)

    return crypto_for


def build_router(clock: Clock) -> Router:
    """The event loop's readiness callbacks."""
    return ReadinessRouter(clock)


def build_dialer() -> Dialer:
    """UDP paths whose packets carry our mark and so go round the tunnel."""
    return UdpDialer(mark=FIREWALL_MARK)


def build_handshake_machine(settings: ClientSettings, primitives: Primitives) -> NewHandshake:
    """A new handshake machine for each path."""
    static = KeyPair(private=settings.private_key, public=settings.public_key)

    def new() -> ClientHandshake:
        return ClientHandshake(primitives, settings.server_public_key, static, CAPABILITIES)

    return new


def build_client_handshake(
    settings: ClientSettings, machine: NewHandshake, crypto_for: CryptoFor, clock: Clock, entropy: Entropy
) -> Handshake:
    """The handshake within the time that the profile allows."""
    return DatagramHandshake(
        machine=machine,
        crypto_for=crypto_for,
        timeout_s=settings.active.connect_timeout_ms / 1000,
        clock=clock,
        entropy=entropy,
    )


def build_client_tun_manager(settings: ClientSettings, log: EventLog) -> TunManager:
    """The client's interface, routes and rules."""
    return ClientTunManager(settings.active, settings.addresses, log)


def build_client_workers(
    settings: ClientSettings, clock: Clock, counters: TunnelCounters
) -> ClientWorkerFactory:
    """Workers with the client's buffers."""
    return PalClientWorkerFactory(
        addresses=settings.addresses,
        mtu_bytes=settings.active.interface_mtu_bytes,
        clock=clock,
        counters=counters,
    )


def build_client_tunnel(
    settings: ClientSettings,
    dialer: Dialer,
    handshake: Handshake,
    tun_manager: TunManager,
    workers: ClientWorkerFactory,
    router: Router,
    clock: Clock,
    entropy: Entropy,
    log: EventLog,
) -> ClientTunnel:
    """The client."""
    return ClientTunnel(
        profile=settings.active,
        dialer=dialer,
        handshake=handshake,
        tun_manager=tun_manager,
        workers=workers,
        router=router,
        clock=clock,
        entropy=entropy,
        log=log,
    )


def build_open_listener(settings: ServerSettings) -> OpenListener:
    """Binds the UDP port when the server starts, not before."""
    profile = settings.udp
    literal = profile.server.ipv4 or profile.server.ipv6
    host = None if literal is None else str(literal)

    def open_listener() -> UdpListener:
        return BoundUdpListener.bind(host, profile.port)

    return open_listener


def build_server_handshake(
    settings: ServerSettings, primitives: Primitives, entropy: Entropy
) -> ServerHandshake:
    """The responder of the whole process."""
    return ServerHandshake(
        primitives,
        KeyPair(private=settings.private_key, public=settings.public_key),
        settings.access_list(),
        CookieJar(entropy.random_bytes(KEY_BYTES)),
        supported=CAPABILITIES,
    )


def build_server_tun_manager(settings: ServerSettings, log: EventLog) -> TunManager:
    """The server's interface, forwarding and firewall table."""
    profile = settings.udp
    return ServerTunManager(profile, server_addresses(profile.ipv4_subnet, profile.ipv6_subnet), log)


def build_server_workers(
    settings: ServerSettings,
    handshake: ServerHandshake,
    sessions: SessionRepository,
    crypto_for: CryptoFor,
    entropy: Entropy,
    clock: Clock,
    counters: TunnelCounters,
    log: EventLog,
) -> ServerWorkerFactory:
    """Workers with the listener's sessions and buffers."""
    return PalServerWorkerFactory(
        profile=settings.udp,
        handshake=handshake,
        sessions=sessions,
        crypto_for=crypto_for,
        entropy=entropy,
        clock=clock,
        counters=counters,
        log=log,
    )


def build_server(
    open_listener: OpenListener,
    tun_manager: TunManager,
    workers: ServerWorkerFactory,
    router: Router,
    log: EventLog,
) -> Server:
    """The server with its one transport."""
    return Server(
        [
            UdpServerTunnel(
                open_listener=open_listener,
                tun_manager=tun_manager,
                workers=workers,
                router=router,
                log=log,
            )
        ]
    )


class CommonContainer(containers.DeclarativeContainer):
    """What both ends are made of."""

    clock: providers.Provider[Clock] = providers.Singleton(SystemClock)
    entropy: providers.Provider[Entropy] = providers.Singleton(SystemEntropy)
    log: providers.Provider[EventLog] = providers.Singleton(TextEventLog)
    primitives: providers.Provider[Primitives] = providers.Singleton(PycaPrimitives)
    counters: providers.Provider[TunnelCounters] = providers.Singleton(TunnelCounters)
    router: providers.Provider[Router] = providers.Singleton(build_router, clock)


class ClientContainer(CommonContainer):
    """`tungo client`. ``settings`` must be given."""

    settings: providers.Provider[ClientSettings] = providers.Dependency(instance_of=ClientSettings)
    crypto_for: providers.Provider[CryptoFor] = providers.Singleton(
        build_datagram_crypto, CommonContainer.primitives, Role.CLIENT
    )
    handshake_machine: providers.Provider[NewHandshake] = providers.Singleton(
        build_handshake_machine, settings, CommonContainer.primitives
    )
    handshake: providers.Provider[Handshake] = providers.Singleton(
        build_client_handshake,
        settings,
        handshake_machine,
        crypto_for,
        CommonContainer.clock,
        CommonContainer.entropy,
    )
    dialer: providers.Provider[Dialer] = providers.Singleton(build_dialer)
    tun_manager: providers.Provider[TunManager] = providers.Singleton(
        build_client_tun_manager, settings, CommonContainer.log
    )
    workers: providers.Provider[ClientWorkerFactory] = providers.Singleton(
        build_client_workers, settings, CommonContainer.clock, CommonContainer.counters
    )
    tunnel: providers.Provider[ClientTunnel] = providers.Singleton(
        build_client_tunnel,
        settings,
        dialer,
        handshake,
        tun_manager,
        workers,
        CommonContainer.router,
        CommonContainer.clock,
        CommonContainer.entropy,
        CommonContainer.log,
    )


class ServerContainer(CommonContainer):
    """`tungo server`. ``settings`` must be given."""

    settings: providers.Provider[ServerSettings] = providers.Dependency(instance_of=ServerSettings)
    crypto_for: providers.Provider[CryptoFor] = providers.Singleton(
        build_datagram_crypto, CommonContainer.primitives, Role.SERVER
    )
    handshake: providers.Provider[ServerHandshake] = providers.Singleton(
        build_server_handshake, settings, CommonContainer.primitives, CommonContainer.entropy
    )
    sessions: providers.Provider[SessionRepository] = providers.Singleton(SessionRepository)
    open_listener: providers.Provider[OpenListener] = providers.Singleton(build_open_listener, settings)
    tun_manager: providers.Provider[TunManager] = providers.Singleton(
        build_server_tun_manager, settings, CommonContainer.log
    )
    workers: providers.Provider[ServerWorkerFactory] = providers.Singleton(
        build_server_workers,
        settings,
        handshake,
        sessions,
        crypto_for,
        CommonContainer.entropy,
        CommonContainer.clock,
        CommonContainer.counters,
        CommonContainer.log,
    )
    server: providers.Provider[Server] = providers.Singleton(
        build_server,
        open_listener,
        tun_manager,
        workers,
        CommonContainer.router,
        CommonContainer.log,
    )
