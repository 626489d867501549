"""What differs from one transport to the other, in one place: framing, sockets and the layers on them."""

from collections.abc import Callable, Sequence
from ipaddress import ip_address
from typing import TypeAlias

from application.network.connection.crypto import SessionCrypto
from application.network.connection.transport import Dialer
from application.network.routing.counters import TunnelCounters
from application.runtime.clock import Clock
from application.runtime.log import EventLog
from application.server.datagrams import DatagramReception
from application.server.reception import Reception
from application.server.register import Registrar
from application.server.sessions import SessionRepository
from application.server.streams import StreamReception
from domain.addressing.endpoint import Endpoint
from domain.noise.client import Delivery
from domain.noise.keys import EpochKeys, Role, SessionId
from domain.noise.primitives import Primitives
from domain.rekey.rules import Carrier
from domain.session.datagram import DatagramSession
from domain.session.stream import StreamSession
from domain.settings.profile import TransportProfile, TransportProtocol
from infrastructure.network.stream.client import StreamDialer
from infrastructure.network.stream.codec import Codec
from infrastructure.network.stream.listener import BoundStreamListener
from infrastructure.network.stream.proxy_header import ProxyHeader
from infrastructure.network.stream.stack import Codecs
from infrastructure.network.tls.client import server_trust
from infrastructure.network.tls.codec import TlsCodec
from infrastructure.network.tls.server import ReloadingServerContext
from infrastructure.network.udp.buffers import DatagramBuffer
from infrastructure.network.udp.client import UdpDialer
from infrastructure.network.udp.egress import UdpPeerEgress
from infrastructure.network.udp.listener import BoundUdpListener
from infrastructure.network.udp.registration import UdpRegistration
from infrastructure.network.ws.codec import WebSocketClientCodec, WebSocketServerCodec
from infrastructure.pal.tunnel.client.tun_manager import FIREWALL_MARK
from infrastructure.tunnel.sizes import BATCH_SIZE, datagram_buffer_bytes

CryptoFor: TypeAlias = Callable[[SessionId, EpochKeys], SessionCrypto]


def carrier_of(protocol: TransportProtocol) -> Carrier:
    """Whether frames can get lost, for the rekey machines."""
    return Carrier.DATAGRAM if protocol is TransportProtocol.UDP else Carrier.STREAM


def delivery_of(protocol: TransportProtocol) -> Delivery:
    """Whether messages can get lost, for the handshake machine."""
    return Delivery.DATAGRAM if protocol is TransportProtocol.UDP else Delivery.STREAM


def session_crypto_of(primitives: Primitives, role: Role, protocol: TransportProtocol) -> CryptoFor:
    """Sessions over ``protocol``, seen from ``role``."""
    session = DatagramSession if protocol is TransportProtocol.UDP else StreamSession

    def crypto_for(session_id: SessionId, keys: EpochKeys) -> SessionCrypto:
        return session(primitives, role, session_id, keys)

    return crypto_for


def dialer_of(profile: TransportProfile, counters: TunnelCounters) -> Dialer:
    """Paths to the server of ``profile`` whose packets carry our mark and so go round the tunnel.

    Raises ConfigurationError if the authorities of a WSS profile cannot be read.
    """
    if profile.protocol is TransportProtocol.UDP:
        return UdpDialer(mark=FIREWALL_MARK, packets=_datagram_buffers(profile), counters=counters)
    return StreamDialer(name=profile.protocol.value, mark=FIREWALL_MARK, codecs=_client_codecs(profile))


def reception_of(
    profile: TransportProfile,
    *,
    registrar: Registrar,
    sessions: SessionRepository,
    clock: Clock,
    counters: TunnelCounters,
    log: EventLog,
) -> Reception:
    """Listen as ``profile`` says. Raises UdpBindError, StreamBindError, ConfigurationError."""
    literal = profile.server.ipv4 or profile.server.ipv6
    host = None if literal is None else str(literal)
    if profile.protocol is TransportProtocol.UDP:
        return _datagram_reception(
            BoundUdpListener.bind(host, profile.port), profile, registrar, sessions, clock, counters
        )
    codecs = _server_codecs(profile, log, clock)
    return StreamReception(
        listener=BoundStreamListener.bind(host, profile.port, codecs=codecs),
        sessions=sessions,
        registrar=registrar,
        clock=clock,
        counters=counters,
        log=log,
    )


def _datagram_reception(
    listener: BoundUdpListener,
    profile: TransportProfile,
    registrar: Registrar,
    sessions: SessionRepository,
    clock: Clock,
    counters: TunnelCounters,
) -> Reception:
    batch_egress = listener.batch_egress()
    return DatagramReception(
        listener=listener,
        sessions=sessions,
        registration=UdpRegistration(
            register=registrar.register,
            egress_to=lambda endpoint: UdpPeerEgress(batch_egress, endpoint),
            clock=clock,
            counters=counters,
        ),
        packets=_datagram_buffers(profile),
        counters=counters,
    )


def _datagram_buffers(profile: TransportProfile) -> list[DatagramBuffer]:
    return DatagramBuffer.allocate(BATCH_SIZE, datagram_buffer_bytes(profile.interface_mtu_bytes))


def _client_codecs(profile: TransportProfile) -> Codecs:
    """The layers of a path, by the endpoint that is dialled.

    With a domain configured the server is asked for by that name, and has to prove that name, also at an
    address that stands beside it in the file.
    """
    tls = profile.tls
    if profile.protocol is TransportProtocol.TCP:
        return lambda _endpoint: ()
    if profile.protocol is TransportProtocol.WS:
        return lambda endpoint: (WebSocketClientCodec(profile.server.domain or endpoint.host, endpoint.port),)
    trust = server_trust(ca_file=tls.ca_file, pinned_certificate=tls.pinned_certificate)

    def codecs(endpoint: Endpoint) -> Sequence[Codec]:
        host = profile.server.domain or endpoint.host
        return (
            TlsCodec.for_client(trust, tls.server_name or host),
            WebSocketClientCodec(host, endpoint.port),
        )

    return codecs


def _server_codecs(profile: TransportProfile, log: EventLog, clock: Clock) -> Codecs:
    """The layers of a connection, by the other end of its socket."""
    tls = profile.tls
    context: ReloadingServerContext | None = None
    if tls.certificate_file is not None and tls.key_file is not None:
        context = ReloadingServerContext(tls.certificate_file, tls.key_file, log, clock)

    def codecs(endpoint: Endpoint) -> Sequence[Codec]:
        layers: list[Codec] = []
        trusted = any(ip_address(endpoint.host) in network for network in profile.trusted_proxies)
        if trusted:
            layers.append(ProxyHeader())
        if context is not None:
            layers.append(TlsCodec.for_server(context.current()))
        if profile.protocol is not TransportProtocol.TCP:
            layers.append(WebSocketServerCodec(trusted=trusted))
        return layers

    return codecs
