"""Opening datagram sockets with the options that both ends want."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from infrastructure.network.addresses import SocketAddress
from infrastructure.network.sockets import SocketFactory, set_mark

# asm-generic/socket.h; the socket module has no names for them.
SO_SNDBUFFORCE: Final = 32
SO_RCVBUFFORCE: Final = 33

# Protocol specification 2.8: what a server asks for. At 1 Gbit/s this rides out about 30 ms of scheduling.
SOCKET_BUFFER_BYTES: Final = 4 << 20

_LARGEST_SOCKET_ADDRESS_BYTES: Final = 28  # struct sockaddr_in6


def open_datagram_socket(family: int) -> socket.socket:
    """A new UDP socket, closed on exec."""
    return socket.socket(family, socket.SOCK_DGRAM)


@dataclass(frozen=True, slots=True)
class SocketOptions:
    """``mark`` is the firewall mark of what is sent, None for no mark."""

    mark: int | None = None
    receive_buffer_bytes: int = SOCKET_BUFFER_BYTES
    send_buffer_bytes: int = SOCKET_BUFFER_BYTES


@contextmanager
def opened(open_socket: SocketFactory, family: int, options: SocketOptions) -> Iterator[socket.socket]:
    """A new non-blocking socket with ``options``; it is closed again only if the block raises.

    A buffer that the kernel's limit cuts short is no error. Raises FirewallMarkError, OSError.
    """
    datagram_socket = open_socket(family)
    try:
        datagram_socket.settimeout(0)
        _set_buffer(datagram_socket, SO_RCVBUFFORCE, socket.SO_RCVBUF, options.receive_buffer_bytes)
        _set_buffer(datagram_socket, SO_SNDBUFFORCE, socket.SO_SNDBUF, options.send_buffer_bytes)
        if options.mark is not None:
            set_mark(datagram_socket, options.mark)
        yield datagram_socket
    except BaseException:
        datagram_socket.close()
        raise


def leave_from_here(connected_socket: socket.socket, address: SocketAddress) -> bool:
    """Let the kernel choose the source address of a connected socket anew; False if there is no route now.

    A connected socket keeps the source address of the moment when it was connected, also when the host has
    lost that address since. Connecting again keeps it, too; only dissolving the association (AF_UNSPEC,
    connect(2)) lets it go, and the socket module has no way to say so.
    """
    import ctypes  # noqa: PLC0415 - needed when an address changes, that is hardly ever

    nowhere = bytes(_LARGEST_SOCKET_ADDRESS_BYTES)  # a family of 0 is AF_UNSPEC
    if connected_socket.fileno() < 0 or ctypes.CDLL(None).connect(
        connected_socket.fileno(), nowhere, len(nowhere)
    ):
        return False
    try:
        connected_socket.connect(address)
    except OSError:
        return False
    return True


def _set_buffer(datagram_socket: socket.socket, privileged: int, plain: int, size_bytes: int) -> None:
    try:
        datagram_socket.setsockopt(socket.SOL_SOCKET, privileged, size_bytes)
    except PermissionError:
        datagram_socket.setsockopt(socket.SOL_SOCKET, plain, size_bytes)
