"""The composition root: which adapter stands behind which port.

The one module that imports ``dependency_injector``. Each provider is annotated with the port it provides
and built by a typed function, because mypy does not look into a provider's arguments; a test binds every
signature.
"""

# dependency-injector's generic providers forget their argument at run time: kept as text, a test can read it.
from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

from dependency_injector import containers, providers

from application.client.connect import ClientTunnel
from application.client.handshake import DatagramHandshake
from application.network.connection.crypto import SessionCrypto
from application.network.connection.handshake import Established, Handshake
from application.network.connection.transport import Dialer
from application.network.routing.counters import TunnelCounters
from application.network.routing.router import Router
from application.network.routing.tun import TunManager
from application.network.routing.worker import ClientWorkerFactory, ServerWorkerFactory
from application.network.udp.listener import UdpListener
from application.runtime.clock import Clock
from application.runtime.configuration import ConfigurationChanges, ServerConfiguration
from application.runtime.entropy import Entropy
from application.runtime.log import EventLog
from application.server.access import AccessControl
from application.server.follow import FollowConfiguration
from application.server.register import Registrar
from application.server.serve import Server, UdpServerTunnel
from application.server.sessions import SessionRepository
from domain.addressing.tunnel import server_addresses
from domain.noise.client import ClientHandshake
from domain.noise.cookie import CookieJar
from domain.noise.keys import EpochKeys, Role, SessionId
from domain.noise.message import Capability
from domain.noise.primitives import KEY_BYTES, Primitives
from domain.noise.server import Accepted, ServerHandshake
from domain.rekey.client import ClientRekey
from domain.rekey.rules import Carrier, RekeyVersion
from domain.rekey.server import ServerRekey
from domain.session.datagram import DatagramSession
from domain.settings.client import ClientSettings
from domain.settings.server import ServerSettings
from infrastructure.cryptography.entropy import SystemEntropy
from infrastructure.cryptography.primitives import PycaPrimitives
from infrastructure.logging.limited import LimitedEventLog
from infrastructure.logging.text import TextEventLog
from infrastructure.network.udp.client import UdpDialer
from infrastructure.network.udp.listener import BoundUdpListener
from infrastructure.pal.configuration.store import ServerConfigurationStore
from infrastructure.pal.configuration.watching import PolledFile
from infrastructure.pal.linux.clock import SystemClock
from infrastructure.pal.tunnel.client.tun_manager import FIREWALL_MARK, ClientTunManager
from infrastructure.pal.tunnel.client.worker_factory import PalClientWorkerFactory
from infrastructure.pal.tunnel.server.tun_manager import ServerTunManager
from infrastructure.pal.tunnel.server.worker_factory import PalServerWorkerFactory
from infrastructure.tunnel.router import ReadinessRouter

CryptoFor: TypeAlias = Callable[[SessionId, EpochKeys], SessionCrypto]
OpenListener: TypeAlias = Callable[[], UdpListener]
NewHandshake: TypeAlias = Callable[[], ClientHandshake]

RekeyForClient: TypeAlias = Callable[[Established], ClientRekey]
RekeyForServer: TypeAlias = Callable[[Accepted], ServerRekey]

# What this program can do of what the protocol can negotiate.
CAPABILITIES = frozenset({Capability.REKEY_V2})


def build_datagram_crypto(primitives: Primitives, role: Role) -> CryptoFor:
    """Sessions over datagrams, seen from ``role``."""

    def crypto_for(session_id: SessionId, keys: EpochKeys) -> SessionCrypto:
        return DatagramSession(primitives, role, session_id, keys)

    return crypto_for


def build_log(clock: Clock) -> EventLog:
    """Records on standard error, however many a peer may cause."""
    return LimitedEventLog(TextEventLog(), clock)


def build_router(clock: Clock) -> Router:
    """The event loop's readiness callbacks."""
    return ReadinessRouter(clock)


def build_dialer() -> Dialer:
    """UDP paths whose packets carry our mark and so go round the tunnel."""
    return UdpDialer(mark=FIREWALL_MARK)


def build_client_rekey(settings: ClientSettings, primitives: Primitives, clock: Clock) -> RekeyForClient:
    """A new rekey machine for each session."""

    def rekey_for(established: Established) -> ClientRekey:
        return ClientRekey(
            primitives,
            settings.key_pair,
            settings.server_public_key,
            version=RekeyVersion.V2 if established.rekey_v2 else RekeyVersion.V1,
            carrier=Carrier.DATAGRAM,
            keys=established.keys,
            now_s=clock.monotonic_s(),
            interval_s=settings.rekey_interval_s,
        )

    return rekey_for


def build_handshake_machine(settings: ClientSettings, primitives: Primitives) -> NewHandshake:
    """A new handshake machine for each path."""

    def new() -> ClientHandshake:
        return ClientHandshake(primitives, settings.server_public_key, settings.key_pair, CAPABILITIES)

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
    settings: ClientSettings,
    rekey_for: RekeyForClient,
    clock: Clock,
    entropy: Entropy,
    counters: TunnelCounters,
) -> ClientWorkerFactory:
    """Workers with the client's buffers."""
    return PalClientWorkerFactory(
        addresses=settings.addresses,
        mtu_bytes=settings.active.interface_mtu_bytes,
        rekey_for=rekey_for,
        clock=clock,
        entropy=entropy,
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
        settings.key_pair,
        settings.access_list(),
        CookieJar(entropy.random_bytes(KEY_BYTES)),
        supported=CAPABILITIES,
    )


def build_server_rekey(
    settings: ServerSettings, handshake: ServerHandshake, primitives: Primitives
) -> RekeyForServer:
    """A new rekey machine for each session, which asks the access list of the moment."""

    def rekey_for(accepted: Accepted) -> ServerRekey:
        peer = accepted.peer
        return ServerRekey(
            primitives,
            settings.key_pair,
            peer.public_key,
            version=RekeyVersion.V2 if accepted.rekey_v2 else RekeyVersion.V1,
            carrier=Carrier.DATAGRAM,
            keys=accepted.keys,
            still_admitted=lambda: handshake.access_list.admits(peer),
        )

    return rekey_for


def build_server_tun_manager(settings: ServerSettings, log: EventLog) -> TunManager:
    """The server's interface, forwarding and firewall table."""
    profile = settings.udp
    return ServerTunManager(profile, server_addresses(profile.ipv4_subnet, profile.ipv6_subnet), log)


def build_registrar(
    settings: ServerSettings,
    handshake: ServerHandshake,
    sessions: SessionRepository,
    crypto_for: CryptoFor,
    rekey_for: RekeyForServer,
    entropy: Entropy,
    clock: Clock,
    counters: TunnelCounters,
) -> Registrar:
    """Who lets clients in."""
    return Registrar(
        profile=settings.udp,
        handshake=handshake,
        sessions=sessions,
        crypto_for=crypto_for,
        rekey_for=rekey_for,
        entropy=entropy,
        clock=clock,
        counters=counters,
    )


def build_server_workers(
    settings: ServerSettings,
    registrar: Registrar,
    sessions: SessionRepository,
    entropy: Entropy,
    clock: Clock,
    counters: TunnelCounters,
    log: EventLog,
) -> ServerWorkerFactory:
    """Workers with the listener's sessions and buffers."""
    return PalServerWorkerFactory(
        mtu_bytes=settings.udp.interface_mtu_bytes,
        registrar=registrar,
        sessions=sessions,
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
    follow: FollowConfiguration,
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
        ],
        follow,
    )


def build_follow(
    configuration: ServerConfiguration,
    changes: ConfigurationChanges,
    handshake: ServerHandshake,
    sessions: SessionRepository,
    log: EventLog,
) -> FollowConfiguration:
    """Revocation as soon as the configuration says so."""
    access = AccessControl(handshake=handshake, sessions=[sessions], log=log)
    return FollowConfiguration(configuration=configuration, changes=changes, access=access, log=log)


def build_configuration(path: Path, primitives: Primitives, log: EventLog) -> ServerConfiguration:
    """The server's file."""
    return ServerConfigurationStore(path, primitives.public_key, log)


def build_changes(path: Path) -> ConfigurationChanges:
    """Looks at the server's file."""
    return PolledFile(path)


class CommonContainer(containers.DeclarativeContainer):
    """What both ends are made of."""

    clock: providers.Provider[Clock] = providers.Singleton(SystemClock)
    entropy: providers.Provider[Entropy] = providers.Singleton(SystemEntropy)
    log: providers.Provider[EventLog] = providers.Singleton(build_log, clock)
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
    rekey_for: providers.Provider[RekeyForClient] = providers.Singleton(
        build_client_rekey, settings, CommonContainer.primitives, CommonContainer.clock
    )
    workers: providers.Provider[ClientWorkerFactory] = providers.Singleton(
        build_client_workers,
        settings,
        rekey_for,
        CommonContainer.clock,
        CommonContainer.entropy,
        CommonContainer.counters,
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
    """`tungo server`. ``settings``, and the ``path`` of the file that they come from, must be given."""

    path: providers.Provider[Path] = providers.Dependency(instance_of=Path)
    settings: providers.Provider[ServerSettings] = providers.Dependency(instance_of=ServerSettings)
    crypto_for: providers.Provider[CryptoFor] = providers.Singleton(
        build_datagram_crypto, CommonContainer.primitives, Role.SERVER
    )
    handshake: providers.Provider[ServerHandshake] = providers.Singleton(
        build_server_handshake, settings, CommonContainer.primitives, CommonContainer.entropy
    )
    rekey_for: providers.Provider[RekeyForServer] = providers.Singleton(
        build_server_rekey, settings, handshake, CommonContainer.primitives
    )
    sessions: providers.Provider[SessionRepository] = providers.Singleton(SessionRepository)
    open_listener: providers.Provider[OpenListener] = providers.Singleton(build_open_listener, settings)
    tun_manager: providers.Provider[TunManager] = providers.Singleton(
        build_server_tun_manager, settings, CommonContainer.log
    )
    registrar: providers.Provider[Registrar] = providers.Singleton(
        build_registrar,
        settings,
        handshake,
        sessions,
        crypto_for,
        rekey_for,
        CommonContainer.entropy,
        CommonContainer.clock,
        CommonContainer.counters,
    )
    workers: providers.Provider[ServerWorkerFactory] = providers.Singleton(
        build_server_workers,
        settings,
        registrar,
        sessions,
        CommonContainer.entropy,
        CommonContainer.clock,
        CommonContainer.counters,
        CommonContainer.log,
    )
    configuration: providers.Provider[ServerConfiguration] = providers.Singleton(
        build_configuration, path, CommonContainer.primitives, CommonContainer.log
    )
    changes: providers.Provider[ConfigurationChanges] = providers.Singleton(build_changes, path)
    follow: providers.Provider[FollowConfiguration] = providers.Singleton(
        build_follow, configuration, changes, handshake, sessions, CommonContainer.log
    )
    server: providers.Provider[Server] = providers.Singleton(
        build_server,
        open_listener,
        tun_manager,
        workers,
        CommonContainer.router,
        follow,
        CommonContainer.log,
    )
