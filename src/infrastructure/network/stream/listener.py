"""The server's listening socket with all its connections."""

import errno
import socket
import time
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Final

from application.network.connection.transport import TransportError
from application.network.stream.listener import StreamBindError, StreamBindForbiddenError, StreamListener
from domain.addressing.endpoint import Endpoint
from infrastructure.network.addresses import SocketAddress, endpoint_of
from infrastructure.network.sockets import (
    BindingForbiddenError,
    BindingRefusedError,
    SocketFactory,
    accept_ipv4_too,
    bound_socket,
    reason,
)
from infrastructure.network.stream.alarm import Alarm
from infrastructure.network.stream.connection import RECEIVE_BUFFER_BYTES, Connection
from infrastructure.network.stream.lingering import LingeringSockets
from infrastructure.network.stream.sockets import BACKLOG, open_stream_socket, opened
from infrastructure.network.stream.stack import Codecs, no_codecs
from infrastructure.network.stream.watch import Watch

# Ours: what one poll takes on. The rest is still ready at the next, and what has been served goes behind it.
READY_LIMIT: Final = 64
ACCEPT_LIMIT: Final = 16

# Ours: how long a server that has no descriptor left lets knocks wait in the kernel's queue, unless a
# connection closes before.
ACCEPT_PAUSE_S: Final = 1.0

# The connection that was to be accepted is gone, or its network is (accept(2)).
_KNOCKER_ERRNOS: Final = frozenset(
    {
        errno.ECONNABORTED,
        errno.EHOSTDOWN,
        errno.EHOSTUNREACH,
        errno.ENETDOWN,
        errno.ENETUNREACH,
        errno.ENONET,
        errno.ENOPROTOOPT,
        errno.EOPNOTSUPP,
        errno.EPERM,  # a firewall rule
        errno.EPROTO,
    }
)

# This process or host has no room for one more.
_NO_ROOM_ERRNOS: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.ENOSPC})


class BoundStreamListener:
    """A listening, non-blocking socket and its connections, and the owner of all: ``close`` closes them.

    ``codecs`` makes the layers of each connection. Raises OSError if the process has too many descriptors.
    """

    __slots__ = (
        "_alarm",
        "_buffer",
        "_codecs",
        "_connections",
        "_lingering",
        "_local_endpoint",
        "_open",
        "_paused_until_s",
        "_socket",
        "_watch",
    )

    def __init__(self, listening_socket: socket.socket, codecs: Codecs = no_codecs) -> None:
        self._socket = listening_socket
        self._codecs = codecs
        self._local_endpoint = endpoint_of(listening_socket.getsockname())
        self._buffer = memoryview(bytearray(RECEIVE_BUFFER_BYTES))
        self._connections: set[Connection] = set()
        self._paused_until_s: float | None = None
        with ExitStack() as opening:
            self._watch: Watch[Connection | socket.socket | Alarm] = Watch()
            opening.callback(self._watch.close)
            self._alarm = Alarm()
            opening.callback(self._alarm.close)
            self._watch.add(self._alarm.fileno(), self._alarm)
            self._watch.add(listening_socket.fileno(), listening_socket)
            self._lingering = LingeringSockets(self._watch)
            self._open = opening.pop_all()

    @classmethod
    def bind(
        cls,
        host: str | None,
        port: int,
        *,
        mark: int | None = None,
        codecs: Codecs = no_codecs,
        open_socket: SocketFactory = open_stream_socket,
    ) -> "BoundStreamListener":
        """Listen on ``host`` (an IP literal) and ``port`` (0: any free one).

        None and ``::`` accept both families through one socket; None falls back to IPv4 where the kernel
        has no IPv6. ``mark`` is the firewall mark of what is sent, ``codecs`` as above. Raises
        StreamBindError.
        """

        def open_bound(family: int, address: SocketAddress) -> socket.socket:
            with opened(open_socket, family, mark) as stream_socket:
                # A server that comes back must not wait for its old connections to be forgotten.
                stream_socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                accept_ipv4_too(stream_socket)
                stream_socket.bind(address)
                stream_socket.listen(BACKLOG)
                return stream_socket

        try:
            bound = bound_socket(host, port, open_bound)
        except BindingForbiddenError as exc:
            raise StreamBindForbiddenError(f"cannot listen on TCP {exc}") from exc
        except BindingRefusedError as exc:
            raise StreamBindError(f"cannot listen on TCP {exc}") from exc
        try:
            return cls(bound, codecs)
        except OSError as exc:
            with bound:
                endpoint = endpoint_of(bound.getsockname())
            raise StreamBindError(f"cannot listen on TCP {endpoint}: {reason(exc)}") from exc

    @property
    def local_endpoint(self) -> Endpoint:
        """See ``StreamListener``; still known after close."""
        return self._local_endpoint

    def fileno(self) -> int:
        return self._watch.fileno()

    def poll(self) -> Sequence[Connection]:
        if self.fileno() < 0:
            raise TransportError(f"the TCP socket on {self._local_endpoint} is closed")
        to_read: list[Connection] = []
        for owner, readable, writable in self._watch.ready(READY_LIMIT):
            if isinstance(owner, Connection):
                if writable:
                    owner.flush()
                if readable:
                    to_read.append(owner)
            elif owner is self._socket:
                to_read += self._accept()
            elif isinstance(owner, socket.socket):
                self._lingering.discard_from(owner)
            else:
                self._keep_time()
        return to_read

    def close(self) -> None:
        if self.fileno() < 0:
            return
        for connection in list(self._connections):
            connection.close()
        self._lingering.close()
        self._open.close()
        self._socket.close()

    def _accept(self) -> list[Connection]:
        accepted: list[Connection] = []
        for _ in range(ACCEPT_LIMIT):
            try:
                stream_socket, address = self._socket.accept()
            except BlockingIOError:
                break
            except OSError as exc:
                if exc.errno in _KNOCKER_ERRNOS:
                    continue
                if exc.errno in _NO_ROOM_ERRNOS:
                    self._pause()
                    break
                raise TransportError(
                    f"the TCP socket on {self._local_endpoint} failed: {reason(exc)}"
                ) from exc
            try:
                accepted.append(self._welcome(stream_socket, endpoint_of(address)))
            except OSError as exc:
                if exc.errno in _NO_ROOM_ERRNOS:
                    self._pause()
                    break
        return accepted

    def _welcome(self, stream_socket: socket.socket, endpoint: Endpoint) -> Connection:
        with ExitStack() as undo:
            undo.callback(stream_socket.close)
            stream_socket.settimeout(0)
            connection = Connection(
                stream_socket,
                endpoint,
                self._codecs(endpoint),
                buffer=self._buffer,
                attendant=self._watch,
                release=self._release,
            )
            self._watch.add(stream_socket.fileno(), connection)
            undo.callback(self._watch.remove, stream_socket.fileno())
            connection.start()
            undo.pop_all()
        self._connections.add(connection)
        return connection

    def _release(self, connection: Connection) -> None:
        stream_socket = connection.stream_socket
        self._connections.discard(connection)
        self._watch.remove(stream_socket.fileno())
        if connection.peer_is_gone:
            stream_socket.close()
        else:
            self._lingering.add(stream_socket)
        if self._paused_until_s is not None:
            self._resume()
        self._set_alarm()

    def _pause(self) -> None:
        """Stop accepting for a while: the socket would be readable all the time."""
        self._watch.remove(self._socket.fileno())
        self._paused_until_s = time.monotonic() + ACCEPT_PAUSE_S
        self._set_alarm()

    def _resume(self) -> None:
        self._paused_until_s = None
        self._watch.add(self._socket.fileno(), self._socket)

    def _keep_time(self) -> None:
        self._lingering.expire()
        if self._paused_until_s is not None and self._paused_until_s <= time.monotonic():
            self._resume()
        self._set_alarm()

    def _set_alarm(self) -> None:
        deadlines = [
            deadline_s
            for deadline_s in (self._lingering.next_deadline_s, self._paused_until_s)
            if deadline_s is not None
        ]
        self._alarm.set(min(deadlines) - time.monotonic() if deadlines else None)


_: type[StreamListener] = BoundStreamListener
