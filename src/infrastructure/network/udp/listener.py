"""The server's UDP socket."""

import socket

from application.network.udp.listener import UdpBindError, UdpBindForbiddenError, UdpListener
from application.network.udp.packet import Packet
from domain.addressing.endpoint import Endpoint
from domain.noise.primitives import Buffer
from infrastructure.network.addresses import SocketAddress, endpoint_of
from infrastructure.network.sockets import (
    BindingForbiddenError,
    BindingRefusedError,
    SocketFactory,
    accept_ipv4_too,
    bound_socket,
)
from infrastructure.network.udp.coalescing import CoalescingIngress, joins_datagrams
from infrastructure.network.udp.egress import BatchingEgress
from infrastructure.network.udp.ingress import BatchingIngress, Drain
from infrastructure.network.udp.offload import WHERE_POSSIBLE, UdpOffload
from infrastructure.network.udp.sockets import (
    SOCKET_BUFFER_BYTES,
    SocketOptions,
    open_datagram_socket,
    opened,
)


class BoundUdpListener:
    """A bound, non-blocking socket, and the owner of it: ``close`` closes it.

    Limit: replies leave with the source address that routing chooses, not with the one that the peer sent to.
    On a host with several addresses a peer's connected socket drops such replies; bind the one address that
    peers use. Pinning the source (IP_PKTINFO) would cost ancillary data on every datagram both ways.
    """

    __slots__ = ("_egress", "_ingress", "_local_endpoint", "_socket")

    def __init__(self, bound_socket: socket.socket, *, offload: UdpOffload = WHERE_POSSIBLE) -> None:
        self._socket = bound_socket
        self._local_endpoint = endpoint_of(bound_socket.getsockname())
        name = f"the UDP socket on {self._local_endpoint}"
        self._egress = BatchingEgress(bound_socket, name, offload=offload.segmentation)
        self._ingress: Drain
        if offload.coalescing and joins_datagrams(bound_socket):
            self._ingress = CoalescingIngress.bound(bound_socket, name)
        else:
            self._ingress = BatchingIngress(bound_socket, name)

    @classmethod
    def bind(
        cls,
        host: str | None,
        port: int,
        *,
        mark: int | None = None,
        offload: UdpOffload = WHERE_POSSIBLE,
        receive_buffer_bytes: int = SOCKET_BUFFER_BYTES,
        send_buffer_bytes: int = SOCKET_BUFFER_BYTES,
        open_socket: SocketFactory = open_datagram_socket,
    ) -> "BoundUdpListener":
        """Bind ``host`` (an IP literal) and ``port`` (0: any free one).

        None and ``::`` accept both families through one socket; None falls back to IPv4 where the kernel
        has no IPv6. ``mark`` is the firewall mark of what is sent. Raises UdpBindError.
        """
        options = SocketOptions(mark, receive_buffer_bytes, send_buffer_bytes)

        def open_bound(family: int, address: SocketAddress) -> socket.socket:
            with opened(open_socket, family, options) as datagram_socket:
                accept_ipv4_too(datagram_socket)
                datagram_socket.bind(address)
                return datagram_socket

        try:
            bound = bound_socket(host, port, open_bound)
        except BindingForbiddenError as exc:
            raise UdpBindForbiddenError(f"cannot listen on UDP {exc}") from exc
        except BindingRefusedError as exc:
            raise UdpBindError(f"cannot listen on UDP {exc}") from exc
        return cls(bound, offload=offload)

    @property
    def local_endpoint(self) -> Endpoint:
        """See ``UdpListener``; still known after close."""
        return self._local_endpoint

    def fileno(self) -> int:
        return self._ingress.fileno()

    def read_from(self, packet: Packet) -> bool:
        return self._ingress.read_batch((packet,)) == 1

    def write_to(self, datagram: Buffer, endpoint: Endpoint) -> bool:
        """See ``UdpWriter``; False also when the kernel refused this endpoint or this length."""
        return self._egress.send_batch((datagram,), endpoint) == 1

    def batch_ingress(self) -> Drain:
        """See ``UdpListener``; the same object each time."""
        return self._ingress

    def batch_egress(self) -> BatchingEgress:
        """See ``UdpListener``; the same object each time."""
        return self._egress

    def close(self) -> None:
        self._socket.close()


_listener: type[UdpListener] = BoundUdpListener
