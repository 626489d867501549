"""Where the contracts of the UDP ports are tried: one world in memory, four on the loopback interface."""

import errno
import select
import socket
from contextlib import ExitStack
from typing import Protocol, Self

import pytest

from application.network.connection.transport import Dialer
from application.network.routing.counters import TunnelCounters
from application.network.udp.batch import BatchIngress
from application.network.udp.listener import UdpListener
from domain.addressing.endpoint import Endpoint
from infrastructure.network.udp.buffers import DatagramBuffer
from infrastructure.network.udp.client import UdpDialer
from infrastructure.network.udp.listener import BoundUdpListener
from infrastructure.network.udp.offload import ONE_BY_ONE, WHERE_POSSIBLE
from tests.adapters.faulty_socket import FaultySocket
from tests.adapters.udp import FakeDialer, FakeNetwork

# A datagram on the loopback interface is there when the sending call returns, unless the machine is busy.
ARRIVAL_LIMIT_S = 2.0


class UdpWorld(Protocol):
    """Makes listeners and dialers that can reach one another, and closes what it made."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *exc_info: object) -> None: ...

    def listener(self) -> UdpListener:
        """A listener on a free port of this world's host."""
        ...

    def failing_listener(self, after: int) -> UdpListener:
        """A listener whose socket fails once, when ``after`` datagrams have been read."""
        ...

    def bind(self, endpoint: Endpoint) -> UdpListener:
        """A listener on exactly ``endpoint``. Raises UdpBindError."""
        ...

    def dialer(self) -> Dialer:
        """A dialer on this world's host."""
        ...

    def await_arrival(self, descriptor: int) -> bool:
        """Wait until there is something to read; False if nothing came."""
        ...


class FakeWorld:
    """One host on a FakeNetwork in calm weather."""

    host = "192.0.2.1"

    def __init__(self) -> None:
        self.network = FakeNetwork()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        pass

    def listener(self) -> UdpListener:
        return self.bind(Endpoint(self.host, 0))

    def failing_listener(self, after: int) -> UdpListener:
        listener = self.network.listen(Endpoint(self.host, 0))
        listener.mailbox.fail_after(after)
        return listener

    def bind(self, endpoint: Endpoint) -> UdpListener:
        return self.network.listen(endpoint)

    def dialer(self) -> Dialer:
        return FakeDialer(self.network, self.host)

    def await_arrival(self, descriptor: int) -> bool:
        return True


class LoopbackWorld:
    """Real sockets on one loopback address, one datagram per system call."""

    host = "127.0.0.1"
    offload = ONE_BY_ONE

    def __init__(self) -> None:
        self._open = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._open.close()

    def listener(self) -> UdpListener:
        return self.bind(Endpoint(self.host, 0))

    def failing_listener(self, after: int) -> UdpListener:
        def open_faulty(family: int) -> socket.socket:
            faulty = FaultySocket(family)
            faulty.receive_faults.extend([0] * after + [errno.EIO])
            return faulty

        listener = BoundUdpListener.bind(self.host, 0, offload=self.offload, open_socket=open_faulty)
        self._open.callback(listener.close)
        return listener

    def bind(self, endpoint: Endpoint) -> UdpListener:
        listener = BoundUdpListener.bind(endpoint.host, endpoint.port, offload=self.offload)
        self._open.callback(listener.close)
        return listener

    def dialer(self) -> Dialer:
        return UdpDialer(
            packets=DatagramBuffer.allocate(64, 2048), counters=TunnelCounters(), offload=self.offload
        )

    def await_arrival(self, descriptor: int) -> bool:
        return bool(select.select([descriptor], [], [], ARRIVAL_LIMIT_S)[0])


class Loopback6World(LoopbackWorld):
    """The same over IPv6."""

    host = "::1"

    def __enter__(self) -> Self:
        if not kernel_has_ipv6():
            pytest.skip("this kernel has no IPv6")
        return self


class OffloadedWorld(LoopbackWorld):
    """Runs of datagrams joined and segmented by the kernel."""

    offload = WHERE_POSSIBLE


class Offloaded6World(Loopback6World):
    """The same over IPv6."""

    offload = WHERE_POSSIBLE


def kernel_has_ipv6() -> bool:
    """Whether ``::1`` can be bound here."""
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


UDP_WORLDS: tuple[type[UdpWorld], ...] = (
    FakeWorld,
    LoopbackWorld,
    Loopback6World,
    OffloadedWorld,
    Offloaded6World,
)


def world_name(world: type[UdpWorld]) -> str:
    """How a parametrised test calls its world."""
    return world.__name__


def receive(
    world: UdpWorld, descriptor: int, ingress: BatchIngress, count: int, size_bytes: int = 2048
) -> list[DatagramBuffer]:
    """The next ``count`` datagrams in the buffers they were read into; fewer if no more come."""
    buffers = DatagramBuffer.allocate(count, size_bytes)
    filled = 0
    while filled < count and world.await_arrival(descriptor):
        read = ingress.read_batch(buffers[filled:])
        if read == 0:
            break
        filled += read
    return buffers[:filled]


def received(world: UdpWorld, listener: UdpListener, count: int) -> list[bytes]:
    """The contents of the next ``count`` datagrams to ``listener``."""
    return contents(receive(world, listener.fileno(), listener.batch_ingress(), count))


def contents(buffers: list[DatagramBuffer]) -> list[bytes]:
    """What arrived."""
    return [bytes(buffer.view[: buffer.length]) for buffer in buffers]
