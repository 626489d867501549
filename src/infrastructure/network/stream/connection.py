"""One connection: a socket, the codecs on it, the frames in it, and what waits to be written.

How it ends::

    peer closes, resets, vanishes      found by reading or writing, raised by the next read_frames
    peer breaks a rule                 raised by read_frames; a layer's last answer is on its way
    peer never reads                   above HARD_LIMIT_BYTES the connection is aborted; raised by read_frames
    close()                            the layers' goodbyes are on their way

Whoever watches the socket learns through ``Attendant.recall`` of an end that the socket does not show, and
gets the socket of a closed connection through ``release``.
"""

import errno
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final, Protocol, TypeAlias, runtime_checkable

from application.network.connection.transport import TransportError
from application.network.stream.listener import StreamConnection
from domain.addressing.endpoint import Endpoint
from domain.noise.primitives import Buffer
from domain.session.aggregated_stream import LARGEST_AGGREGATED_BODY_BYTES
from domain.session.framing import LARGEST_BODY_BYTES, FramingError, split_frames
from infrastructure.network.sockets import reason
from infrastructure.network.stream.codec import Codec, StreamEndedError
from infrastructure.network.stream.egress import Outlet, StreamEgress
from infrastructure.network.stream.outbox import Outbox
from infrastructure.network.stream.sockets import abort_on_close
from infrastructure.network.stream.stack import CodecStack

# Ours: one read. On a plain connection a whole batch and more; with codecs, whose work grows with what they
# get, as much as other connections can wait for.
RECEIVE_BUFFER_BYTES: Final = 256 << 10
CODED_READ_BYTES: Final = 64 << 10

# Ours: above this no packet is sealed for the peer. With what the kernel holds unsent, 30 ms at 100 Mbit/s:
# whoever is slower sees losses, which is what slows the connections inside the tunnel down.
SOFT_LIMIT_BYTES: Final = 256 << 10

# Ours: what is sent beyond the soft limit are answers. A peer that asks on and on and never reads ends here.
HARD_LIMIT_BYTES: Final = 1 << 20

_REASONS: Final = {
    errno.ECONNRESET: "the peer reset the connection",
    errno.EPIPE: "the peer reset the connection",
    errno.ETIMEDOUT: "the peer no longer answers",
}


@runtime_checkable
class KnowsClient(Protocol):
    """A codec that may learn from a proxy where the client is."""

    def client_endpoint(self, socket_endpoint: Endpoint) -> Endpoint:
        """Where the client is, if the layer below says ``socket_endpoint``; final once this layer is open."""
        ...


@runtime_checkable
class Enlargeable(Protocol):
    """A codec that makes smaller pieces for a Go program than it need make for us."""

    def enlarge(self) -> None:
        """The other end is one of ours: from now on, pieces as large as that takes."""
        ...


class Attendant(Protocol):
    """Who watches the sockets of connections."""

    def want_room(self, descriptor: int, *, wanted: bool) -> None:
        """Whether ``flush`` is to be called when there is room to write."""
        ...

    def recall(self, owner: "Connection") -> None:
        """Have ``read_frames`` called although there is nothing to read."""
        ...


# Takes a connection that is closed: its socket is to be closed by the callee.
Release: TypeAlias = "Callable[[Connection], None]"


class Connection:
    """A connected, non-blocking socket; see StreamConnection.

    ``endpoint`` is the other end of the socket. ``buffer`` is what is read into; connections may share one,
    of RECEIVE_BUFFER_BYTES. Call ``start`` once, when ``attendant`` watches the socket.
    """

    __slots__ = (
        "_attendant",
        "_buffer",
        "_closed",
        "_codec",
        "_egress",
        "_enlargeable",
        "_informants",
        "_largest_body_bytes",
        "_leftover",
        "_outbox",
        "_release",
        "_socket_endpoint",
        "endpoint",
        "over",
        "peer_is_gone",
        "stream_socket",
        "wants_room",
    )

    def __init__(
        self,
        stream_socket: socket.socket,
        endpoint: Endpoint,
        codecs: Sequence[Codec],
        *,
        buffer: memoryview,
        attendant: Attendant,
        release: Release,
        largest_body_bytes: int = LARGEST_BODY_BYTES,
    ) -> None:
        self.stream_socket = stream_socket
        self.endpoint = self._socket_endpoint = endpoint
        self.peer_is_gone = False  # it has closed or is out of reach: nobody to say goodbye to
        self._informants = tuple(codec for codec in codecs if isinstance(codec, KnowsClient))
        self._buffer = buffer
        self._attendant = attendant
        self._release = release
        self._outbox = Outbox(stream_socket)
        self._egress = StreamEgress(self, endpoint)
        self._leftover = b""  # the beginning of a frame
        self.over: str | None = None  # why, once nothing can be read any more
        self._closed = False
        self.wants_room = False  # something waits, to be flushed
        self._codec: Codec | None = CodecStack(codecs) if codecs else None
        self._enlargeable = tuple(codec for codec in codecs if isinstance(codec, Enlargeable))
        self._largest_body_bytes = largest_body_bytes

    def start(self) -> None:
        """Begin the layers' opening handshakes; a client's first words go out."""
        if self._codec is not None:
            self._codec.start()
            self._send(self._codec.take_output())

    @property
    def is_open(self) -> bool:
        """Whether the opening handshakes of all layers are done, so that frames can be sent."""
        return self.over is None and (self._codec is None or self._codec.is_open)

    @property
    def closed(self) -> bool:
        return self._closed

    @property
    def has_room(self) -> bool:
        """See Egress."""
        return self.over is None and self._outbox.waiting_bytes <= SOFT_LIMIT_BYTES

    def egress(self) -> StreamEgress:
        return self._egress

    def take_long_frames(self) -> None:
        self._largest_body_bytes = LARGEST_AGGREGATED_BODY_BYTES
        for codec in self._enlargeable:
            codec.enlarge()

    def read_frames(self) -> Sequence[Buffer]:
        if self.over is not None:
            raise TransportError(self.over)
        try:
            return self._receive() if self._codec is None else self._receive_through(self._codec)
        except BlockingIOError:
            return ()
        except (FramingError, StreamEndedError) as exc:
            self.over = str(exc)
            raise TransportError(self.over) from exc
        except OSError as exc:
            self.peer_is_gone = True
            self.over = _reason(exc)
            raise TransportError(self.over) from exc

    def write(self, payload: Buffer) -> bool:
        """See Outlet."""
        if self.over is not None:
            return False
        if self._codec is None:
            self._send(payload)
        elif self._codec.is_open:
            self._codec.send(payload)
            self._send(self._codec.take_output())
        else:
            return False
        return self.over is None

    def flush(self) -> None:
        """There is room: write what waits for it."""
        try:
            self._outbox.flush()
        except OSError as exc:
            self._fail(_reason(exc))
        else:
            self._bound()

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self.over = self.over or "the connection is closed"
        if not self.peer_is_gone:
            with suppress(OSError):
                if self._codec is not None:
                    self._codec.close()
                    self._outbox.put(self._codec.take_output())
                self._outbox.flush()
        self._release(self)

    def _receive(self) -> Sequence[Buffer]:
        buffer = self._buffer
        kept = len(self._leftover)
        buffer[:kept] = self._leftover
        end = kept + self._received(buffer[kept:])
        frames, taken = split_frames(buffer[:end], self._largest_body_bytes)
        self._leftover = bytes(buffer[taken:end])
        return frames

    def _receive_through(self, codec: Codec) -> Sequence[Buffer]:
        received = self._received(self._buffer[:CODED_READ_BYTES])
        try:
            pieces = codec.receive(self._buffer[:received])
        finally:
            # Also after the end: a layer may have a last answer.
            self._send(codec.take_output())
        self._learn_endpoint()
        if self._leftover or len(pieces) > 1:
            stream = memoryview(b"".join((self._leftover, *pieces)))
        elif pieces:
            stream = memoryview(pieces[0])
        else:
            return ()
        frames, taken = split_frames(stream, self._largest_body_bytes)
        self._leftover = bytes(stream[taken:])
        return frames

    def _received(self, place: memoryview) -> int:
        """Read once into ``place``; returns how much. Raises StreamEndedError at the end, OSError."""
        size = self.stream_socket.recv_into(place)
        if size == 0:
            self.peer_is_gone = True
            where = " in the middle of a frame" if self._leftover else ""
            raise StreamEndedError(f"the peer closed the connection{where}")
        return size

    def _learn_endpoint(self) -> None:
        if self._informants:
            # The layer next to the socket wins: a proxy that names its client passes the client's bytes on
            # as they are, so that what stands in them about addresses is the client's own word.
            for codec in self._informants:
                endpoint = codec.client_endpoint(self._socket_endpoint)
                if endpoint != self._socket_endpoint:
                    self.endpoint = self._egress.endpoint = endpoint
                    break
            if self.is_open:
                self._informants = ()

    def _send(self, data: Buffer) -> None:
        """Write ``data``, or let it wait for room; a failure is for the next ``read_frames`` to raise."""
        if not data:
            return
        try:
            self._outbox.put(data)
        except OSError as exc:
            self._fail(_reason(exc))
        else:
            self._bound()

    def _bound(self) -> None:
        waiting = self._outbox.waiting_bytes
        if waiting > HARD_LIMIT_BYTES:
            # What waits is lost in any case; let go of the kernel's part of it, too.
            with suppress(OSError):
                abort_on_close(self.stream_socket)
            self._fail("the peer does not read what it is sent")
        elif self.wants_room != (waiting > 0):
            self.wants_room = waiting > 0
            self._attendant.want_room(self.stream_socket.fileno(), wanted=self.wants_room)

    def _fail(self, why: str) -> None:
        self.peer_is_gone = True
        self.over = why
        self._attendant.recall(self)


def _reason(exc: OSError) -> str:
    return _REASONS.get(exc.errno or 0) or reason(exc)


_connection: type[StreamConnection] = Connection
_outlet: type[Outlet] = Connection
