"""Opening stream sockets with the options that both ends want."""

import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from infrastructure.network.sockets import SocketFactory, set_mark

# The protocol's (specification 3.5).
KEEPALIVE_IDLE_S: Final = 30

# Ours: a peer that is gone while nothing is on its way is noticed within a minute.
KEEPALIVE_INTERVAL_S: Final = 10
KEEPALIVE_PROBES: Final = 3

# Ours: how long what was sent may go without an acknowledgement, or a peer without room for it. The kernel's
# own patience is a quarter of an hour, the protocol's at most 30 s.
USER_TIMEOUT_MS: Final = 20_000

# Ours: what the kernel may hold unsent, beside what is on its way. Packets that wait there can no longer be
# dropped, and their connections inside the tunnel see the wait as delay and never slow down. At 100 Mbit/s
# this much is 10 ms, and the kernel never runs dry: it asks for more at half of it.
UNSENT_BYTES: Final = 128 << 10

# The protocol's: a Go server lets 1024 accepted connections wait (specification 9).
BACKLOG: Final = 1024

_ABORT: Final = struct.pack("ii", 1, 0)  # struct linger: on, 0 s


def open_stream_socket(family: int) -> socket.socket:
    """A new TCP socket, closed on exec."""
    return socket.socket(family, socket.SOCK_STREAM)


@contextmanager
def opened(open_socket: SocketFactory, family: int, mark: int | None = None) -> Iterator[socket.socket]:
    """A new non-blocking socket with our options; it is closed again only if the block raises.

    What a listening socket accepts has its options (tcp(7)). ``mark`` is the firewall mark of what is sent,
    None for no mark. Raises FirewallMarkError, OSError.
    """
    stream_socket = open_socket(family)
    try:
        stream_socket.settimeout(0)
        _configure(stream_socket)
        if mark is not None:
            set_mark(stream_socket, mark)
        yield stream_socket
    except BaseException:
        stream_socket.close()
        raise


def abort_on_close(stream_socket: socket.socket) -> None:
    """Let ``close`` throw away what is not sent yet and reset the connection. Raises OSError."""
    stream_socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _ABORT)


def _configure(stream_socket: socket.socket) -> None:
    set_option = stream_socket.setsockopt
    set_option(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    set_option(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, KEEPALIVE_IDLE_S)
    set_option(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, KEEPALIVE_INTERVAL_S)
    set_option(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, KEEPALIVE_PROBES)
    set_option(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, USER_TIMEOUT_MS)
    set_option(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT_BYTES)
    # Frames are written in batches: whatever is smaller than a segment must not wait for an acknowledgement.
    set_option(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
