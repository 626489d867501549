"""Byte streams in memory: listeners, a dialer, and connections that can be cut, stalled and broken.

What one end writes is there for the other at once, unless that one is stalled; so a test is a transcript. The
limits are those of the real adapter.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from itertools import count
from typing import Final

from application.network.connection.egress import PeerEgress
from application.network.connection.ingress import FrameIngress
from application.network.connection.transport import (
    ClientTransport,
    Dialer,
    DialError,
    ResolutionError,
    TransportError,
)
from application.network.stream.listener import StreamBindError, StreamConnection, StreamListener
from domain.addressing.endpoint import Endpoint
from domain.noise.primitives import Buffer
from domain.session.aggregated_stream import LARGEST_AGGREGATED_BODY_BYTES
from domain.session.framing import LARGEST_BODY_BYTES, FramingError, framed, split_frames
from domain.session.runs import ReceivedRun, SealedRun
from domain.settings.profile import TransportProfile

SOFT_LIMIT_BYTES: Final = 256 << 10
HARD_LIMIT_BYTES: Final = 1 << 20
READ_BYTES: Final = 256 << 10

PEER_CLOSED: Final = "the peer closed the connection"

FIRST_EPHEMERAL_PORT: Final = 49_152


class FakeStreamNetwork:
    """Connects the endpoints that were made on it.

    Hosts in ``unreachable_hosts`` have no route: dialling them fails. ``silent_hosts`` never answer a dial.
    ``names`` is what the dialers resolve.
    """

    def __init__(self) -> None:
        self.unreachable_hosts: set[str] = set()
        self.silent_hosts: set[str] = set()
        self.names: dict[str, list[str]] = {}
        self._listeners: dict[Endpoint, FakeStreamListener] = {}
        self._descriptors = count(1000)
        self._ports = count(FIRST_EPHEMERAL_PORT)

    def listen(self, endpoint: Endpoint) -> "FakeStreamListener":
        """A listener on ``endpoint``; port 0 takes a free one. Raises StreamBindError if somebody has it."""
        if endpoint.port == 0:
            endpoint = self.free_port(endpoint.host)
        if endpoint in self._listeners:
            raise StreamBindError(f"cannot listen on TCP {endpoint}: another program uses the port")
        listener = self._listeners[endpoint] = FakeStreamListener(self, endpoint, self.descriptor())
        return listener

    def connect(
        self, host: str, to: Endpoint, largest_body_bytes: int = LARGEST_BODY_BYTES
    ) -> "FakeStreamEnd":
        """The end of ``host`` of a new connection. Raises DialError if nothing listens at ``to``."""
        if to.host in self.unreachable_hosts:
            raise DialError(f"cannot open a TCP path to {to}: there is no route to it")
        listener = self._listeners.get(to)
        if listener is None:
            raise DialError(f"cannot open a TCP path to {to}: nothing listens there")
        near = FakeStreamEnd(to, largest_body_bytes)
        far = FakeStreamConnection(self.free_port(host))
        near.other, far.other = far, near
        listener.knocking.append(far)
        return near

    def detach(self, endpoint: Endpoint) -> None:
        """Free ``endpoint`` for another listener."""
        del self._listeners[endpoint]

    def descriptor(self) -> int:
        """A number to tell sockets apart; no kernel knows it."""
        return next(self._descriptors)

    def free_port(self, host: str) -> Endpoint:
        """An endpoint that nobody has."""
        return Endpoint(host, next(self._ports))


class FakeStreamEnd:
    """One end of a connection, with what has come to it and is not read yet.

    While ``stalled`` it takes nothing off the wire: what the other end writes waits there and uses up that
    end's room. ``endpoint`` is where the other end is; a test may set it, as a proxy's header would.
    """

    def __init__(self, endpoint: Endpoint, largest_body_bytes: int = LARGEST_BODY_BYTES) -> None:
        self.endpoint = endpoint
        self.other: FakeStreamEnd | None = None
        self.inbox = bytearray()
        self.stalled = False
        self.over: str | None = None
        self.closed = False
        self._leftover = b""  # the beginning of a frame, taken off the wire
        self._largest_body_bytes = largest_body_bytes
        self._news_of_end: str | None = None
        self._waiting: asyncio.Future[None] | None = None
        self._egress = FakeStreamEgress(self)

    @property
    def has_room(self) -> bool:
        """See Egress."""
        if self.over is not None or self.other is None:
            return False
        return not self.other.stalled or len(self.other.inbox) <= SOFT_LIMIT_BYTES

    @property
    def readable(self) -> bool:
        """Whether ``read_frames`` has something to give or to raise."""
        return not self.closed and (
            self.over is not None
            or (not self.stalled and (bool(self.inbox) or self._news_of_end is not None))
        )

    def write(self, data: Buffer) -> bool:
        """Bytes for the other end; False if the connection is over."""
        if self.over is not None or self.other is None:
            return False
        self.other.inbox += data
        if self.other.stalled and len(self.other.inbox) > HARD_LIMIT_BYTES:
            self.over = "the peer does not read what it is sent"
            self.other.hear_of_end("the peer reset the connection")
        self.other.wake()
        return self.over is None

    def read_frames(self) -> Sequence[Buffer]:
        if self.over is None and self._news_of_end is not None and not (self.inbox and not self.stalled):
            self.over = self._news_of_end
            if self._leftover and self.over == PEER_CLOSED:
                self.over += " in the middle of a frame"
        if self.over is not None:
            raise TransportError(self.over)
        if self.stalled:
            return ()
        data = self._leftover + self.inbox[:READ_BYTES]
        del self.inbox[:READ_BYTES]
        try:
            frames, taken = split_frames(data, self._largest_body_bytes)
        except FramingError as exc:
            self.over = str(exc)
            raise TransportError(self.over) from exc
        self._leftover = data[taken:]
        return frames

    def egress(self) -> "FakeStreamEgress":
        return self._egress

    def take_long_frames(self) -> None:
        self._largest_body_bytes = LARGEST_AGGREGATED_BODY_BYTES

    def cut(self) -> None:
        """Lose the connection at both ends, with everything on its way, as when the network breaks."""
        for end in (self, self.other):
            if end is not None:
                end.inbox.clear()
                end.hear_of_end("the peer reset the connection")

    def hear_of_end(self, news: str) -> None:
        """What the next read finds behind the bytes that have come."""
        self._news_of_end = self._news_of_end or news
        self.wake()

    def close(self) -> None:
        if self.closed:
            return
        self.closed = True
        self.over = self.over or "the connection is closed"
        if self.other is not None:
            self.other.hear_of_end(PEER_CLOSED)
        self.wake()

    async def wait_readable(self) -> None:
        """Wait until there is something to read; also ends when this end is closed."""
        if self.readable or self.closed:
            await asyncio.sleep(0)
            return
        self._waiting = asyncio.get_running_loop().create_future()
        try:
            await self._waiting
        finally:
            self._waiting = None

    def wake(self) -> None:
        """Let whoever waits in ``wait_readable`` look again."""
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)


class FakeStreamEgress:
    """Writes to one end; ``dropped`` counts the frames that came after the end of the connection."""

    def __init__(self, end: FakeStreamEnd) -> None:
        self._end = end
        self.dropped = 0

    @property
    def endpoint(self) -> Endpoint:
        return self._end.endpoint

    @endpoint.setter
    def endpoint(self, endpoint: Endpoint) -> None:
        self._end.endpoint = endpoint

    @property
    def has_room(self) -> bool:
        return self._end.has_room

    def send_runs(self, runs: Sequence[SealedRun]) -> int:
        return self.send_batch([frames for frames, _ in runs])

    def send_batch(self, frames: Sequence[Buffer]) -> int:
        if not frames or self._end.write(b"".join(frames)):
            return len(frames)
        self.dropped += len(frames)
        return 0

    def send_message(self, message: bytes) -> None:
        self.send_batch([framed(message)])

    def close(self) -> None:
        self._end.close()


class FakeStreamConnection(FakeStreamEnd):
    """A server's end."""


class FakeStreamListener:
    """A listener on a FakeStreamNetwork. ``knocking`` and ``connections`` are open to tests."""

    def __init__(self, network: FakeStreamNetwork, endpoint: Endpoint, descriptor: int) -> None:
        self._network = network
        self._local_endpoint = endpoint
        self._descriptor = descriptor
        self.knocking: deque[FakeStreamConnection] = deque()
        self.connections: list[FakeStreamConnection] = []
        self.failure: TransportError | None = None  # raised by the next poll

    @property
    def local_endpoint(self) -> Endpoint:
        return self._local_endpoint

    def fileno(self) -> int:
        """A number unique on this network, -1 after close; nothing that an event loop can watch."""
        return self._descriptor

    def poll(self) -> Sequence[FakeStreamConnection]:
        if self._descriptor < 0:
            raise TransportError(f"the TCP socket on {self._local_endpoint} is closed")
        if self.failure is not None:
            failure, self.failure = self.failure, None
            raise failure
        accepted = list(self.knocking)
        self.knocking.clear()
        self.connections = [connection for connection in self.connections if not connection.closed]
        ready = [connection for connection in self.connections if connection.readable]
        self.connections += accepted
        return ready + accepted

    def close(self) -> None:
        if self._descriptor < 0:
            return
        self._descriptor = -1
        self._network.detach(self._local_endpoint)
        for connection in (*self.connections, *self.knocking):
            connection.close()


class FakeStreamTransport:
    """A dialled path on a FakeStreamNetwork; its own end is ``end``."""

    def __init__(self, end: FakeStreamEnd, descriptor: int) -> None:
        self.end = end
        self._descriptor = descriptor
        self._kept: deque[bytes] = deque()

    @property
    def remote_endpoint(self) -> Endpoint:
        return self.end.endpoint

    async def send_message(self, message: bytes) -> None:
        if not self.end.write(framed(message)):
            raise TransportError(f"cannot send to {self.end.endpoint}: {self.end.over}")

    async def receive_message(self) -> bytes:
        while not self._kept:
            await self.end.wait_readable()
            self._kept.extend(map(bytes, self._read()))
        await asyncio.sleep(0)
        return self._kept.popleft()

    def fileno(self) -> int:
        """As for FakeStreamListener."""
        return self._descriptor

    def ingress(self) -> "FakeStreamTransport":
        return self

    def read_runs(self) -> Sequence[ReceivedRun]:
        kept = tuple(self._kept)
        self._kept.clear()
        return [(frame, len(frame)) for frame in kept or self._read()]

    def take_refusal(self) -> None:
        """A stream has nothing to say but its end."""

    def take_long_frames(self) -> None:
        self.end.take_long_frames()

    def egress(self) -> FakeStreamEgress:
        return self.end.egress()

    def close(self) -> None:
        self._descriptor = -1
        self._kept.clear()
        self.end.close()

    def _read(self) -> Sequence[Buffer]:
        try:
            return self.end.read_frames()
        except TransportError as exc:
            raise TransportError(f"{self.end.endpoint}: {exc}") from exc


class FakeStreamDialer:
    """Dials from ``host``, each time from another port, and resolves from the network's ``names``.

    ``largest_body_bytes`` is what may come in a frame, from the first one on.
    """

    def __init__(
        self, network: FakeStreamNetwork, host: str, *, largest_body_bytes: int = LARGEST_BODY_BYTES
    ) -> None:
        self._network = network
        self._host = host
        self._largest_body_bytes = largest_body_bytes
        self.dialled: list[Endpoint] = []

    async def resolve(self, profile: TransportProfile) -> list[Endpoint]:
        server = profile.server
        literals = [str(address) for address in (server.ipv6, server.ipv4) if address is not None]
        hosts = literals + sorted(
            self._network.names.get(server.domain, []), key=lambda host: ":" not in host
        )
        if not hosts:
            raise ResolutionError(f"cannot resolve {server.domain!r}")
        return [Endpoint(host, profile.port) for host in dict.fromkeys(hosts)]

    async def dial(self, endpoint: Endpoint) -> FakeStreamTransport:
        self.dialled.append(endpoint)
        if endpoint.host in self._network.silent_hosts:
            await asyncio.get_running_loop().create_future()
        end = self._network.connect(self._host, endpoint, self._largest_body_bytes)
        return FakeStreamTransport(end, self._network.descriptor())


_connection: type[StreamConnection] = FakeStreamConnection
_egress: type[PeerEgress] = FakeStreamEgress
_listener: type[StreamListener] = FakeStreamListener
_ingress: type[FrameIngress] = FakeStreamTransport
_transport: type[ClientTransport] = FakeStreamTransport
_dialer: type[Dialer] = FakeStreamDialer
