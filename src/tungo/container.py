"""The composition root: which adapter stands behind which port.

The one module that imports ``dependency_injector``. Each provider is annotated with the port it provides
and built by a typed function, because mypy does not look into a provider's arguments; a test binds every
signature.
"""

# dependency-injector's generic providers forget their argument at run time: kept as text, a test can read it.
from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TypeAlias

from dependency_injector import containers, providers

from application.client.connect import ClientTunnel
from application.client.handshake import NoiseHandshake
from application.client.option import TransportOption
from application.network.connection.handshake import Established, Handshake
from application.network.connection.transport import Dialer
from application.network.routing.changes import WatchNetwork
from application.network.routing.counters import TunnelCounters
from application.network.routing.router import Router
from application.network.routing.tun import ClientTunManager, TunManager
from application.network.routing.worker import ClientWorkerFactory
from application.runtime.clock import Clock
from application.runtime.configuration import ConfigurationChanges, ServerConfiguration
from application.runtime.entropy import Entropy
from application.runtime.log import EventLog
from application.server.access import AccessControl
from application.server.follow import FollowConfiguration
from application.server.reception import Reception, ServerWorkerFactory
from application.server.register import Registrar
from application.server.serve import Server, ServerTunnel
from application.server.sessions import SessionRepository
from domain.addressing.tunnel import server_addresses
from domain.noise.client import ClientHandshake
from domain.noise.cookie import CookieJar
from domain.noise.keys import Role
from domain.noise.message import DEFAULT_CAPABILITIES, Capability
from domain.noise.primitives import KEY_BYTES, Primitives
from domain.noise.server import Accepted, ServerHandshake
from domain.rekey.client import ClientRekey
from domain.rekey.rules import RekeyVersion
from domain.rekey.server import ServerRekey
from domain.settings.client import ClientSettings
from domain.settings.profile import TransportProfile, TransportProtocol
from domain.settings.server import ServerSettings
from infrastructure.cryptography.entropy import SystemEntropy
from infrastructure.cryptography.primitives import PycaPrimitives
from infrastructure.logging.limited import LimitedEventLog
from infrastructure.logging.text import TextEventLog
from infrastructure.pal.configuration.store import ServerConfigurationStore
from infrastructure.pal.configuration.watching import WatchedFile
from infrastructure.pal.linux.clock import SystemClock
from infrastructure.pal.linux.journal import JournalFolder
from infrastructure.pal.linux.monitor import link_monitor
from infrastructure.pal.tunnel.client.tun_manager import SINK_INTERFACE, LinuxClientTunManager
from infrastructure.pal.tunnel.client.worker_factory import PalClientWorkerFactory
from infrastructure.pal.tunnel.server.tun_manager import ServerTunManager
from infrastructure.pal.tunnel.server.worker_factory import PalServerWorkerFactory
from infrastructure.tunnel.router import ReadinessRouter
from tungo.transports import carrier_of, delivery_of, dialer_of, reception_of, run_trials, session_crypto_of

# What is made anew for each transport of a client or a server.
DialerFor: TypeAlias = Callable[[TransportProfile], Dialer]
HandshakeFor: TypeAlias = Callable[[TransportProtocol], Handshake]
ClientWorkersFor: TypeAlias = Callable[[TransportProtocol], ClientWorkerFactory]
TransportOptions: TypeAlias = Sequence[TransportOption]
RegistrarFor: TypeAlias = Callable[[TransportProfile], Registrar]
OpenReception: TypeAlias = Callable[[TransportProfile], Reception]
TunManagerFor: TypeAlias = Callable[[TransportProfile], TunManager]
ServerWorkersFor: TypeAlias = Callable[[TransportProfile], ServerWorkerFactory]
Sessions: TypeAlias = Mapping[TransportProtocol, SessionRepository]


def capabilities_of(*, aggregation: bool) -> frozenset[Capability]:
    """What this program can do of what the protocol can negotiate, and may."""
    return DEFAULT_CAPABILITIES | {Capability.AGGREGATION} if aggregation else DEFAULT_CAPABILITIES


def build_log(clock: Clock) -> EventLog:
    """Records on standard error, however many a peer may cause."""
    return LimitedEventLog(TextEventLog(), clock)


def build_journals() -> JournalFolder:
    """Where changes to this host are written down."""
    return JournalFolder.of_this_host()


def build_router(clock: Clock) -> Router:
    """The event loop's readiness callbacks."""
    return ReadinessRouter(clock)


def build_dialer_for(settings: ClientSettings, counters: TunnelCounters, log: EventLog) -> DialerFor:
    """Paths whose packets carry our mark and so go round the tunnel."""

    def dialer_for(profile: TransportProfile) -> Dialer:
        return dialer_of(
            profile,
            offload=settings.offload,
            aggregation=settings.aggregation,
            counters=counters,
            log=log,
        )

    return dialer_for


def build_handshake_for(
    settings: ClientSettings, primitives: Primitives, clock: Clock, entropy: Entropy, log: EventLog
) -> HandshakeFor:
    """The handshake with the server's key, a new machine for each path."""
    new_trial = run_trials(settings.offload, log)

    def handshake_for(protocol: TransportProtocol) -> Handshake:
        def machine() -> ClientHandshake:
            return ClientHandshake(
                primitives,
                settings.server_public_key,
                settings.key_pair,
                capabilities_of(aggregation=settings.aggregation),
                delivery=delivery_of(protocol),
            )

        return NoiseHandshake(
            machine=machine,
            crypto_for=session_crypto_of(primitives, Role.CLIENT, settings.profile_of(protocol), new_trial),
            clock=clock,
            entropy=entropy,
        )

    return handshake_for


def build_client_workers_for(
    settings: ClientSettings,
    primitives: Primitives,
    clock: Clock,
    entropy: Entropy,
    counters: TunnelCounters,
) -> ClientWorkersFor:
    """Workers for the client's addresses in each transport's tunnel, with a new rekey machine per session."""

    def workers_for(protocol: TransportProtocol) -> ClientWorkerFactory:
        def rekey_for(established: Established) -> ClientRekey:
            return ClientRekey(
                primitives,
                settings.key_pair,
                settings.server_public_key,
                version=RekeyVersion.V2 if established.rekey_v2 else RekeyVersion.V1,
                carrier=carrier_of(protocol),
                keys=established.keys,
                now_s=clock.monotonic_s(),
                interval_s=settings.rekey_interval_s,
            )

        return PalClientWorkerFactory(
            addresses=settings.addresses_of(protocol),
            rekey_for=rekey_for,
            clock=clock,
            entropy=entropy,
            counters=counters,
        )

    return workers_for


def build_client_options(
    settings: ClientSettings,
    dialer_for: DialerFor,
    handshake_for: HandshakeFor,
    workers_for: ClientWorkersFor,
) -> TransportOptions:
    """The transports that the file names, in its order."""
    return [
        TransportOption(
            profile=settings.profile_of(protocol),
            addresses=settings.addresses_of(protocol),
            dialer=dialer_for(settings.profile_of(protocol)),
            handshake=handshake_for(protocol),
            workers=workers_for(protocol),
        )
        for protocol in settings.protocols
    ]


def build_client_tun_manager(
    settings: ClientSettings, journals: JournalFolder, log: EventLog
) -> ClientTunManager:
    """The client's interfaces, routes and rules."""
    interfaces = [settings.profile_of(protocol).interface_name for protocol in settings.protocols]
    return LinuxClientTunManager(
        log, journals, settings.routing, interfaces, segmentation=settings.offload.tun_segmentation
    )


def build_watch_network(settings: ClientSettings, log: EventLog) -> WatchNetwork:
    """The links around this host, without those that the client makes itself."""
    interfaces = [profile.interface_name for _, profile in settings.slots]
    return partial(link_monitor, [*interfaces, SINK_INTERFACE], log)


def build_client_tunnel(
    settings: ClientSettings,
    options: TransportOptions,
    tun_manager: ClientTunManager,
    watch: WatchNetwork,
    router: Router,
    clock: Clock,
    entropy: Entropy,
    log: EventLog,
) -> ClientTunnel:
    """The client."""
    return ClientTunnel(
        options=options,
        ascent_after_s=settings.fallback_retry_s,
        tun_manager=tun_manager,
        watch=watch,
        router=router,
        clock=clock,
        entropy=entropy,
        log=log,
    )


def build_server_handshake(
    settings: ServerSettings, primitives: Primitives, entropy: Entropy
) -> ServerHandshake:
    """The responder of the whole process."""
    return ServerHandshake(
        primitives,
        settings.key_pair,
        settings.access_list(),
        CookieJar(entropy.random_bytes(KEY_BYTES)),
        supported=capabilities_of(aggregation=settings.aggregation),
    )


def build_sessions(settings: ServerSettings) -> Sessions:
    """A table of its own for each listener (protocol specification 8.1)."""
    return {profile.protocol: SessionRepository() for profile in settings.enabled_profiles()}


def build_registrar_for(
    settings: ServerSettings,
    handshake: ServerHandshake,
    sessions: Sessions,
    primitives: Primitives,
    entropy: Entropy,
    clock: Clock,
    counters: TunnelCounters,
    log: EventLog,
) -> RegistrarFor:
    """Who lets clients in; a session's rekey machine asks the access list of the moment."""
    new_trial = run_trials(settings.offload, log)

    def registrar_for(profile: TransportProfile) -> Registrar:
        def rekey_for(accepted: Accepted) -> ServerRekey:
            peer = accepted.peer
            return ServerRekey(
                primitives,
                settings.key_pair,
                peer.public_key,
                version=RekeyVersion.V2 if accepted.rekey_v2 else RekeyVersion.V1,
                carrier=carrier_of(profile.protocol),
                keys=accepted.keys,
                still_admitted=lambda: handshake.access_list.admits(peer),
            )

        return Registrar(
            profile=profile,
            handshake=handshake,
            sessions=sessions[profile.protocol],
            crypto_for=session_crypto_of(primitives, Role.SERVER, profile, new_trial),
            rekey_for=rekey_for,
            entropy=entropy,
            clock=clock,
            counters=counters,
        )

    return registrar_for


def build_open_reception(
    settings: ServerSettings,
    registrar_for: RegistrarFor,
    sessions: Sessions,
    clock: Clock,
    counters: TunnelCounters,
    log: EventLog,
) -> OpenReception:
    """Binds a transport's port when the server starts, not before."""

    def open_reception(profile: TransportProfile) -> Reception:
        return reception_of(
            profile,
            registrar=registrar_for(profile),
            sessions=sessions[profile.protocol],
            clock=clock,
            counters=counters,
            offload=settings.offload,
            log=log,
        )

    return open_reception


def build_server_tun_manager_for(
    settings: ServerSettings, journals: JournalFolder, log: EventLog
) -> TunManagerFor:
    """The server's interface, forwarding and firewall table, for each transport."""
    tunnels = [profile.interface_name for profile in settings.enabled_profiles()]

    def tun_manager_for(profile: TransportProfile) -> TunManager:
        return ServerTunManager(
            profile,
            server_addresses(profile.ipv4_subnet, profile.ipv6_subnet),
            log,
            journals,
            nat=settings.nat,
            isolated_from=tunnels if settings.client_isolation else (),
            segmentation=settings.offload.tun_segmentation,
        )

    return tun_manager_for


def build_server_workers_for(
    sessions: Sessions, entropy: Entropy, clock: Clock, counters: TunnelCounters, log: EventLog
) -> ServerWorkersFor:
    """Workers with the listener's sessions."""

    def workers_for(profile: TransportProfile) -> ServerWorkerFactory:
        return PalServerWorkerFactory(
            sessions=sessions[profile.protocol], entropy=entropy, clock=clock, counters=counters, log=log
        )

    return workers_for


def build_server(
    settings: ServerSettings,
    open_reception: OpenReception,
    tun_manager_for: TunManagerFor,
    workers_for: ServerWorkersFor,
    router: Router,
    follow: FollowConfiguration,
    log: EventLog,
) -> Server:
    """The server with all its transports."""
    return Server(
        [
            ServerTunnel(
                protocol=profile.protocol,
                open_reception=partial(open_reception, profile),
                tun_manager=tun_manager_for(profile),
                workers=workers_for(profile),
                router=router,
                log=log,
            )
            for profile in settings.enabled_profiles()
        ],
        follow,
    )


def build_follow(
    settings: ServerSettings,
    configuration: ServerConfiguration,
    changes: ConfigurationChanges,
    handshake: ServerHandshake,
    sessions: Sessions,
    log: EventLog,
) -> FollowConfiguration:
    """Revocation as soon as the configuration says so."""
    access = AccessControl(handshake=handshake, sessions=list(sessions.values()), log=log)
    return FollowConfiguration(
        running=settings, configuration=configuration, changes=changes, access=access, log=log
    )


def build_configuration(path: Path, primitives: Primitives, log: EventLog) -> ServerConfiguration:
    """The server's file, with what the environment lays over it."""
    return ServerConfigurationStore(path, primitives.public_key, log, os.environ)


def build_changes(path: Path, log: EventLog) -> ConfigurationChanges:
    """Watches the server's file."""
    return WatchedFile(path, log)


class CommonContainer(containers.DeclarativeContainer):
    """What both ends are made of."""

    clock: providers.Provider[Clock] = providers.Singleton(SystemClock)
    entropy: providers.Provider[Entropy] = providers.Singleton(SystemEntropy)
    log: providers.Provider[EventLog] = providers.Singleton(build_log, clock)
    primitives: providers.Provider[Primitives] = providers.Singleton(PycaPrimitives)
    counters: providers.Provider[TunnelCounters] = providers.Singleton(TunnelCounters)
    router: providers.Provider[Router] = providers.Singleton(build_router, clock)
    journals: providers.Provider[JournalFolder] = providers.Singleton(build_journals)


class ClientContainer(CommonContainer):
    """`tungo client`. ``settings`` must be given."""

    settings: providers.Provider[ClientSettings] = providers.Dependency(instance_of=ClientSettings)
    dialer_for: providers.Provider[DialerFor] = providers.Singleton(
        build_dialer_for, settings, CommonContainer.counters, CommonContainer.log
    )
    handshake_for: providers.Provider[HandshakeFor] = providers.Singleton(
        build_handshake_for,
        settings,
        CommonContainer.primitives,
        CommonContainer.clock,
        CommonContainer.entropy,
        CommonContainer.log,
    )
    workers_for: providers.Provider[ClientWorkersFor] = providers.Singleton(
        build_client_workers_for,
        settings,
        CommonContainer.primitives,
        CommonContainer.clock,
        CommonContainer.entropy,
        CommonContainer.counters,
    )
    options: providers.Provider[TransportOptions] = providers.Singleton(
        build_client_options, settings, dialer_for, handshake_for, workers_for
    )
    tun_manager: providers.Provider[ClientTunManager] = providers.Singleton(
        build_client_tun_manager, settings, CommonContainer.journals, CommonContainer.log
    )
    watch: providers.Provider[WatchNetwork] = providers.Singleton(
        build_watch_network, settings, CommonContainer.log
    )
    tunnel: providers.Provider[ClientTunnel] = providers.Singleton(
        build_client_tunnel,
        settings,
        options,
        tun_manager,
        watch,
        CommonContainer.router,
        CommonContainer.clock,
        CommonContainer.entropy,
        CommonContainer.log,
    )


class ServerContainer(CommonContainer):
    """`tungo server`. ``settings``, and the ``path`` of the file that they come from, must be given."""

    path: providers.Provider[Path] = providers.Dependency(instance_of=Path)
    settings: providers.Provider[ServerSettings] = providers.Dependency(instance_of=ServerSettings)
    handshake: providers.Provider[ServerHandshake] = providers.Singleton(
        build_server_handshake, settings, CommonContainer.primitives, CommonContainer.entropy
    )
    sessions: providers.Provider[Sessions] = providers.Singleton(build_sessions, settings)
    registrar_for: providers.Provider[RegistrarFor] = providers.Singleton(
        build_registrar_for,
        settings,
        handshake,
        sessions,
        CommonContainer.primitives,
        CommonContainer.entropy,
        CommonContainer.clock,
        CommonContainer.counters,
        CommonContainer.log,
    )
    open_reception: providers.Provider[OpenReception] = providers.Singleton(
        build_open_reception,
        settings,
        registrar_for,
        sessions,
        CommonContainer.clock,
        CommonContainer.counters,
        CommonContainer.log,
    )
    tun_manager_for: providers.Provider[TunManagerFor] = providers.Singleton(
        build_server_tun_manager_for, settings, CommonContainer.journals, CommonContainer.log
    )
    workers_for: providers.Provider[ServerWorkersFor] = providers.Singleton(
        build_server_workers_for,
        sessions,
        CommonContainer.entropy,
        CommonContainer.clock,
        CommonContainer.counters,
        CommonContainer.log,
    )
    configuration: providers.Provider[ServerConfiguration] = providers.Singleton(
        build_configuration, path, CommonContainer.primitives, CommonContainer.log
    )
    changes: providers.Provider[ConfigurationChanges] = providers.Singleton(
        build_changes, path, CommonContainer.log
    )
    follow: providers.Provider[FollowConfiguration] = providers.Singleton(
        build_follow, settings, configuration, changes, handshake, sessions, CommonContainer.log
    )
    server: providers.Provider[Server] = providers.Singleton(
        build_server,
        settings,
        open_reception,
        tun_manager_for,
        workers_for,
        CommonContainer.router,
        follow,
        CommonContainer.log,
    )
