"""Where the contract of ClientTransport is tried: over every transport, with a server at the other end."""

from contextlib import ExitStack
from typing import Protocol, Self

from application.network.connection.transport import Dialer
from application.network.stream.listener import StreamListener
from application.network.udp.listener import UdpListener
from domain.addressing.endpoint import Endpoint
from domain.session.framing import framed
from infrastructure.network.stream.client import StreamDialer
from tests.adapters.streams import FakeStreamDialer
from tests.contracts import stream_worlds, udp_worlds
from tests.contracts.stream_worlds import StreamWorld, frames_of, polled
from tests.contracts.udp_worlds import UdpWorld, contents, receive


class ServerEnd(Protocol):
    """A server's end of one path."""

    @property
    def client(self) -> Endpoint:
        """Where the client is."""
        ...

    def send_messages(self, *messages: bytes) -> None:
        """Send handshake messages or data, each framed as the transport has it."""
        ...

    def receive_messages(self, count: int) -> list[bytes]:
        """The next ``count`` messages or frames from the client, taken out of their framing."""
        ...


class PathServer(Protocol):
    """A server that clients dial."""

    @property
    def endpoint(self) -> Endpoint: ...

    def welcome(self) -> tuple[ServerEnd, bytes]:
        """Its end of the path that was dialled last, and the first message on it."""
        ...

    def close(self) -> None:
        """Be gone, with all paths."""
        ...


class PathWorld(Protocol):
    """Makes a server and dialers that reach it, and closes what it made."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *exc_info: object) -> None: ...

    def server(self) -> PathServer: ...

    def dialer(self) -> Dialer: ...

    def wire(self, message: bytes) -> bytes:
        """What ``Egress.send_batch`` has to be given for the other end to receive ``message``."""
        ...

    def await_arrival(self, descriptor: int) -> bool:
        """Wait until there is something to read; False if nothing came."""
        ...


class DatagramEnd:
    """Answers one client through the server's socket."""

    def __init__(self, world: UdpWorld, listener: UdpListener, client: Endpoint) -> None:
        self._world = world
        self._listener = listener
        self.client = client

    def send_messages(self, *messages: bytes) -> None:
        assert self._listener.batch_egress().send_batch(messages, self.client) == len(messages)

    def receive_messages(self, count: int) -> list[bytes]:
        packets = receive(self._world, self._listener.fileno(), self._listener.batch_ingress(), count)
        assert all(packet.endpoint == self.client for packet in packets)
        return contents(packets)


class DatagramServer:
    """One UDP listener."""

    def __init__(self, world: UdpWorld) -> None:
        self._world = world
        self._listener = world.listener()
        self.endpoint = self._listener.local_endpoint

    def welcome(self) -> tuple[ServerEnd, bytes]:
        (packet,) = receive(self._world, self._listener.fileno(), self._listener.batch_ingress(), 1)
        return DatagramEnd(self._world, self._listener, packet.endpoint), contents([packet])[0]

    def close(self) -> None:
        self._listener.close()


class DatagramPaths:
    """Paths over UDP."""

    world: type[UdpWorld]

    def __init__(self) -> None:
        self._world = self.world()

    def __enter__(self) -> Self:
        self._world.__enter__()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._world.__exit__(*exc_info)

    def server(self) -> PathServer:
        return DatagramServer(self._world)

    def dialer(self) -> Dialer:
        return self._world.dialer()

    def wire(self, message: bytes) -> bytes:
        return message

    def await_arrival(self, descriptor: int) -> bool:
        return self._world.await_arrival(descriptor)


class StreamEnd:
    """One accepted connection."""

    def __init__(self, world: StreamWorld, listener: StreamListener) -> None:
        self._world = world
        self._listener = listener
        (self._connection,) = polled(world, listener)
        self.client = self._connection.endpoint

    def send_messages(self, *messages: bytes) -> None:
        assert self._connection.egress().send_batch([framed(message) for message in messages]) > 0

    def receive_messages(self, count: int) -> list[bytes]:
        return frames_of(self._world, self._listener, self._connection, count)


class StreamServer:
    """One TCP listener."""

    def __init__(self, world: StreamWorld) -> None:
        self._world = world
        self._listener = world.listener()
        self.endpoint = self._listener.local_endpoint

    def welcome(self) -> tuple[ServerEnd, bytes]:
        end = StreamEnd(self._world, self._listener)
        (message,) = end.receive_messages(1)
        return end, message

    def close(self) -> None:
        self._listener.close()


class StreamPaths:
    """Paths over byte streams."""

    world: type[StreamWorld]

    def __init__(self) -> None:
        self._world = self.world()
        self._open = ExitStack()

    def __enter__(self) -> Self:
        self._open.enter_context(self._world)
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._open.close()

    def server(self) -> PathServer:
        return StreamServer(self._world)

    def dialer(self) -> Dialer:
        return StreamDialer()

    def wire(self, message: bytes) -> bytes:
        return framed(message)

    def await_arrival(self, descriptor: int) -> bool:
        return self._world.await_readable(descriptor)


class FakeUdp(DatagramPaths):
    world: type[UdpWorld] = udp_worlds.FakeWorld


class Udp(DatagramPaths):
    world: type[UdpWorld] = udp_worlds.LoopbackWorld


class Udp6(DatagramPaths):
    world: type[UdpWorld] = udp_worlds.Loopback6World


class OffloadedUdp(DatagramPaths):
    world: type[UdpWorld] = udp_worlds.OffloadedWorld


class OffloadedUdp6(DatagramPaths):
    world: type[UdpWorld] = udp_worlds.Offloaded6World


class FakeStream(StreamPaths):
    world: type[StreamWorld] = stream_worlds.FakeStreamWorld

    def dialer(self) -> Dialer:
        assert isinstance(self._world, stream_worlds.FakeStreamWorld)
        return FakeStreamDialer(self._world.network, self._world.host)


class Tcp(StreamPaths):
    world: type[StreamWorld] = stream_worlds.LoopbackStreamWorld


class Tcp6(StreamPaths):
    world: type[StreamWorld] = stream_worlds.Loopback6StreamWorld


PATH_WORLDS: tuple[type[PathWorld], ...] = (
    FakeUdp,
    Udp,
    Udp6,
    OffloadedUdp,
    OffloadedUdp6,
    FakeStream,
    Tcp,
    Tcp6,
)


def path_name(world: type[PathWorld]) -> str:
    """How a parametrised test calls its world."""
    return world.__name__
