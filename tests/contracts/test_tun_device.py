"""What TunDevice promises, asked of the fake and of a real device in a network namespace."""

import errno
import select
import socket
from collections.abc import Callable, Iterator
from typing import Protocol

import pytest

from application.network.routing.tun import TunClosedError, TunDevice
from infrastructure.pal.linux.tun import LinuxTunDevice
from tests.adapters.tun import FakeTunDevice
from tests.netns.bed import Namespace, NetnsBed
from tests.netns.packets import udp_packet

HOST = "10.88.0.1"
PEER = "10.88.0.2"
NOT_IP = b"\x00 has no IP version"


class Kernel(Protocol):
    """The other side of the device."""

    device: TunDevice

    def route_in(self, packet: bytes) -> None:
        """Route a packet into the tunnel."""
        ...

    def received(self) -> list[bytes]:
        """The packets that came out of the tunnel so far."""
        ...

    def delete_interface(self) -> None:
        """Delete the interface while the device is open."""
        ...

    def close(self) -> None:
        """Release the test's own descriptors."""
        ...


class FakeKernel:
    """The test side of FakeTunDevice."""

    def __init__(self) -> None:
        self._fake = FakeTunDevice()
        self._fake.refuse(NOT_IP, b"")
        self.device: TunDevice = self._fake

    def route_in(self, packet: bytes) -> None:
        self._fake.route_in(packet)

    def received(self) -> list[bytes]:
        return self._fake.written

    def delete_interface(self) -> None:
        self._fake.vanish()

    def close(self) -> None:
        self.device.close()


class NamespaceKernel:
    """Raw sockets beside a real device."""

    def __init__(self, namespace: Namespace) -> None:
        self._namespace = namespace
        # Without IPv6 the kernel has nothing of its own to say on the new interface.
        namespace.run("sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1")
        self.device: TunDevice = namespace.call(lambda: LinuxTunDevice.create("tun-test"))
        namespace.run("ip", "addr", "add", f"{HOST}/24", "dev", "tun-test")
        namespace.run("ip", "link", "set", "tun-test", "up")
        self._sender = namespace.call(lambda: _raw_socket(socket.IPPROTO_RAW))
        self._receiver = namespace.call(lambda: _raw_socket(socket.IPPROTO_UDP))

    def route_in(self, packet: bytes) -> None:
        self._sender.sendto(packet, (PEER, 0))

    def received(self) -> list[bytes]:
        packets: list[bytes] = []
        while True:
            try:
                packets.append(self._receiver.recv(65535))
            except BlockingIOError:
                return packets

    def delete_interface(self) -> None:
        self._namespace.run("ip", "link", "delete", "tun-test")

    def close(self) -> None:
        self.device.close()
        self._sender.close()
        self._receiver.close()


@pytest.fixture(
    params=["fake", pytest.param("linux", marks=pytest.mark.netns)],
)
def kernel(request: pytest.FixtureRequest) -> Iterator[Kernel]:
    made: Kernel
    if request.param == "fake":
        made = FakeKernel()
    else:
        bed = request.getfixturevalue("bed")
        assert isinstance(bed, NetnsBed)
        made = NamespaceKernel(bed.namespace("tun"))
    yield made
    made.close()


def test_nothing_there_is_an_empty_batch(kernel: Kernel) -> None:
    assert kernel.device.read_batch(8) == []


def test_packets_are_read_whole_and_in_order(kernel: Kernel) -> None:
    packets = [udp_packet(HOST, PEER, b"x" * n) for n in (1, 20, 1400)]
    for packet in packets:
        kernel.route_in(packet)
    assert kernel.device.read_batch(8) == packets


def test_a_batch_has_no_more_packets_than_asked_for(kernel: Kernel) -> None:
    packets = [udp_packet(HOST, PEER, bytes([n])) for n in range(3)]
    for packet in packets:
        kernel.route_in(packet)
    assert kernel.device.read_batch(2) == packets[:2]
    assert kernel.device.read_batch(2) == packets[2:]


def test_the_descriptor_is_readable_exactly_while_a_packet_waits(kernel: Kernel) -> None:
    assert not is_readable(kernel.device)
    kernel.route_in(udp_packet(HOST, PEER, b"x"))
    assert is_readable(kernel.device)
    kernel.device.read_batch(8)
    assert not is_readable(kernel.device)


@pytest.mark.parametrize("buffer", [bytes, bytearray, memoryview])
def test_written_packets_reach_the_kernel_in_order(
    kernel: Kernel, buffer: Callable[[bytes], bytes | bytearray | memoryview]
) -> None:
    packets = [udp_packet(PEER, HOST, bytes([n]) * 9) for n in range(3)]
    assert kernel.device.write_batch([buffer(packet) for packet in packets]) == 3
    assert kernel.received() == packets


def test_a_refused_packet_is_dropped_and_the_rest_goes_on(kernel: Kernel) -> None:
    first, last = udp_packet(PEER, HOST, b"first"), udp_packet(PEER, HOST, b"last")
    assert kernel.device.write_batch([first, NOT_IP, b"", last]) == 2
    assert kernel.received() == [first, last]


def test_an_empty_batch_writes_nothing(kernel: Kernel) -> None:
    assert kernel.device.write_batch([]) == 0
    assert kernel.received() == []


def test_a_deleted_interface_is_noticed_by_reading_and_by_writing(kernel: Kernel) -> None:
    kernel.device.fileno()
    kernel.delete_interface()
    assert is_readable(kernel.device)
    with pytest.raises(TunClosedError):
        kernel.device.read_batch(1)
    with pytest.raises(TunClosedError):
        kernel.device.write_batch([udp_packet(PEER, HOST, b"x")])


def test_after_close_there_is_no_descriptor_and_no_traffic(kernel: Kernel) -> None:
    descriptor = kernel.device.fileno()
    kernel.device.close()
    kernel.device.close()
    assert kernel.device.fileno() == -1
    assert not is_open(descriptor)
    with pytest.raises(TunClosedError):
        kernel.device.read_batch(1)
    with pytest.raises(TunClosedError):
        kernel.device.write_batch([udp_packet(PEER, HOST, b"x")])


def is_readable(device: TunDevice) -> bool:
    poller = select.poll()
    poller.register(device.fileno(), select.POLLIN)
    return bool(poller.poll(0))


def is_open(descriptor: int) -> bool:
    try:
        select.select([descriptor], [], [], 0)
    except OSError as exc:
        return exc.errno != errno.EBADF
    return True


def _raw_socket(protocol: int) -> socket.socket:
    raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, protocol)
    raw.setblocking(False)
    return raw
