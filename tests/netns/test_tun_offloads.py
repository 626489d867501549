"""Super-packets of a real kernel: how they leave a TUN device, and what another kernel makes of them."""

import random
import select
import socket
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from functools import partial
from typing import Final

import pytest

from domain.packets.parcel import Parcel
from domain.settings.offload import OffloadMode
from infrastructure.network.udp.segmentation import UDP_SEGMENT
from infrastructure.pal.linux.tun import LinuxTunDevice
from tests.netns.bed import NetnsBed

pytestmark = pytest.mark.netns

NAME: Final = "tun-test"
MTU_BYTES: Final = 1400
MOST_AT_A_TIME: Final = 16
PATIENCE_S: Final = 30

# Headers of IPv4 and TCP with the time stamps that Linux sends, and what is left of the MTU.
TCP_HEADERS: Final = {4: 20 + 32, 6: 40 + 32}
PAYLOAD: Final = random.Random(1).randbytes(3_000_001)

# Eight bytes each with the two that the kernel fills in; four bytes of IPv4.
PADDING: Final = bytes(2) + b"\x01\x04" + bytes(4)
HOP_BY_HOP: Final = (socket.IPPROTO_IPV6, socket.IPV6_HOPOPTS, PADDING)
DESTINATION: Final = (socket.IPPROTO_IPV6, socket.IPV6_DSTOPTS, PADDING)
ROUTER_ALERT: Final = (socket.IPPROTO_IP, socket.IP_OPTIONS, b"\x94\x04\x00\x00")
# IP version, what the sender sets, and how many bytes it adds to each packet.
OPTIONS: Final = {
    "IPv4 options": (4, [ROUTER_ALERT], 4),
    "hop-by-hop options": (6, [HOP_BY_HOP], 8),
    "destination options": (6, [DESTINATION], 8),
    "both": (6, [HOP_BY_HOP, DESTINATION], 16),
}


class Host:
    """A namespace with one end of the tunnel; hosts are numbered."""

    def __init__(self, bed: NetnsBed, number: int, mode: OffloadMode) -> None:
        self.namespace = bed.namespace(f"host{number}")
        self.addresses = {4: f"10.88.0.{number}", 6: f"fd00::{number}"}
        self.device = self.namespace.call(partial(LinuxTunDevice.create, NAME, mode))
        self.device.hand_out_super_packets(wanted=True)
        run = self.namespace.run
        run("ip", "link", "set", NAME, "addrgenmode", "none", "mtu", str(MTU_BYTES), "up")
        run("ip", "addr", "add", f"{self.addresses[4]}/24", "dev", NAME)
        run("ip", "addr", "add", f"{self.addresses[6]}/64", "dev", NAME, "nodad")

    def socket(self, version: int, kind: int) -> socket.socket:
        """A non-blocking socket at a port of this host."""
        family = socket.AF_INET if version == 4 else socket.AF_INET6

        def opened() -> socket.socket:
            made = socket.socket(family, kind)
            made.bind((self.addresses[version], 0))
            made.setblocking(False)
            return made

        return self.namespace.call(opened)


class Cable:
    """Two hosts and whoever carries parcels between them; ``carried`` has those from left to right."""

    def __init__(self, left: Host, right: Host) -> None:
        self.left = left
        self.right = right
        self.carried: list[Parcel] = []
        self.before_each_look: Callable[[], None] = lambda: None

    def carry_until(self, done: Callable[[], bool]) -> None:
        """Carry what is there, and look whether it is ``done`` after each time."""
        deadline = time.monotonic() + PATIENCE_S
        while not done():
            assert time.monotonic() < deadline, "nothing more arrives"
            self.before_each_look()
            select.select([self.left.device, self.right.device], [], [], 0.01)
            parcels = self.left.device.read_parcels(MOST_AT_A_TIME)
            self.carried += parcels
            self.right.device.write_parcels(parcels)
            self.left.device.write_parcels(self.right.device.read_parcels(MOST_AT_A_TIME))


Lay = Callable[[OffloadMode, OffloadMode], Cable]


@pytest.fixture
def lay(bed: NetnsBed) -> Iterator[Lay]:
    """Makes a cable between hosts with these modes."""
    with ExitStack() as stack:

        def laid(left: OffloadMode, right: OffloadMode) -> Cable:
            hosts = Host(bed, 1, left), Host(bed, 2, right)
            for host in hosts:
                stack.callback(host.device.close)
            return Cable(*hosts)

        yield laid


def received_over_tcp(
    cable: Cable, version: int, payload: bytes, options: Sequence[tuple[int, int, bytes]] = ()
) -> bytes:
    """What a program on the right gets of ``payload`` that one on the left sends with these options."""
    received = bytearray()
    with closing(cable.right.socket(version, socket.SOCK_STREAM)) as listener, ExitStack() as stack:
        listener.listen()
        sender = stack.enter_context(closing(cable.left.socket(version, socket.SOCK_STREAM)))
        for option in options:
            sender.setsockopt(*option)
        sender.connect_ex(listener.getsockname())
        cable.carry_until(lambda: bool(select.select([listener], [], [], 0)[0]))
        receiver = stack.enter_context(closing(listener.accept()[0]))
        receiver.setblocking(False)
        unsent = memoryview(payload)

        def exchange() -> bool:
            nonlocal unsent
            if len(unsent) and select.select([], [sender], [], 0)[1]:
                unsent = unsent[sender.send(unsent) :]
            while select.select([receiver], [], [], 0)[0]:
                received.extend(receiver.recv(1 << 20))
            return len(received) == len(payload)

        cable.carry_until(exchange)
    return bytes(received)


def super_packets(parcels: list[Parcel]) -> list[Parcel]:
    return [parcel for parcel in parcels if parcel[1]]


@pytest.mark.parametrize("version", [4, 6])
def test_a_tcp_stream_crosses_as_super_packets_with_all_its_bytes(lay: Lay, version: int) -> None:
    cable = lay(OffloadMode.AUTO, OffloadMode.AUTO)
    assert received_over_tcp(cable, version, PAYLOAD) == PAYLOAD
    trains = super_packets(cable.carried)
    headers_bytes = TCP_HEADERS[version]
    assert {segment_bytes for _, segment_bytes, _ in trains} == {MTU_BYTES - headers_bytes}
    assert all(partial_checksum for _, _, partial_checksum in trains)
    carried_in_trains = sum(len(packet) - headers_bytes for packet, _, _ in trains)
    assert carried_in_trains > len(PAYLOAD) * 0.9
    assert max(len(packet) for packet, _, _ in trains) > 10 * MTU_BYTES
    for host in (cable.left, cable.right):
        assert host.device.drops.total == 0
        assert not host.device.segments_in_software


@pytest.mark.parametrize(("version", "options", "added_bytes"), OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize("right", [OffloadMode.AUTO, OffloadMode.OFF])
def test_a_tcp_stream_with_options_in_its_ip_headers_crosses_in_the_same_way(
    lay: Lay,
    version: int,
    options: list[tuple[int, int, bytes]],
    added_bytes: int,
    right: OffloadMode,
) -> None:
    cable = lay(OffloadMode.AUTO, right)
    assert received_over_tcp(cable, version, PAYLOAD, options) == PAYLOAD
    trains = super_packets(cable.carried)
    headers_bytes = TCP_HEADERS[version] + added_bytes
    assert {segment_bytes for _, segment_bytes, _ in trains} == {MTU_BYTES - headers_bytes}
    # Most of it in super-packets, and little of it twice: they are taken, not retransmitted in pieces.
    carried_in_trains = sum(len(packet) - headers_bytes for packet, _, _ in trains)
    assert len(PAYLOAD) * 0.9 < carried_in_trains < len(PAYLOAD) * 1.1
    assert cable.right.device.drops.total == 0
    assert cable.right.device.segments_in_software == (right is OffloadMode.OFF)


@pytest.mark.parametrize("version", [4, 6])
def test_without_the_offload_only_finished_packets_come_out(lay: Lay, version: int) -> None:
    cable = lay(OffloadMode.OFF, OffloadMode.OFF)
    assert received_over_tcp(cable, version, PAYLOAD) == PAYLOAD
    assert {parcel[1:] for parcel in cable.carried} == {(0, False)}
    assert max(len(packet) for packet, _, _ in cable.carried) == MTU_BYTES


@pytest.mark.parametrize("version", [4, 6])
def test_a_host_without_the_offload_takes_the_super_packets_of_another(lay: Lay, version: int) -> None:
    cable = lay(OffloadMode.AUTO, OffloadMode.OFF)
    assert received_over_tcp(cable, version, PAYLOAD) == PAYLOAD
    assert super_packets(cable.carried)
    assert cable.right.device.segments_in_software
    assert cable.right.device.drops.total == 0


def test_what_is_handed_out_can_be_changed_under_a_running_stream(lay: Lay) -> None:
    cable = lay(OffloadMode.AUTO, OffloadMode.AUTO)
    looks = 0

    def change() -> None:
        nonlocal looks
        looks += 1
        cable.left.device.hand_out_super_packets(wanted=looks % 2 == 0)

    cable.before_each_look = change
    assert received_over_tcp(cable, 4, PAYLOAD * 3) == PAYLOAD * 3
    trains = super_packets(cable.carried)
    full_packets = [parcel for parcel in cable.carried if len(parcel[0]) == MTU_BYTES and not parcel[1]]
    assert trains
    assert full_packets


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("right", [OffloadMode.AUTO, OffloadMode.OFF])
def test_a_run_of_datagrams_crosses_as_one_super_packet(lay: Lay, version: int, right: OffloadMode) -> None:
    cable = lay(OffloadMode.AUTO, right)
    if not cable.left.device.offload.udp:
        pytest.skip("NOT TESTED: this kernel has no UDP segmentation for TUN devices (Linux 6.2)")
    payload = PAYLOAD[:10_500]
    received: list[bytes] = []
    with ExitStack() as stack:
        sender = stack.enter_context(closing(cable.left.socket(version, socket.SOCK_DGRAM)))
        receiver = stack.enter_context(closing(cable.right.socket(version, socket.SOCK_DGRAM)))
        run = (socket.SOL_UDP, UDP_SEGMENT, (1000).to_bytes(2, sys.byteorder))
        sender.sendmsg([payload], [run], 0, receiver.getsockname())

        def receive() -> bool:
            while select.select([receiver], [], [], 0)[0]:
                received.append(receiver.recv(65535))
            return len(received) == 11

        cable.carry_until(receive)
    assert received == [payload[begin : begin + 1000] for begin in range(0, len(payload), 1000)]
    ((packet, segment_bytes, partial_checksum),) = super_packets(cable.carried)
    assert (packet[-len(payload) :], segment_bytes, partial_checksum) == (payload, 1000, True)


def test_asking_what_the_kernel_takes_leaves_no_packet_on_the_interface(bed: NetnsBed) -> None:
    namespace = bed.namespace("asking")
    with closing(namespace.call(partial(LinuxTunDevice.create, NAME, OffloadMode.AUTO))) as device:
        assert device.offload.tcp
        shown = namespace.run("ip", "-s", "link", "show", NAME).splitlines()
        received = shown[shown.index(next(line for line in shown if "RX:" in line)) + 1]
        assert received.split()[:2] == ["0", "0"]
