"""What differs from one transport to the other, in one place: framing and sockets.

The layers of the streams are in ``tungo.streams``, which is loaded when the first stream is needed.
"""

from collections.abc import Callable, Sequence
from typing import TypeAlias

from application.network.connection.crypto import ParcelCrypto
from application.network.connection.transport import Dialer
from application.network.routing.counters import TunnelCounters
from application.network.udp.packet import Packet
from application.runtime.clock import Clock
from application.runtime.log import EventLog
from application.server.datagrams import DatagramReception
from application.server.reception import Reception
from application.server.register import Registrar
from application.server.sessions import SessionRepository
from domain.noise.client import Delivery
from domain.noise.keys import EpochKeys, Role, SessionId
from domain.noise.primitives import Primitives
from domain.rekey.rules import Carrier
from domain.session.aggregated_datagrams import AggregatedDatagrams
from domain.session.aggregated_stream import AggregatedStream
from domain.session.datagram import DatagramSession
from domain.session.plain_parcels import PlainParcels
from domain.session.run_trial import RunTrial
from domain.session.stream import StreamSession
from domain.settings.offload import OffloadMode, OffloadSettings
from domain.settings.profile import LARGEST_MTU_BYTES, TransportProfile, TransportProtocol
from infrastructure.network.udp.buffers import DatagramBuffer
from infrastructure.network.udp.client import UdpDialer
from infrastructure.network.udp.coalescing import RUN_BUFFER_BYTES
from infrastructure.network.udp.egress import UdpPeerEgress
from infrastructure.network.udp.listener import BoundUdpListener
from infrastructure.network.udp.offload import UdpOffload, allowed_offload
from infrastructure.network.udp.registration import UdpRegistration
from infrastructure.pal.tunnel.client.tun_manager import FIREWALL_MARK
from infrastructure.tunnel.sizes import DATAGRAM_BUFFERS, RUN_BUFFERS, datagram_buffer_bytes

# The last argument: whether both ends have agreed on aggregated frames.
CryptoFor: TypeAlias = Callable[[SessionId, EpochKeys, bool], ParcelCrypto]
NewTrial: TypeAlias = Callable[[], RunTrial]


def carrier_of(protocol: TransportProtocol) -> Carrier:
    """Whether frames can get lost, for the rekey machines."""
    return Carrier.DATAGRAM if protocol is TransportProtocol.UDP else Carrier.STREAM


def delivery_of(protocol: TransportProtocol) -> Delivery:
    """Whether messages can get lost, for the handshake machine."""
    return Delivery.DATAGRAM if protocol is TransportProtocol.UDP else Delivery.STREAM


def run_trials(settings: OffloadSettings, log: EventLog) -> NewTrial | None:
    """What finds out, per session, whether runs of datagrams get lost; None if the file has decided."""
    if settings.udp_segmentation is not OffloadMode.AUTO:
        return None

    def settled() -> None:
        log.warning(
            "what the kernel takes apart gets lost: datagrams go one by one in this session",
            offload="UdpSegmentation",
        )

    return lambda: RunTrial(settled)


def session_crypto_of(
    primitives: Primitives, role: Role, profile: TransportProfile, new_trial: NewTrial | None = None
) -> CryptoFor:
    """Sessions over the transport of ``profile``, seen from ``role``."""
    mtu_bytes = profile.interface_mtu_bytes
    over_datagrams = profile.protocol is TransportProtocol.UDP

    def crypto_for(session_id: SessionId, keys: EpochKeys, aggregated: bool) -> ParcelCrypto:  # noqa: FBT001 - a callback
        if aggregated and over_datagrams:
            return AggregatedDatagrams(
                primitives,
                role,
                session_id,
                keys,
                mtu_bytes=mtu_bytes,
                largest_segment_bytes=LARGEST_MTU_BYTES,  # the other end's MTU may be larger than ours
                trial=None if new_trial is None else new_trial(),
            )
        if aggregated:
            return AggregatedStream(primitives, role, session_id, keys, mtu_bytes=LARGEST_MTU_BYTES)
        plain = DatagramSession if over_datagrams else StreamSession
        return PlainParcels(plain(primitives, role, session_id, keys))

    return crypto_for


def dialer_of(
    profile: TransportProfile,
    *,
    offload: OffloadSettings,
    aggregation: bool,
    counters: TunnelCounters,
    log: EventLog,
) -> Dialer:
    """Paths to the server of ``profile`` whose packets carry our mark and so go round the tunnel.

    ``aggregation`` says that the handshake may offer aggregated frames.

    Raises ConfigurationError if the authorities of a WSS profile cannot be read, UdpError if this kernel
    lacks an offload that has to be there.
    """
    if profile.protocol is TransportProtocol.UDP:
        allowed = allowed_offload(offload, log)
        return UdpDialer(
            mark=FIREWALL_MARK,
            packets=_datagram_buffers(profile, allowed),
            counters=counters,
            offload=allowed,
        )
    from tungo.streams import stream_dialer  # noqa: PLC0415 - a UDP tunnel need not load TLS and WebSocket

    return stream_dialer(profile, FIREWALL_MARK, aggregation=aggregation)


def reception_of(
    profile: TransportProfile,
    *,
    registrar: Registrar,
    sessions: SessionRepository,
    clock: Clock,
    counters: TunnelCounters,
    offload: OffloadSettings,
    log: EventLog,
) -> Reception:
    """Listen as ``profile`` says; what is sent carries our mark and goes round the tunnel of a client here.

    Raises UdpBindError, StreamBindError, ConfigurationError, and UdpError if this kernel lacks an offload
    that has to be there.
    """
    literal = profile.server.ipv4 or profile.server.ipv6
    host = None if literal is None else str(literal)
    if profile.protocol is TransportProtocol.UDP:
        allowed = allowed_offload(offload, log)
        listener = BoundUdpListener.bind(host, profile.port, mark=FIREWALL_MARK, offload=allowed)
        packets = _datagram_buffers(profile, allowed)
        return _datagram_reception(listener, packets, registrar, sessions, clock, counters)
    from tungo.streams import stream_reception  # noqa: PLC0415 - a UDP tunnel need not load TLS and WebSocket

    return stream_reception(
        host,
        profile,
        FIREWALL_MARK,
        registrar=registrar,
        sessions=sessions,
        clock=clock,
        counters=counters,
        log=log,
    )


def _datagram_reception(
    listener: BoundUdpListener,
    packets: Sequence[Packet],
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
        packets=packets,
        counters=counters,
    )


def _datagram_buffers(profile: TransportProfile, offload: UdpOffload) -> list[DatagramBuffer]:
    if offload.coalescing:
        return DatagramBuffer.allocate(RUN_BUFFERS, RUN_BUFFER_BYTES)
    return DatagramBuffer.allocate(DATAGRAM_BUFFERS, datagram_buffer_bytes(profile.interface_mtu_bytes))
