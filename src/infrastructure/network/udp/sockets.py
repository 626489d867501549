"""Opening datagram sockets: the options that both ends want, and what a refusal of the kernel means.

Errors::

    FirewallMarkError        SO_MARK was refused; an OSError, so that one handler closes the socket
"""

import errno
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, TypeAlias

from infrastructure.network.udp.addresses import SocketAddress

# asm-generic/socket.h; the socket module has no names for them.
SO_SNDBUFFORCE: Final = 32
SO_RCVBUFFORCE: Final = 33

# Protocol specification 2.8: what a server asks for. At 1 Gbit/s this rides out about 30 ms of scheduling.
SOCKET_BUFFER_BYTES: Final = 4 << 20

_LARGEST_SOCKET_ADDRESS_BYTES: Final = 28  # struct sockaddr_in6

# Opens an unconfigured datagram socket of AF_INET or AF_INET6. Raises OSError if the kernel lacks the family.
SocketFactory: TypeAlias = Callable[[int], socket.socket]

_ADVICE: Final = {
    errno.EADDRINUSE: "another program uses the port; stop it or choose another port",
    errno.EACCES: "no permission; ports below 1024 need root or CAP_NET_BIND_SERVICE",
    errno.EPERM: "no permission; a firewall rule or a missing capability forbids it",
    errno.EADDRNOTAVAIL: "this host has no such address; check the address and whether its interface is up",
    errno.EAFNOSUPPORT: "this kernel has no such address family; use an address of the other one",
    errno.ENETUNREACH: "there is no route to it; check that the network is up",
    errno.EHOSTUNREACH: "there is no route to it; check that the network is up",
}


class FirewallMarkError(OSError):
    """The process may not mark its packets for the firewall and the routing rules."""


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
            _set_mark(datagram_socket, options.mark)
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


def reason(exc: OSError) -> str:
    """Why the kernel refused and what can be done about it, to follow a colon in an error's text."""
    if not isinstance(exc, FirewallMarkError) and exc.errno in _ADVICE:
        return _ADVICE[exc.errno]
    return exc.strerror or str(exc)


def _set_buffer(datagram_socket: socket.socket, privileged: int, plain: int, size_bytes: int) -> None:
    try:
        datagram_socket.setsockopt(socket.SOL_SOCKET, privileged, size_bytes)
    except PermissionError:
        datagram_socket.setsockopt(socket.SOL_SOCKET, plain, size_bytes)


def _set_mark(datagram_socket: socket.socket, mark: int) -> None:
    try:
        datagram_socket.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, mark)
    except PermissionError as exc:
        raise FirewallMarkError(
            exc.errno, f"the firewall mark {mark} needs CAP_NET_ADMIN; run as root"
        ) from exc
