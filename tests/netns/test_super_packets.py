"""The kernel cuts super-packets, too: what comes out of it is what ``segment`` makes of the same.

Two TUN devices in one namespace. A super-packet is written to the first, which takes offloads, is routed, and
comes out of the second, which has none, so that the kernel must segment in software. On the way the kernel
routes, which takes one off the TTL; the expectation is of packets that began with one less.

And the other way round: what ``coalesce`` makes, the kernel takes and cuts into the packets that were joined.
"""

import errno
import fcntl
import os
import select
import struct
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from functools import partial
from ipaddress import ip_address
from socket import AF_INET, AF_INET6, IPPROTO_UDP, SOCK_DGRAM, socket
from typing import Final

import pytest

from domain.packets.coalesce import coalesce
from domain.packets.ip import source_of
from domain.packets.layout import Train, layout_of_untrusted
from domain.packets.parcel import ACK, CWR, FIN, PSH, UDP, Parcel
from domain.packets.segment import segment, split
from tests.domain.packets.trains import (
    DESTINATION_OPTIONS,
    HOP_BY_HOP,
    ROUTED,
    TIMESTAMPS,
    Flow,
    some_payload,
)
from tests.netns.bed import Namespace, NetnsBed

pytestmark = pytest.mark.netns

# <linux/if_tun.h>
TUNSETIFF: Final = 0x400454CA
TUNSETOFFLOAD: Final = 0x400454D0
TUNSETVNETHDRSZ: Final = 0x400454D8
IFF_TUN: Final = 0x0001
IFF_NO_PI: Final = 0x1000
IFF_VNET_HDR: Final = 0x4000
TUN_F_CSUM: Final = 0x01
TUN_F_TSO: Final = 0x02 | 0x04 | 0x08  # IPv4, IPv6, with ECN
TUN_F_USO: Final = 0x20 | 0x40

# <linux/virtio_net.h>: flags, type, header bytes, segment bytes, checksum start, checksum offset; native
# order
VIRTIO_HEADER: Final = struct.Struct("=BBHHHH")
NEEDS_CHECKSUM: Final = 1
TYPES: Final = {Train.NONE: 0, Train.TCP_IPV4: 1, Train.TCP_IPV6: 4, Train.UDP: 5}
WITH_ECN: Final = 0x80

UDP_SEGMENT: Final = 103  # <linux/udp.h>

PATIENCE_MS: Final = 2000
IPV4: Final = Flow("10.1.0.2", "10.2.0.2")
IPV6: Final = Flow("fd01::2", "fd02::2")
UDP_IPV4: Final = replace(IPV4, protocol=UDP)
UDP_IPV6: Final = replace(IPV6, protocol=UDP)

FLOWS: Final = {
    "TCP over IPv4": IPV4,
    "TCP over IPv6": IPV6,
    "TCP over IPv4, timestamps": replace(IPV4, options=TIMESTAMPS, traffic_class=0xB8),
    "TCP over IPv6, timestamps": replace(IPV6, options=TIMESTAMPS, traffic_class=0xB8, flow_label=0x12345),
    "TCP over IPv4, FIN, PSH and CWR": replace(IPV4, flags=ACK | PSH | FIN | CWR),
    "TCP over IPv6, FIN, PSH and CWR": replace(IPV6, flags=ACK | PSH | FIN | CWR),
    "TCP over IPv4, without DF": replace(IPV4, dont_fragment=False),
    "TCP over IPv4, counters come round": replace(IPV4, identification=0xFFFE, sequence=2**32 - 3000),
    "UDP over IPv4": UDP_IPV4,
    "UDP over IPv6": UDP_IPV6,
}
EXTENDED: Final = {
    "TCP over IPv6, hop-by-hop options": replace(IPV6, extensions=(HOP_BY_HOP,)),
    "TCP over IPv6, destination options": replace(
        IPV6, extensions=(DESTINATION_OPTIONS,), options=TIMESTAMPS
    ),
    "TCP over IPv6, all extension headers": replace(
        IPV6,
        extensions=(HOP_BY_HOP, DESTINATION_OPTIONS, ROUTED, DESTINATION_OPTIONS),
        flags=ACK | PSH | FIN | CWR,
    ),
    "UDP over IPv6, destination options": replace(UDP_IPV6, extensions=(DESTINATION_OPTIONS,)),
    "UDP over IPv6, all extension headers": replace(
        UDP_IPV6, extensions=(HOP_BY_HOP, ROUTED, DESTINATION_OPTIONS)
    ),
}
ALL_FLOWS: Final = FLOWS | EXTENDED
EACH_FLOW = pytest.mark.parametrize("flow", ALL_FLOWS.values(), ids=ALL_FLOWS)
# (payload bytes, segment bytes)
SIZES = pytest.mark.parametrize(
    ("size", "segment_bytes"),
    [(3000, 1000), (3001, 1000), (2999, 1001), (1002, 1001), (60_001, 1201), (100, 9)],
)


class Devices:
    """A TUN device that takes what parcels need, and one that takes nothing."""

    def __init__(self) -> None:
        self.inward = open_tun("tun-in")
        self.outward = open_tun("tun-out")
        fcntl.ioctl(self.outward, TUNSETOFFLOAD, 0)
        fcntl.ioctl(self.inward, TUNSETOFFLOAD, TUN_F_CSUM | TUN_F_TSO)
        self._takes = TUN_F_CSUM | TUN_F_TSO
        self.has_uso = True
        try:
            fcntl.ioctl(self.inward, TUNSETOFFLOAD, self._takes | TUN_F_USO)
            self._takes |= TUN_F_USO
        except OSError as exc:
            if exc.errno != errno.EINVAL:
                raise
            self.has_uso = False

    def hand_out_whole(self) -> None:
        """Have super-packets come out as they are."""
        fcntl.ioctl(self.outward, TUNSETOFFLOAD, self._takes)

    def close(self) -> None:
        os.close(self.inward)
        os.close(self.outward)

    def send(self, parcel: Parcel) -> None:
        os.write(self.inward, virtio_header(parcel) + parcel[0])

    def received(self, count: int, source: str) -> list[bytes]:
        """The finished packets from ``source`` that come out, at least ``count``."""
        reads = self.reads(count, source)
        assert all(header == bytes(VIRTIO_HEADER.size) for header, _ in reads)
        return [packet for _, packet in reads]

    def reads(self, count: int, source: str) -> list[tuple[bytes, bytes]]:
        """The same with their virtio headers, and whatever is left to be done to them.

        Other packets are the kernel's own, of IPv6.
        """
        wanted = ip_address(source).packed
        reads: list[tuple[bytes, bytes]] = []
        poll = select.poll()
        poll.register(self.outward, select.POLLIN)
        while poll.poll(PATIENCE_MS if len(reads) < count else 0):
            read = os.read(self.outward, 70_000)
            header, packet = read[: VIRTIO_HEADER.size], read[VIRTIO_HEADER.size :]
            if source_of(packet) == wanted:
                reads.append((header, packet))
        return reads


def virtio_header(parcel: Parcel) -> bytes:
    layout = layout_of_untrusted(*parcel)
    in_train = layout.train is not Train.NONE
    return VIRTIO_HEADER.pack(
        NEEDS_CHECKSUM if parcel[2] else 0,
        TYPES[layout.train] | (WITH_ECN if in_train and layout.has_cwr else 0),
        layout.header_bytes,
        parcel[1],
        layout.checksum_start,
        layout.checksum_offset,
    )


def open_tun(name: str) -> int:
    fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TUN | IFF_NO_PI | IFF_VNET_HDR))
    fcntl.ioctl(fd, TUNSETVNETHDRSZ, struct.pack("i", VIRTIO_HEADER.size))
    return fd


@pytest.fixture
def devices(bed: NetnsBed) -> Iterator[Devices]:
    router = bed.namespace("router")
    made = router.call(Devices)
    configure(router)
    yield made
    made.close()


def configure(router: Namespace) -> None:
    for setting in ("ipv4.ip_forward=1", "ipv6.conf.all.forwarding=1", "ipv4.conf.all.rp_filter=0"):
        router.run("sysctl", "-q", f"net.{setting}")
    for name, ipv4, ipv6 in (
        ("tun-in", "10.1.0.1/24", "fd01::1/64"),
        ("tun-out", "10.2.0.1/24", "fd02::1/64"),
    ):
        router.run("ip", "link", "set", name, "addrgenmode", "none", "mtu", "1500", "up")
        router.run("ip", "addr", "add", ipv4, "dev", name)
        router.run("ip", "addr", "add", ipv6, "dev", name, "nodad")


def skip_without_uso(devices: Devices, flow: Flow) -> None:
    if flow.protocol == UDP and not devices.has_uso:
        pytest.skip("NOT TESTED: TUNSETOFFLOAD of this kernel refuses TUN_F_USO4 and TUN_F_USO6")


@EACH_FLOW
@SIZES
def test_the_kernel_cuts_a_super_packet_into_the_same_packets(
    devices: Devices, flow: Flow, size: int, segment_bytes: int
) -> None:
    skip_without_uso(devices, flow)
    payload = some_payload(size)
    devices.send(flow.train(payload, segment_bytes))

    expected = segment(replace(flow, hop_limit=flow.hop_limit - 1).train(payload, segment_bytes))

    assert devices.received(len(expected), flow.source) == expected


@EACH_FLOW
def test_the_kernel_completes_a_partial_checksum_to_the_same(devices: Devices, flow: Flow) -> None:
    payload = some_payload(1301)
    devices.send((flow.partial(payload), 0, True))

    expected = segment((replace(flow, hop_limit=flow.hop_limit - 1).partial(payload), 0, True))

    assert devices.received(1, flow.source) == expected


@EACH_FLOW
@pytest.mark.parametrize("most_bytes", [1500, 5000, 20_000])
def test_the_kernel_takes_smaller_super_packets_for_the_whole(
    devices: Devices, flow: Flow, most_bytes: int
) -> None:
    skip_without_uso(devices, flow)
    train = flow.train(some_payload(30_001), 1201)
    expected = replace(flow, hop_limit=flow.hop_limit - 1).packets(some_payload(30_001), 1201)

    for piece in split(train, most_bytes):
        devices.send(piece)

    assert devices.received(len(expected), flow.source) == expected


@pytest.mark.parametrize("flow", FLOWS.values(), ids=FLOWS)
def test_the_kernel_takes_joined_packets_apart_again(devices: Devices, flow: Flow) -> None:
    skip_without_uso(devices, flow)
    packets = flow.packets(some_payload(30_001), 1201)
    parcels = coalesce(packets)
    assert len(parcels) <= 3

    for parcel in parcels:
        devices.send(parcel)

    expected = replace(flow, hop_limit=flow.hop_limit - 1).packets(some_payload(30_001), 1201)
    assert devices.received(len(expected), flow.source) == expected


@EACH_FLOW
def test_the_kernel_sees_the_same_layout_in_a_super_packet(devices: Devices, flow: Flow) -> None:
    skip_without_uso(devices, flow)
    devices.hand_out_whole()
    train = flow.train(some_payload(30_001), 1201)
    single = (flow.partial(some_payload(1201)), 0, True)
    devices.send(train)
    devices.send(single)

    reads = devices.reads(2, flow.source)

    routed = replace(flow, hop_limit=flow.hop_limit - 1)
    assert [packet for _, packet in reads] == [routed.partial(some_payload(size)) for size in (30_001, 1201)]
    assert [what_counts(header) for header, _ in reads] == [
        what_counts(virtio_header(parcel)) for parcel in (train, single)
    ]


@pytest.mark.parametrize("flow", [UDP_IPV4, UDP_IPV6], ids=["IPv4", "IPv6"])
def test_what_a_program_sends_in_one_call_is_a_parcel(bed: NetnsBed, flow: Flow) -> None:
    sending = bed.namespace("sending")
    with closing(sending.call(Devices)) as devices:
        configure(sending)
        skip_without_uso(devices, flow)
        devices.hand_out_whole()
        source = "10.2.0.1" if flow.in_ipv4 else "fd02::1"
        with sending.call(partial(socket, AF_INET if flow.in_ipv4 else AF_INET6, SOCK_DGRAM)) as sender:
            sender.setsockopt(IPPROTO_UDP, UDP_SEGMENT, 1201)
            sender.bind((source, 4000))
            sender.sendto(some_payload(30_001), (flow.destination, 4001))

        ((header, packet),) = devices.reads(1, source)

        parcel = (packet, 1201, True)
        assert what_counts(header) == what_counts(virtio_header(parcel))
        assert coalesce(segment(parcel)) == [parcel]


def what_counts(header: bytes) -> tuple[int, ...]:
    """A virtio header without the number of header bytes, which is a hint that nobody believes."""
    flags, kind, _, *rest = VIRTIO_HEADER.unpack(header)
    return (flags, kind, *rest)
