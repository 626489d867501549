"""Closed connections whose peer has yet to read the last that was sent to it.

A socket that is closed while something unread is in it, or still comes in, is reset, and a reset takes with
it what is still on its way to the peer (on some systems also what the peer has not read yet): the answer 404,
the reason of a refusal. So the sending side is closed, what comes in is read and thrown away, and the socket
is closed when the peer has closed, too: bounded in time, in bytes and in number.
"""

import socket
import time
from typing import Final, Protocol

# Ours: a round trip to anywhere, and a window of what was on its way.
LINGER_S: Final = 1.0
LINGER_BYTES: Final = 64 << 10

# Ours: strangers who connect, get a refusal and stay hold at most this many descriptors.
MOST_LINGERING: Final = 64


class SocketWatch(Protocol):
    """Who watches sockets for what comes in."""

    def add(self, descriptor: int, owner: socket.socket) -> None:
        """Report ``owner`` when ``descriptor`` is readable. Raises OSError."""
        ...

    def remove(self, descriptor: int) -> None:
        """Forget ``descriptor``."""
        ...


class _Patience:
    """What a lingering socket may still have."""

    __slots__ = ("bytes_left", "until_s")

    def __init__(self, until_s: float) -> None:
        self.until_s = until_s
        self.bytes_left = LINGER_BYTES


class LingeringSockets:
    """Owns the sockets given to it; a newcomer to a full house takes the place of the oldest."""

    __slots__ = ("_patience", "_watch")

    def __init__(self, watch: SocketWatch) -> None:
        self._watch = watch
        self._patience: dict[socket.socket, _Patience] = {}  # the oldest first

    @property
    def next_deadline_s(self) -> float | None:
        """When ``expire`` has something to do, on ``time.monotonic``; None if nobody lingers."""
        return next((patience.until_s for patience in self._patience.values()), None)

    def add(self, stream_socket: socket.socket) -> None:
        """Close the sending side of ``stream_socket``, which nobody watches, and see the rest through."""
        try:
            stream_socket.shutdown(socket.SHUT_WR)
            self._watch.add(stream_socket.fileno(), stream_socket)
        except OSError:
            stream_socket.close()
            return
        if len(self._patience) == MOST_LINGERING:
            self._close(next(iter(self._patience)))
        self._patience[stream_socket] = _Patience(time.monotonic() + LINGER_S)

    def discard_from(self, stream_socket: socket.socket) -> None:
        """It is readable: throw away what came, or close it at the end."""
        patience = self._patience.get(stream_socket)
        if patience is None:
            return  # closed since it was found readable
        try:
            size = len(stream_socket.recv(patience.bytes_left))
        except BlockingIOError:
            return
        except OSError:
            size = 0
        patience.bytes_left -= size
        if size == 0 or patience.bytes_left == 0:
            self._close(stream_socket)

    def expire(self) -> None:
        """Close those whose time is over."""
        now_s = time.monotonic()
        for stream_socket, patience in list(self._patience.items()):
            if patience.until_s > now_s:
                return
            self._close(stream_socket)

    def close(self) -> None:
        """Close all."""
        for stream_socket in list(self._patience):
            self._close(stream_socket)

    def _close(self, stream_socket: socket.socket) -> None:
        del self._patience[stream_socket]
        self._watch.remove(stream_socket.fileno())
        stream_socket.close()
