"""Where the contracts of the stream ports are tried: one world in memory, two on the loopback interface."""

import select
import socket
from contextlib import ExitStack
from typing import Protocol, Self

import pytest

from application.network.stream.listener import StreamConnection, StreamListener
from domain.addressing.endpoint import Endpoint
from infrastructure.network.addresses import endpoint_of, family_of, socket_address_of
from infrastructure.network.stream.listener import BoundStreamListener
from infrastructure.network.stream.sockets import abort_on_close
from tests.adapters.streams import FakeStreamEnd, FakeStreamNetwork
from tests.contracts.udp_worlds import kernel_has_ipv6

# What one end of a loopback connection sends is there for the other at once, unless the machine is busy.
ARRIVAL_LIMIT_S = 2.0


class RawClient(Protocol):
    """A client that sends what it likes."""

    @property
    def endpoint(self) -> Endpoint:
        """Its own."""
        ...

    def send(self, data: bytes) -> None: ...

    def receive(self, count: int) -> bytes:
        """The next ``count`` bytes, less at the end of the stream."""
        ...

    def stall(self, *, stalled: bool) -> None:
        """Read nothing, so that what it is sent fills everything between the two ends; or read again."""
        ...

    def close(self) -> None:
        """End the stream in order."""
        ...

    def reset(self) -> None:
        """End it at once, as a process that is killed or a firewall does."""
        ...


class StreamWorld(Protocol):
    """Makes listeners and clients that reach one another, and closes what it made."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *exc_info: object) -> None: ...

    def listener(self) -> StreamListener:
        """A listener on a free port of this world's host."""
        ...

    def bind(self, endpoint: Endpoint) -> StreamListener:
        """A listener on exactly ``endpoint``. Raises StreamBindError."""
        ...

    def client(self, listener: StreamListener) -> RawClient:
        """A connection to ``listener``."""
        ...

    def await_readable(self, descriptor: int) -> bool:
        """Wait until there is something to do; False if nothing came."""
        ...


class FakeRawClient:
    """An end on a FakeStreamNetwork."""

    def __init__(self, end: FakeStreamEnd) -> None:
        self._end = end

    @property
    def endpoint(self) -> Endpoint:
        assert self._end.other is not None
        return self._end.other.endpoint

    def send(self, data: bytes) -> None:
        self._end.write(data)

    def receive(self, count: int) -> bytes:
        data = bytes(self._end.inbox[:count])
        del self._end.inbox[:count]
        return data

    def stall(self, *, stalled: bool) -> None:
        self._end.stalled = stalled

    def close(self) -> None:
        self._end.close()

    def reset(self) -> None:
        self._end.cut()


class FakeStreamWorld:
    """One host on a FakeStreamNetwork."""

    host = "192.0.2.1"

    def __init__(self) -> None:
        self.network = FakeStreamNetwork()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        pass

    def listener(self) -> StreamListener:
        return self.bind(Endpoint(self.host, 0))

    def bind(self, endpoint: Endpoint) -> StreamListener:
        return self.network.listen(endpoint)

    def client(self, listener: StreamListener) -> RawClient:
        return FakeRawClient(self.network.connect(self.host, listener.local_endpoint))

    def await_readable(self, descriptor: int) -> bool:
        return True


class SocketClient:
    """A blocking socket. Its small receive buffer makes a stalled one fill up soon."""

    def __init__(self, server: Endpoint) -> None:
        family = family_of(server)
        self.stream_socket = socket.socket(family, socket.SOCK_STREAM)
        self.stream_socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16_384)
        self.stream_socket.settimeout(ARRIVAL_LIMIT_S)
        self.stream_socket.connect(socket_address_of(server, family))
        self.endpoint = endpoint_of(self.stream_socket.getsockname())

    def send(self, data: bytes) -> None:
        self.stream_socket.sendall(data)

    def receive(self, count: int) -> bytes:
        received = bytearray()
        while len(received) < count and (data := self.stream_socket.recv(count - len(received))):
            received += data
        return bytes(received)

    def stall(self, *, stalled: bool) -> None:
        """Reading nothing is all it takes."""

    def close(self) -> None:
        self.stream_socket.close()

    def reset(self) -> None:
        abort_on_close(self.stream_socket)
        self.stream_socket.close()


class LoopbackStreamWorld:
    """Real sockets on one loopback address."""

    host = "127.0.0.1"

    def __init__(self) -> None:
        self._open = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._open.close()

    def listener(self) -> StreamListener:
        return self.bind(Endpoint(self.host, 0))

    def bind(self, endpoint: Endpoint) -> StreamListener:
        listener = BoundStreamListener.bind(endpoint.host, endpoint.port)
        self._open.callback(listener.close)
        return listener

    def client(self, listener: StreamListener) -> RawClient:
        client = SocketClient(listener.local_endpoint)
        self._open.callback(client.close)
        return client

    def await_readable(self, descriptor: int) -> bool:
        return bool(select.select([descriptor], [], [], ARRIVAL_LIMIT_S)[0])


class Loopback6StreamWorld(LoopbackStreamWorld):
    """The same over IPv6."""

    host = "::1"

    def __enter__(self) -> Self:
        if not kernel_has_ipv6():
            pytest.skip("this kernel has no IPv6")
        return self


STREAM_WORLDS: tuple[type[StreamWorld], ...] = (FakeStreamWorld, LoopbackStreamWorld, Loopback6StreamWorld)


def stream_world_name(world: type[StreamWorld]) -> str:
    """How a parametrised test calls its world."""
    return world.__name__


def polled(world: StreamWorld, listener: StreamListener) -> list[StreamConnection]:
    """What the next poll that has something to do returns; empty if there is nothing to do."""
    return list(listener.poll()) if world.await_readable(listener.fileno()) else []


def accepted(world: StreamWorld, listener: StreamListener) -> tuple[RawClient, StreamConnection]:
    """A client and the server's end of its connection."""
    client = world.client(listener)
    (connection,) = polled(world, listener)
    assert list(connection.read_frames()) == []
    return client, connection


def frames_of(
    world: StreamWorld, listener: StreamListener, connection: StreamConnection, count: int
) -> list[bytes]:
    """The next ``count`` frames of one connection, copied; fewer if no more come."""
    frames: list[bytes] = []
    while len(frames) < count and world.await_readable(listener.fileno()):
        ready = listener.poll()
        if not ready:
            break
        if connection in ready:
            frames += map(bytes, connection.read_frames())
    return frames
