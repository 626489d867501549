"""The client's path over a stream: one connection per session."""

import asyncio
import errno
import os
import socket
from collections import deque
from collections.abc import Sequence
from typing import Final

from application.network.connection.ingress import FrameIngress
from application.network.connection.transport import (
    ClientTransport,
    Dialer,
    DialError,
    DialForbiddenError,
    TransportError,
)
from domain.addressing.endpoint import Endpoint
from domain.noise.primitives import Buffer
from domain.session.framing import LARGEST_BODY_BYTES, framed
from domain.session.runs import ReceivedRun
from domain.settings.profile import TransportProfile
from infrastructure.network.addresses import family_of, socket_address_of
from infrastructure.network.names import look_up
from infrastructure.network.resolution import NameLookup, resolve
from infrastructure.network.sockets import FirewallMarkError, SocketFactory, reason
from infrastructure.network.stream.codec import Codec
from infrastructure.network.stream.connection import RECEIVE_BUFFER_BYTES, Connection
from infrastructure.network.stream.egress import StreamEgress
from infrastructure.network.stream.sockets import open_stream_socket, opened
from infrastructure.network.stream.stack import Codecs, no_codecs
from infrastructure.network.stream.watch import Watch

_REFUSALS: Final = {
    errno.ECONNREFUSED: "nothing listens there",
    errno.ECONNRESET: "the peer reset the connection",
    errno.ETIMEDOUT: "nobody answers there",
}


class StreamClientTransport:
    """A connected, non-blocking socket with its codecs, and the owner of it: ``close`` closes it.

    ``receive_message`` waits on the running loop; frames that came with the message wait here for the next
    call or for the ingress, which is the transport itself. Cancelled, it leaves no reader behind and loses
    nothing. One call at a time.

    Raises OSError if the process has too many descriptors.
    """

    __slots__ = ("_connection", "_kept", "_remote_endpoint", "_waiting", "_watch")

    def __init__(
        self,
        connected_socket: socket.socket,
        remote_endpoint: Endpoint,
        codecs: Sequence[Codec] = (),
        *,
        largest_body_bytes: int = LARGEST_BODY_BYTES,
    ) -> None:
        self._remote_endpoint = remote_endpoint
        self._kept: deque[bytes] = deque()  # while it holds something, the connection is recalled
        self._waiting: asyncio.Future[None] | None = None
        self._watch: Watch[Connection] = Watch()
        self._connection = Connection(
            connected_socket,
            remote_endpoint,
            codecs,
            buffer=memoryview(bytearray(RECEIVE_BUFFER_BYTES)),
            attendant=self._watch,
            release=self._release,
            largest_body_bytes=largest_body_bytes,
        )
        try:
            self._watch.add(connected_socket.fileno(), self._connection)
            self._connection.start()
        except BaseException:
            self._watch.close()
            raise

    @property
    def remote_endpoint(self) -> Endpoint:
        return self._remote_endpoint

    async def open(self) -> None:
        """Wait until the opening handshakes of all layers are done. Raises TransportError."""
        while not self._connection.is_open:
            await self._readable()
            self._keep(self._read())

    async def send_message(self, message: bytes) -> None:
        """See ``ClientTransport``; what the kernel has no room for waits and goes out later."""
        if not self._connection.write(framed(message)):
            why = self._connection.over or "its layers are not open yet"
            raise TransportError(f"cannot send to {self._remote_endpoint}: {why}")

    async def receive_message(self) -> bytes:
        while True:
            # Waiting even when one is kept lets timeouts fire whatever the server sends.
            await self._readable()
            if not self._kept:
                self._keep(self._read())
            if self._kept:
                message = self._kept.popleft()
                if not self._kept:
                    self._watch.dismiss(self._connection)
                return message

    def fileno(self) -> int:
        return self._watch.fileno()

    def ingress(self) -> "StreamClientTransport":
        """See ``ClientTransport``; the same object each time."""
        return self

    def read_runs(self) -> Sequence[ReceivedRun]:
        """See ``FrameIngress``."""
        if self._kept:
            frames: Sequence[Buffer] = tuple(self._kept)
            self._kept.clear()
            self._watch.dismiss(self._connection)
        else:
            frames = self._read()
        return [(frame, len(frame)) for frame in frames]

    def take_refusal(self) -> None:
        """See ``ClientTransport``: a stream has nothing to say but its end."""

    def take_long_frames(self) -> None:
        """See ``ClientTransport``."""
        self._connection.take_long_frames()

    def egress(self) -> StreamEgress:
        """See ``ClientTransport``; the same object each time."""
        return self._connection.egress()

    def close(self) -> None:
        """See ``ClientTransport``; a pending ``receive_message`` raises TransportError."""
        if self._waiting is not None:
            self._waiting.get_loop().remove_reader(self.fileno())
            _resolve(self._waiting)
        self._kept.clear()
        self._connection.close()

    def _read(self) -> Sequence[Buffer]:
        if self._connection.wants_room:
            self._connection.flush()
        try:
            return self._connection.read_frames()
        except TransportError as exc:
            raise TransportError(f"{self._remote_endpoint}: {exc}") from exc

    def _keep(self, frames: Sequence[Buffer]) -> None:
        if frames:
            self._kept.extend(map(bytes, frames))
            self._watch.recall(self._connection)

    async def _readable(self) -> None:
        """Wait until there is something to read or to write; also returns when the transport is closed."""
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

    def _release(self, connection: Connection) -> None:
        self._watch.close()
        connection.stream_socket.close()


class StreamDialer:
    """Opens paths over TCP with ``codecs`` on them. ``name`` is what error texts call such a path.

    ``mark`` is the firewall mark of everything sent, None for no mark. ``largest_body_bytes`` is what may
    come in a frame, from the first one on: a server that has agreed on long frames does not wait until that
    is known here.
    """

    __slots__ = ("_codecs", "_largest_body_bytes", "_lookup", "_mark", "_name", "_open_socket")

    def __init__(
        self,
        *,
        name: str = "TCP",
        mark: int | None = None,
        codecs: Codecs = no_codecs,
        largest_body_bytes: int = LARGEST_BODY_BYTES,
        lookup: NameLookup = look_up,
        open_socket: SocketFactory = open_stream_socket,
    ) -> None:
        self._name = name
        self._mark = mark
        self._codecs = codecs
        self._largest_body_bytes = largest_body_bytes
        self._lookup = lookup
        self._open_socket = open_socket

    async def resolve(self, profile: TransportProfile) -> list[Endpoint]:
        """See ``Dialer``."""
        return await resolve(profile, lookup=self._lookup)

    async def dial(self, endpoint: Endpoint) -> StreamClientTransport:
        """See ``Dialer``. Waits for the handshakes of all layers; how long is for the caller to limit."""
        try:
            transport = await self._connected(endpoint)
        except FirewallMarkError as exc:
            raise DialForbiddenError(self._refusal(f"{endpoint}: {reason(exc)}")) from exc
        except OSError as exc:
            why = _REFUSALS.get(exc.errno or 0) or reason(exc)
            raise DialError(self._refusal(f"{endpoint}: {why}")) from exc
        try:
            await transport.open()
        except TransportError as exc:
            transport.close()
            raise DialError(self._refusal(str(exc))) from exc
        except BaseException:
            transport.close()
            raise
        return transport

    async def _connected(self, endpoint: Endpoint) -> StreamClientTransport:
        family = family_of(endpoint)
        with opened(self._open_socket, family, self._mark) as stream_socket:
            await _connect(stream_socket, endpoint)
            return StreamClientTransport(
                stream_socket,
                endpoint,
                self._codecs(endpoint),
                largest_body_bytes=self._largest_body_bytes,
            )

    def _refusal(self, endpoint_and_reason: str) -> str:
        return f"cannot open a {self._name} path to {endpoint_and_reason}"


async def _connect(stream_socket: socket.socket, endpoint: Endpoint) -> None:
    """Connect and wait until that is done. Raises OSError."""
    try:
        stream_socket.connect(socket_address_of(endpoint, stream_socket.family))
    except BlockingIOError:
        pass
    else:
        return
    loop = asyncio.get_running_loop()
    done: asyncio.Future[None] = loop.create_future()
    loop.add_writer(stream_socket.fileno(), _resolve, done)
    try:
        await done
    finally:
        loop.remove_writer(stream_socket.fileno())
    if number := stream_socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
        raise OSError(number, os.strerror(number))


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


_transport: type[ClientTransport] = StreamClientTransport
_ingress: type[FrameIngress] = StreamClientTransport
_dialer: type[Dialer] = StreamDialer
