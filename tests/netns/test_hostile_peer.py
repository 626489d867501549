"""A client with keys that lies to the real server in everything it says, beside one that tells the truth.

``TUNGO_HOSTILE_SECONDS`` is how long it lies over each transport; 8 unless it says otherwise.
"""

import os
import select
import socket
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest

from domain.addressing.tunnel import TunnelAddresses, client_addresses
from domain.noise.client import ClientHandshake, Delivery, Established
from domain.noise.keys import KeyPair, Role
from domain.noise.message import DEFAULT_CAPABILITIES, Capability
from domain.packets.ip import source_of
from domain.session.aggregated_datagrams import AggregatedDatagrams
from domain.session.aggregated_stream import AggregatedStream
from domain.session.framing import LENGTH_BYTES, framed
from domain.session.runs import cut
from domain.settings.defaults import SLOT_DEFAULTS
from domain.settings.profile import LARGEST_MTU_BYTES, TransportProtocol
from infrastructure.cryptography.entropy import SystemEntropy
from infrastructure.cryptography.primitives import PycaPrimitives
from infrastructure.pal.configuration.reading import read_client
from tests.domain.packets.trains import Flow, some_payload
from tests.hostile.liar import NEEDS_CHECKSUM, VIRTIO_HEADER, Liar, flaw_of
from tests.netns.bed import Namespace
from tests.netns.tungo_program import eventually
from tests.netns.tunnel_bed import (
    BEYOND,
    BEYOND_V6,
    MIB,
    SERVER,
    Folders,
    TunnelBed,
    opened_tunnel_bed,
    over,
    transfer,
)

pytestmark = pytest.mark.netns

UDP, TCP = TransportProtocol.UDP, TransportProtocol.TCP
SECONDS: Final = float(os.environ.get("TUNGO_HOSTILE_SECONDS", "8"))
LIES_PER_MIB: Final = 100
LIES_PER_CONNECTION: Final = 150
PATIENCE_S: Final = 20.0

# Reassembly may hold 256 KiB for a peer, and 1 MiB may wait for one that does not read what it is sent; the
# rest is what the allocator keeps of 64 KiB buffers.
ALLOWED_GROWTH_BYTES: Final = 4 * MIB

# <linux/if_ether.h>, <linux/if_packet.h>
ETHER_TYPES: Final = (0x0800, 0x86DD)
SOL_PACKET: Final = 263
PACKET_VNET_HDR: Final = 15
SO_RCVBUFFORCE: Final = 33

PRIMITIVES: Final = PycaPrimitives()


transport = over(UDP, TCP)


@pytest.fixture
def tunnel(transport: TransportProtocol, folders: Folders, tmp_path: Path) -> Iterator[TunnelBed]:
    with opened_tunnel_bed(transport, folders, tmp_path) as made:
        made.bring_up()
        yield made


def addresses_of(transport: TransportProtocol, client_folder: Path) -> TunnelAddresses:
    """Those in the tunnel of the client whose configuration is there."""
    settings = read_client(client_folder / "client_configuration.json", PRIMITIVES.public_key)
    profile = settings.udp if transport is UDP else settings.tcp
    return client_addresses(profile.ipv4_subnet, profile.ipv6_subnet, settings.client_id)


def raw(addresses: TunnelAddresses) -> set[bytes]:
    """Both of them, as they stand in packets."""
    assert addresses.ipv6 is not None
    return {addresses.ipv4.ip.packed, addresses.ipv6.ip.packed}


class HostilePeer(ABC):
    """Shakes hands as the other client; ``said`` counts what it has sent, datagrams or frames of a stream."""

    transport: TransportProtocol
    delivery: Delivery

    def __init__(self, tunnel: TunnelBed, seed: int) -> None:
        settings = read_client(tunnel.folders.other / "client_configuration.json", PRIMITIVES.public_key)
        self.addresses = addresses_of(self.transport, tunnel.folders.other)
        ipv4, ipv6 = self.addresses.ipv4, self.addresses.ipv6
        assert ipv6 is not None
        self.flows = [
            Flow(str(ipv4.ip), BEYOND),
            Flow(str(ipv4.ip), tunnel.server_in_tunnel),
            Flow(str(ipv6.ip), BEYOND_V6),
            Flow(str(ipv6.ip), tunnel.server_in_tunnel_v6),
        ]
        foreign = [replace(flow, source=flow.destination) for flow in self.flows]
        self._liar = Liar(seed, [*self.flows, *self.flows, *foreign])
        self._tunnel = tunnel
        self._keys = KeyPair(private=settings.private_key, public=settings.public_key)
        self._server_public_key = settings.server_public_key
        self._socket = self._connect()
        self.said = 0

    def __enter__(self) -> "HostilePeer":
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def _connect(self) -> socket.socket:
        """A socket to the server, with a session that has just begun."""
        machine = ClientHandshake(
            PRIMITIVES,
            self._server_public_key,
            self._keys,
            DEFAULT_CAPABILITIES | {Capability.AGGREGATION},
            delivery=self.delivery,
        )
        random_bytes = SystemEntropy().random_bytes
        connected = self._open()
        connected.settimeout(PATIENCE_S)
        answer = self._exchange(connected, machine.start(time.monotonic(), random_bytes))
        established = machine.receive(answer, time.monotonic(), random_bytes)
        assert isinstance(established, Established)
        assert established.aggregated
        self._begin(established)
        return connected

    @abstractmethod
    def _open(self) -> socket.socket: ...

    @abstractmethod
    def _exchange(self, connected: socket.socket, message: bytes) -> bytes: ...

    @abstractmethod
    def _begin(self, established: Established) -> None: ...

    @abstractmethod
    def lie(self) -> None:
        """Say something that may be true, too."""

    @abstractmethod
    def tell_the_truth(self, payload: bytes) -> None:
        """Send a super-packet to the host beyond, after everything else."""


class HostileUdpPeer(HostilePeer):
    """Lies about records, chunks and datagrams."""

    transport = UDP
    delivery = Delivery.DATAGRAM

    def _open(self) -> socket.socket:
        (opened,) = self._tunnel.strangers(1)
        opened.connect((SERVER, SLOT_DEFAULTS[UDP].port))
        return opened

    def _exchange(self, connected: socket.socket, message: bytes) -> bytes:
        connected.send(message)
        return connected.recv(2048)

    def _begin(self, established: Established) -> None:
        self._session = AggregatedDatagrams(
            PRIMITIVES, Role.CLIENT, established.session_id, established.keys, mtu_bytes=LARGEST_MTU_BYTES
        )

    def lie(self) -> None:
        self._send(self._liar.datagrams(self._session))

    def tell_the_truth(self, payload: bytes) -> None:
        run = self._session.seal_parcels([self.flows[0].train(payload, 1200)])
        self._send([bytes(datagram) for each in run for datagram in cut(each)])

    def _send(self, datagrams: list[bytes]) -> None:
        for datagram in datagrams:
            self._socket.send(datagram)
        self.said += len(datagrams)


class HostileTcpPeer(HostilePeer):
    """Lies about records all the time, and about the stream now and then, which costs it the session."""

    transport = TCP
    delivery = Delivery.STREAM

    def _open(self) -> socket.socket:
        (opened,) = self._tunnel.tcp_strangers(1, SLOT_DEFAULTS[TCP].port)
        return opened

    def _exchange(self, connected: socket.socket, message: bytes) -> bytes:
        connected.sendall(framed(message))
        with connected.makefile("rb", buffering=0) as stream:
            size = int.from_bytes(stream.read(LENGTH_BYTES) or b"")
            return stream.read(size) or b""

    def _begin(self, established: Established) -> None:
        self._session = AggregatedStream(
            PRIMITIVES, Role.CLIENT, established.session_id, established.keys, mtu_bytes=LARGEST_MTU_BYTES
        )

    def lie(self) -> None:
        self.said += 1
        self._socket.sendall(b"".join(self._session.seal([self._liar.plaintext()])))
        if self.said % LIES_PER_CONNECTION == 0:
            self._socket.sendall((0xFFFF).to_bytes(2) + bytes(100 + self.said % 1000))
            self._socket.close()
            self._socket = self._connect()

    def tell_the_truth(self, payload: bytes) -> None:
        run = self._session.seal_parcels([self.flows[0].train(payload, 1200)])
        self._socket.sendall(b"".join(bytes(frame) for frame, _ in run))


PEERS: Final = {UDP: HostileUdpPeer, TCP: HostileTcpPeer}


class TunWatch:
    """Looks at everything that a program writes to a TUN device, with what it tells the kernel about it."""

    def __init__(self, namespace: Namespace, interface: str, allowed: set[bytes]) -> None:
        self._sockets = namespace.call(lambda: [tap_of(interface, kind) for kind in ETHER_TYPES])
        self._allowed = allowed
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self.unfinished: list[bytes] = []  # super-packets and partial checksums of the hostile one
        self.flaws: list[str] = []

    def __enter__(self) -> "TunWatch":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join()
        for tap in self._sockets:
            tap.close()

    def _watch(self) -> None:
        while not self._stopping.is_set():
            for tap in select.select(self._sockets, [], [], 0.1)[0]:
                self._look_at(tap.recv(1 << 17))

    def _look_at(self, received: bytes) -> None:
        header, packet = received[: VIRTIO_HEADER.size], received[VIRTIO_HEADER.size :]
        source = source_of(packet)
        if source not in self._allowed:
            self.flaws.append(f"from {source!r}")
        flags, kind, *_ = VIRTIO_HEADER.unpack(header)
        if not flags & NEEDS_CHECKSUM and not kind:
            return  # a finished packet: what is in it, the kernel judges as on any cable
        self.unfinished.append(packet)
        flaw = flaw_of(packet, header, LARGEST_MTU_BYTES, tells_headers=False)
        if flaw is not None:
            self.flaws.append(flaw)


def tap_of(interface: str, kind: int) -> socket.socket:
    """Reads the packets of one kind that come in by an interface, each behind a virtio header."""
    tap = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(kind))
    tap.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 16 * MIB)
    tap.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
    tap.bind((interface, kind))
    return tap


def test_a_lying_client_costs_the_server_no_memory_and_the_other_client_nothing(
    transport: TransportProtocol, tunnel: TunnelBed
) -> None:
    server = tunnel.server_process
    truth = some_payload(24_000, seed=5)
    with PEERS[transport](tunnel, seed=1) as hostile:

        def tell_lies(_mib: int) -> None:
            for _ in range(LIES_PER_MIB):
                hostile.lie()

        def transfer_among_lies() -> None:
            with tunnel.connection() as (near, far):
                sent, received = transfer(far, near, 4, between=tell_lies)
            assert sent == received

        transfer_among_lies()
        resident_bytes = server.resident_bytes()
        allowed = raw(hostile.addresses) | raw(addresses_of(transport, tunnel.folders.client))
        with TunWatch(tunnel.server, tunnel.server_interface, allowed) as watch:
            deadline = time.monotonic() + SECONDS
            while time.monotonic() < deadline:
                transfer_among_lies()
                assert server.resident_bytes() - resident_bytes <= ALLOWED_GROWTH_BYTES
            # It was heard all the time, and is now.
            hostile.tell_the_truth(truth)
            assert eventually(lambda: any(truth in packet for packet in watch.unfinished), PATIENCE_S)
    assert watch.flaws == []
    assert hostile.said > 1000
    assert len(watch.unfinished) > 10
    assert tunnel.answers(tunnel.server_in_tunnel)
    status, _ = server.stop()
    assert status == 0
    assert "level=ERROR" not in server.log
    counted = server.log.splitlines()[-1]
    for what in ("dropped_malformed=", "dropped_source=", "dropped_unauthentic=")[
        : 3 if transport is UDP else 2
    ]:
        assert what in counted
