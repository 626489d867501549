"""What TunDevice promises, asked of the fake and of a real device in a network namespace."""

import errno
import random
import select
import socket
import sys
from collections.abc import Iterator
from typing import Protocol

import pytest

from application.network.routing.tun import TunClosedError, TunDevice
from domain.settings.offload import OffloadMode
from infrastructure.network.udp.segmentation import UDP_SEGMENT
from infrastructure.pal.linux.tun import LinuxTunDevice
from tests.adapters.tun import FakeTunDevice
from tests.adapters.tun_packets import packets_from, send_packets
from tests.netns.bed import Namespace, NetnsBed
from tests.netns.packets import internet_checksum, pseudo_header, udp_packet, udp_train

HOST = "10.88.0.1"
PEER = "10.88.0.2"
NOT_IP = b"\x00 has no IP version"

HEADERS = 28  # IPv4 and UDP
PAYLOAD = random.Random(1).randbytes(2400)
SEGMENTS = [PAYLOAD[:1000], PAYLOAD[1000:2000], PAYLOAD[2000:]]


class Kernel(Protocol):
    """The other side of the device."""

    device: TunDevice

    def route_in(self, packet: bytes) -> None:
        """Route a packet into the tunnel."""
        ...

    def route_in_train(self, payload: bytes, segment_bytes: int) -> None:
        """Route UDP datagrams into the tunnel, as one super-packet if that can be."""
        ...

    def received(self) -> list[bytes]:
        """The packets that came out of the tunnel so far."""
        ...

    def datagrams(self) -> list[bytes]:
        """What UDP datagrams that came out of the tunnel carry."""
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
        self.device: TunDevice = self._fake

    def route_in(self, packet: bytes) -> None:
        self._fake.route_in(packet)

    def route_in_train(self, payload: bytes, segment_bytes: int) -> None:
        self._fake.route_in_parcels(udp_train(HOST, PEER, payload, segment_bytes))

    def received(self) -> list[bytes]:
        return self._fake.written

    def datagrams(self) -> list[bytes]:
        return [packet[HEADERS:] for packet in self._fake.written]

    def delete_interface(self) -> None:
        self._fake.vanish()

    def close(self) -> None:
        self.device.close()


class NamespaceKernel:
    """Raw sockets beside a real device."""

    def __init__(self, namespace: Namespace, segmentation: OffloadMode) -> None:
        self._namespace = namespace
        # Without IPv6 the kernel has nothing of its own to say on the new interface.
        namespace.run("sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1")
        self.device: TunDevice = namespace.call(lambda: LinuxTunDevice.create("tun-test", segmentation))
        namespace.run("ip", "addr", "add", f"{HOST}/24", "dev", "tun-test")
        namespace.run("ip", "link", "set", "tun-test", "up")
        self._sender = namespace.call(lambda: _raw_socket(socket.IPPROTO_RAW))
        self._receiver = namespace.call(lambda: _raw_socket(socket.IPPROTO_UDP))
        self._program = namespace.call(_program_on_port_4001)

    def route_in(self, packet: bytes) -> None:
        self._sender.sendto(packet, (PEER, 0))

    def route_in_train(self, payload: bytes, segment_bytes: int) -> None:
        run = (socket.SOL_UDP, UDP_SEGMENT, segment_bytes.to_bytes(2, sys.byteorder))
        self._program.sendmsg([payload], [run], 0, (PEER, 4001))

    def received(self) -> list[bytes]:
        return _all_of(self._receiver)

    def datagrams(self) -> list[bytes]:
        return _all_of(self._program)

    def delete_interface(self) -> None:
        self._namespace.run("ip", "link", "delete", "tun-test")

    def close(self) -> None:
        self.device.close()
        self._sender.close()
        self._receiver.close()
        self._program.close()


@pytest.fixture(
    params=[
        "fake",
        pytest.param(OffloadMode.AUTO, marks=pytest.mark.netns, id="linux"),
        pytest.param(OffloadMode.OFF, marks=pytest.mark.netns, id="linux without offloads"),
    ],
)
def kernel(request: pytest.FixtureRequest) -> Iterator[Kernel]:
    made: Kernel
    if request.param == "fake":
        made = FakeKernel()
    else:
        bed = request.getfixturevalue("bed")
        assert isinstance(bed, NetnsBed)
        made = NamespaceKernel(bed.namespace("tun"), request.param)
    yield made
    made.close()


def test_nothing_there_is_an_empty_batch(kernel: Kernel) -> None:
    assert kernel.device.read_parcels(8) == []


def test_packets_are_read_whole_in_order_and_finished(kernel: Kernel) -> None:
    packets = [udp_packet(HOST, PEER, b"x" * n) for n in (1, 20, 1400)]
    for packet in packets:
        kernel.route_in(packet)
    assert kernel.device.read_parcels(8) == [(packet, 0, False) for packet in packets]
    assert kernel.device.read_parcels(8) == []


@pytest.mark.parametrize("wanted", [False, True])
def test_a_train_comes_out_as_its_packets_whole_or_cut(kernel: Kernel, *, wanted: bool) -> None:
    kernel.device.hand_out_super_packets(wanted=wanted)
    kernel.route_in_train(PAYLOAD, 1000)
    packets = packets_from(kernel.device, 8)
    assert [packet[HEADERS:] for packet in packets] == SEGMENTS
    assert all(has_right_udp_checksum(packet) for packet in packets)


def test_a_batch_has_no_more_parcels_than_asked_for(kernel: Kernel) -> None:
    packets = [udp_packet(HOST, PEER, bytes([n])) for n in range(3)]
    for packet in packets:
        kernel.route_in(packet)
    assert [packet for packet, _, _ in kernel.device.read_parcels(2)] == packets[:2]
    assert [packet for packet, _, _ in kernel.device.read_parcels(2)] == packets[2:]


def test_the_descriptor_is_readable_exactly_while_a_packet_waits(kernel: Kernel) -> None:
    assert not is_readable(kernel.device)
    kernel.route_in(udp_packet(HOST, PEER, b"x"))
    assert is_readable(kernel.device)
    kernel.device.read_parcels(8)
    assert not is_readable(kernel.device)


def test_written_packets_reach_the_kernel_in_order(kernel: Kernel) -> None:
    packets = [udp_packet(PEER, HOST, bytes([n]) * 9) for n in range(3)]
    assert send_packets(kernel.device, packets) == 3
    assert kernel.received() == packets


def test_a_refused_packet_is_dropped_and_the_rest_goes_on(kernel: Kernel) -> None:
    first, last = udp_packet(PEER, HOST, b"first"), udp_packet(PEER, HOST, b"last")
    assert send_packets(kernel.device, [first, NOT_IP, b"", last]) == 2
    assert kernel.received() == [first, last]


def test_parcels_of_every_kind_reach_the_kernel_in_order(kernel: Kernel) -> None:
    before, after = udp_packet(PEER, HOST, b"before"), udp_packet(PEER, HOST, b"after")
    unfinished, _, _ = udp_train(PEER, HOST, b"unfinished", 0)
    parcels = [
        (before, 0, False),
        udp_train(PEER, HOST, PAYLOAD, 1000),
        (unfinished, 0, True),
        (after, 0, False),
    ]
    assert kernel.device.write_parcels(parcels) == 4
    assert kernel.datagrams() == [b"before", *SEGMENTS, b"unfinished", b"after"]


def test_a_parcel_that_is_not_what_it_claims_is_dropped_and_the_rest_goes_on(kernel: Kernel) -> None:
    train, segment_bytes, _ = udp_train(PEER, HOST, PAYLOAD, 1000)
    last = udp_packet(PEER, HOST, b"last")
    liars = [(train, 5000, True), (train[:-1], segment_bytes, True), (train, segment_bytes, False)]
    liars += [(b"", 0, True), (b"", 0, False), (NOT_IP, 0, False), (NOT_IP, 1, True)]
    assert kernel.device.write_parcels([*liars, (last, 0, False)]) == 1
    assert kernel.datagrams() == [b"last"]


def test_an_empty_batch_writes_nothing(kernel: Kernel) -> None:
    assert kernel.device.write_parcels([]) == 0
    assert kernel.received() == []


def test_a_deleted_interface_is_noticed_by_reading_and_by_writing(kernel: Kernel) -> None:
    kernel.device.fileno()
    kernel.delete_interface()
    kernel.device.hand_out_super_packets(wanted=True)
    assert is_readable(kernel.device)
    with pytest.raises(TunClosedError):
        kernel.device.read_parcels(1)
    with pytest.raises(TunClosedError):
        send_packets(kernel.device, [udp_packet(PEER, HOST, b"x")])
    with pytest.raises(TunClosedError):
        kernel.device.write_parcels([udp_train(PEER, HOST, PAYLOAD, 1000)])


def test_after_close_there_is_no_descriptor_and_no_traffic(kernel: Kernel) -> None:
    descriptor = kernel.device.fileno()
    kernel.device.close()
    kernel.device.close()
    assert kernel.device.fileno() == -1
    kernel.device.hand_out_super_packets(wanted=True)
    assert not is_open(descriptor)
    with pytest.raises(TunClosedError):
        kernel.device.read_parcels(1)
    with pytest.raises(TunClosedError):
        send_packets(kernel.device, [udp_packet(PEER, HOST, b"x")])
    with pytest.raises(TunClosedError):
        kernel.device.write_parcels([udp_train(PEER, HOST, PAYLOAD, 1000)])


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


def has_right_udp_checksum(packet: bytes) -> bool:
    covered = pseudo_header(HOST, PEER, socket.IPPROTO_UDP, len(packet) - 20) + packet[20:]
    return internet_checksum(covered) == 0


def _all_of(receiver: socket.socket) -> list[bytes]:
    received: list[bytes] = []
    while True:
        try:
            received.append(receiver.recv(65535))
        except BlockingIOError:
            return received


def _program_on_port_4001() -> socket.socket:
    program = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    program.bind((HOST, 4001))
    program.setblocking(False)
    return program


def _raw_socket(protocol: int) -> socket.socket:
    raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, protocol)
    raw.setblocking(False)
    return raw
