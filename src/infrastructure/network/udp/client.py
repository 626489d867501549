"""The client's UDP path: one connected socket per session."""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeAlias

from application.network.connection.transport import (
    ClientTransport,
    Dialer,
    DialError,
    DialForbiddenError,
    ResolutionError,
    TransportError,
)
from application.network.udp.listener import UdpError
from application.network.udp.packet import PacketFlags
from domain.addressing.endpoint import Endpoint
from domain.settings.profile import TransportProfile
from infrastructure.network.names import look_up
from infrastructure.network.udp.addresses import family_of, literal_endpoint, socket_address_of
from infrastructure.network.udp.buffers import DatagramBuffer
from infrastructure.network.udp.coalescing import CoalescingIngress, joins_datagrams
from infrastructure.network.udp.egress import ConnectedEgress
from infrastructure.network.udp.ingress import ConnectedIngress, Drain
from infrastructure.network.udp.sockets import (
    FirewallMarkError,
    SocketFactory,
    SocketOptions,
    open_datagram_socket,
    opened,
    reason,
)

# Protocol specification 6.2.
HANDSHAKE_BUFFER_BYTES: Final = 2048

# A name beside a literal is only a second choice: a dead resolver must not use up the time for the first.
LOOKUP_BESIDE_LITERAL_S: Final = 1.0

# The addresses of a name in one family (AF_INET or AF_INET6); may be empty. Raises ResolutionError.
NameLookup: TypeAlias = Callable[[str, int, int], Awaitable[Sequence[Endpoint]]]


class UdpClientTransport:
    """A connected, non-blocking socket, and the owner of it: ``close`` closes it.

    ``receive_message`` waits on the running loop and takes a datagram off the socket only when it returns it:
    cancelled, it leaves no reader behind and loses nothing. One call at a time.

    ``offload`` lets the kernel join and segment runs of datagrams, where it can. Raises OSError if the
    process has too many descriptors.
    """

    __slots__ = ("_egress", "_ingress", "_message", "_remote_endpoint", "_socket", "_waiting")

    def __init__(
        self, connected_socket: socket.socket, remote_endpoint: Endpoint, *, offload: bool = True
    ) -> None:
        self._socket = connected_socket
        self._remote_endpoint = remote_endpoint
        self._egress = ConnectedEgress(connected_socket, offload=offload)
        self._ingress: Drain
        if offload and joins_datagrams(connected_socket):
            self._ingress = CoalescingIngress.connected(connected_socket, remote_endpoint)
        else:
            self._ingress = ConnectedIngress(connected_socket, remote_endpoint)
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
                count = self._ingress.read_batch(self._message)
            except UdpError as exc:
                raise TransportError(str(exc)) from exc
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
        return self._ingress.fileno()

    def ingress(self) -> Drain:
        """See ``ClientTransport``; the same object each time."""
        return self._ingress

    def egress(self) -> ConnectedEgress:
        """See ``ClientTransport``; the same object each time."""
        return self._egress

    def close(self) -> None:
        """See ``ClientTransport``; a pending ``receive_message`` raises TransportError."""
        if self._waiting is not None:
            self._waiting.get_loop().remove_reader(self.fileno())
            _resolve(self._waiting)
        self._ingress.close()
        self._socket.close()


class UdpDialer:
    """Opens UDP paths.

    ``mark`` is the firewall mark of everything sent, None for no mark. ``offload`` lets the kernel join and
    segment runs of datagrams, where it can.
    """

    __slots__ = ("_lookup", "_offload", "_open_socket", "_options")

    def __init__(
        self,
        *,
        mark: int | None = None,
        offload: bool = True,
        lookup: NameLookup = look_up,
        open_socket: SocketFactory = open_datagram_socket,
    ) -> None:
        self._options = SocketOptions(mark=mark)
        self._offload = offload
        self._lookup = lookup
        self._open_socket = open_socket

    async def resolve(self, profile: TransportProfile) -> list[Endpoint]:
        """IPv4 literal, IPv6 literal, then the name's A and AAAA addresses (protocol specification 7).

        With a literal the name gets LOOKUP_BESIDE_LITERAL_S, and its failure does not matter.
        """
        server, port = profile.server, profile.port
        literals = [address for address in (server.ipv4, server.ipv6) if address is not None]
        try:
            candidates = [literal_endpoint(address, port) for address in literals]
        except OSError as exc:
            raise ResolutionError(f"{server.ipv6}: there is no such interface") from exc
        if server.domain:
            reasons: list[str] = []
            try:
                async with asyncio.timeout(LOOKUP_BESIDE_LITERAL_S if candidates else None):
                    candidates += await self._resolve_name(server.domain, port, reasons)
            except TimeoutError:
                pass  # the literals are enough to go on with
            if not candidates:
                why = "; ".join(dict.fromkeys(reasons)) or "it has no address"
                raise ResolutionError(f"cannot resolve {server.domain!r}: {why}")
        if not candidates:
            raise ResolutionError(
                "the configuration names no server: set a domain, an IPv4 or an IPv6 address"
            )
        return list(dict.fromkeys(candidates))

    async def _resolve_name(self, name: str, port: int, reasons: list[str]) -> list[Endpoint]:
        async def ask(family: int) -> Sequence[Endpoint]:
            try:
                return await self._lookup(name, port, family)
            except ResolutionError as exc:
                reasons.append(str(exc))
                return ()

        async with asyncio.TaskGroup() as lookups:
            ipv4 = lookups.create_task(ask(socket.AF_INET))
            ipv6 = lookups.create_task(ask(socket.AF_INET6))
        return [*ipv4.result(), *ipv6.result()]

    async def dial(self, endpoint: Endpoint) -> UdpClientTransport:
        """See ``Dialer``. Nothing is sent, so success only says that there is a route."""
        family = family_of(endpoint)
        try:
            with opened(self._open_socket, family, self._options) as datagram_socket:
                datagram_socket.connect(socket_address_of(endpoint, family))
                return UdpClientTransport(datagram_socket, endpoint, offload=self._offload)
        except FirewallMarkError as exc:
            raise DialForbiddenError(f"cannot open a UDP path to {endpoint}: {reason(exc)}") from exc
        except OSError as exc:
            raise DialError(f"cannot open a UDP path to {endpoint}: {reason(exc)}") from exc


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


_transport: type[ClientTransport] = UdpClientTransport
_dialer: type[Dialer] = UdpDialer
