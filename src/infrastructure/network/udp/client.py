"""The client's UDP path: one connected socket per session."""

import asyncio
import errno
import os
import select
import socket
from collections.abc import Sequence
from typing import Final

from application.network.connection.transport import (
    ClientTransport,
    Dialer,
    DialError,
    DialForbiddenError,
    TransportError,
)
from application.network.routing.counters import TunnelCounters
from application.network.udp.listener import UdpError
from application.network.udp.packet import Packet, PacketFlags
from domain.addressing.endpoint import Endpoint
from domain.settings.profile import TransportProfile
from infrastructure.network.addresses import family_of, socket_address_of
from infrastructure.network.names import look_up
from infrastructure.network.resolution import NameLookup, resolve
from infrastructure.network.sockets import FirewallMarkError, SocketFactory, reason
from infrastructure.network.udp.buffers import DatagramBuffer
from infrastructure.network.udp.coalescing import CoalescingIngress, joins_datagrams
from infrastructure.network.udp.egress import ConnectedEgress
from infrastructure.network.udp.frames import DatagramFrames
from infrastructure.network.udp.ingress import ConnectedIngress, Drain
from infrastructure.network.udp.offload import WHERE_POSSIBLE, UdpOffload
from infrastructure.network.udp.sockets import SocketOptions, open_datagram_socket, opened

# Protocol specification 6.2.
HANDSHAKE_BUFFER_BYTES: Final = 2048


class UdpClientTransport:
    """A connected, non-blocking socket, and the owner of it: ``close`` closes it.

    ``receive_message`` waits on the running loop and takes a datagram off the socket only when it returns it:
    cancelled, it leaves no reader behind and loses nothing. One call at a time.

    ``packets`` is the batch that the ingress reads into, and ``counters`` what it counts in.
    """

    __slots__ = (
        "_coalescing",
        "_counters",
        "_drain",
        "_egress",
        "_frames",
        "_message",
        "_packets",
        "_remote_endpoint",
        "_socket",
        "_waiting",
        "_watch",
    )

    def __init__(
        self,
        connected_socket: socket.socket,
        remote_endpoint: Endpoint,
        packets: Sequence[Packet],
        counters: TunnelCounters,
        *,
        offload: UdpOffload = WHERE_POSSIBLE,
    ) -> None:
        # An event loop may watch a descriptor no longer once it has shown an error (uvloop's does). What ICMP
        # reports is one, and a session goes on after it: an epoll around the socket is only ever readable.
        self._watch = select.epoll()
        self._watch.register(connected_socket, select.EPOLLIN)
        self._socket = connected_socket
        self._remote_endpoint = remote_endpoint
        self._egress = ConnectedEgress(connected_socket, offload=offload.segmentation)
        self._drain: Drain = ConnectedIngress(connected_socket, remote_endpoint)
        self._packets = packets
        self._counters = counters
        self._coalescing = offload.coalescing
        self._frames: DatagramFrames | None = None
        self._message = (DatagramBuffer(HANDSHAKE_BUFFER_BYTES),)
        self._waiting: asyncio.Future[None] | None = None

    @property
    def remote_endpoint(self) -> Endpoint:
        return self._remote_endpoint

    async def send_message(self, message: bytes) -> None:
        """See ``ClientTransport``; a full socket buffer is an error too, as nobody would send again."""
        try:
            self._socket.send(message)
        except OSError as exc:
            raise TransportError(f"cannot send to {self._remote_endpoint}: {reason(exc)}") from exc

    async def receive_message(self) -> bytes:
        """See ``ClientTransport``. Empty datagrams and those above 2048 bytes are passed over."""
        packet = self._message[0]
        while True:
            # Waiting even when a datagram is there lets timeouts fire under a flood of forged ones.
            await self._readable()
            try:
                count = self._drain.read_batch(self._message)
            except UdpError as exc:
                raise TransportError(str(exc)) from exc
            number = self._take_refusal_errno()
            if number == errno.ECONNREFUSED:
                raise TransportError(f"{self._remote_endpoint} refused: nothing listens there")
            if number:
                raise TransportError(f"{self._remote_endpoint} failed: {os.strerror(number)}")
            if count == 1 and packet.length > 0 and not packet.flags & PacketFlags.TRUNCATED:
                return bytes(packet.view[: packet.length])

    async def _readable(self) -> None:
        """Wait until a read would not block; also returns when the transport is closed."""
        descriptor = self.fileno()
        if descriptor < 0:
            return
        loop = asyncio.get_running_loop()
        ready = self._waiting = loop.create_future()
        loop.add_reader(descriptor, _resolve, ready)
        try:
            await ready
        finally:
            self._waiting = None
            # After close the number may already belong to another socket.
            if self.fileno() == descriptor:
                loop.remove_reader(descriptor)

    def fileno(self) -> int:
        return -1 if self._watch.closed else self._watch.fileno()

    def ingress(self) -> DatagramFrames:
        """See ``ClientTransport``; the same object each time.

        Only now is the kernel asked to join datagrams: handshake messages are read one by one.
        """
        if self._frames is None:
            if self._coalescing and joins_datagrams(self._socket):
                self._drain = CoalescingIngress.connected(self._socket, self._remote_endpoint)
            self._frames = DatagramFrames(self._drain, self._packets, self._counters)
        return self._frames

    def take_refusal(self) -> str | None:
        """See ``ClientTransport``."""
        number = self._take_refusal_errno()
        if number == 0:
            return None
        if number == errno.ECONNREFUSED:
            return "the server's host says that nobody listens on its port"
        return f"the network says that the server cannot be reached: {os.strerror(number)}"

    def take_long_frames(self) -> None:
        """Nothing to do: datagrams end where they end."""

    def egress(self) -> ConnectedEgress:
        """See ``ClientTransport``; the same object each time."""
        return self._egress

    def _take_refusal_errno(self) -> int:
        """What a read or a send has met since the last call; 0 if neither has met anything."""
        number = self._drain.refusal_errno or self._egress.refusal_errno
        if number:
            self._drain.refusal_errno = self._egress.refusal_errno = 0
        return number

    def close(self) -> None:
        """See ``ClientTransport``; a pending ``receive_message`` raises TransportError."""
        if self._waiting is not None:
            self._waiting.get_loop().remove_reader(self.fileno())
            _resolve(self._waiting)
        self._watch.close()
        self._socket.close()


class UdpDialer:
    """Opens UDP paths.

    ``packets`` are the receive buffers of all paths, of which one carries data at a time; ``counters`` takes
    the datagrams that did not fit. ``mark`` is the firewall mark of everything sent, None for no mark.
    """

    __slots__ = ("_counters", "_lookup", "_offload", "_open_socket", "_options", "_packets")

    def __init__(
        self,
        *,
        packets: Sequence[Packet],
        counters: TunnelCounters,
        mark: int | None = None,
        offload: UdpOffload = WHERE_POSSIBLE,
        lookup: NameLookup = look_up,
        open_socket: SocketFactory = open_datagram_socket,
    ) -> None:
        self._packets = packets
        self._counters = counters
        self._options = SocketOptions(mark=mark)
        self._offload = offload
        self._lookup = lookup
        self._open_socket = open_socket

    async def resolve(self, profile: TransportProfile) -> list[Endpoint]:
        """See ``Dialer``."""
        return await resolve(profile, lookup=self._lookup)

    async def dial(self, endpoint: Endpoint) -> UdpClientTransport:
        """See ``Dialer``. Nothing is sent, so success only says that there is a route."""
        family = family_of(endpoint)
        try:
            with opened(self._open_socket, family, self._options) as datagram_socket:
                datagram_socket.connect(socket_address_of(endpoint, family))
                return UdpClientTransport(
                    datagram_socket, endpoint, self._packets, self._counters, offload=self._offload
                )
        except FirewallMarkError as exc:
            raise DialForbiddenError(f"cannot open a UDP path to {endpoint}: {reason(exc)}") from exc
        except OSError as exc:
            raise DialError(f"cannot open a UDP path to {endpoint}: {reason(exc)}") from exc


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


_transport: type[ClientTransport] = UdpClientTransport
_dialer: type[Dialer] = UdpDialer
