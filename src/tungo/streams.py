"""The layers of each stream on its sockets: the PROXY protocol, TLS and WebSocket.

Loaded for TCP, WS and WSS only: the libraries that come with it cost memory, and time at every start.
"""

from collections.abc import Sequence
from ipaddress import ip_address

from application.network.connection.transport import Dialer
from application.network.routing.counters import TunnelCounters
from application.runtime.clock import Clock
from application.runtime.log import EventLog
from application.server.reception import Reception
from application.server.register import Registrar
from application.server.sessions import SessionRepository
from application.server.streams import StreamReception
from domain.addressing.endpoint import Endpoint
from domain.session.aggregated_stream import LARGEST_AGGREGATED_BODY_BYTES
from domain.session.framing import LARGEST_BODY_BYTES
from domain.settings.profile import TransportProfile, TransportProtocol
from infrastructure.network.stream.client import StreamDialer
from infrastructure.network.stream.codec import Codec
from infrastructure.network.stream.listener import BoundStreamListener
from infrastructure.network.stream.proxy_header import ProxyHeader
from infrastructure.network.stream.stack import Codecs
from infrastructure.network.tls.client import server_trust
from infrastructure.network.tls.codec import TlsCodec
from infrastructure.network.tls.server import ReloadingServerContext
from infrastructure.network.ws.codec import WebSocketClientCodec, WebSocketServerCodec


def stream_dialer(profile: TransportProfile, mark: int | None, *, aggregation: bool) -> Dialer:
    """See ``tungo.transports.dialer_of``; ``mark`` is the firewall mark of everything sent, None for none."""
    return StreamDialer(
        name=profile.protocol.value,
        mark=mark,
        codecs=_client_codecs(profile),
        largest_body_bytes=LARGEST_AGGREGATED_BODY_BYTES if aggregation else LARGEST_BODY_BYTES,
    )


def stream_reception(
    host: str | None,
    profile: TransportProfile,
    mark: int,
    *,
    registrar: Registrar,
    sessions: SessionRepository,
    clock: Clock,
    counters: TunnelCounters,
    log: EventLog,
) -> Reception:
    """See ``tungo.transports.reception_of``; ``host`` is the address to listen at, None for all."""
    codecs = _server_codecs(profile, log, clock)
    return StreamReception(
        listener=BoundStreamListener.bind(host, profile.port, mark=mark, codecs=codecs),
        sessions=sessions,
        registrar=registrar,
        clock=clock,
        counters=counters,
        log=log,
    )


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
