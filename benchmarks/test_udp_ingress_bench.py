"""What a batch port costs over the bare system call, in one process over the loopback interface.

Each round moves DATAGRAMS datagrams of SIZE_BYTES; ``us_per_datagram`` in the extra information of a result
is the median for one. ``offload`` in a test's name: the kernel joins what is read, or segments what is sent;
what fills the socket is sent in the same way.
"""

import socket
from collections.abc import Callable, Iterator

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from domain.addressing.endpoint import Endpoint
from infrastructure.network.addresses import endpoint_of
from infrastructure.network.udp.buffers import DatagramBuffer
from infrastructure.network.udp.coalescing import CoalescingIngress, joins_datagrams
from infrastructure.network.udp.egress import BatchingEgress, ConnectedEgress
from infrastructure.network.udp.ingress import BatchingIngress, ConnectedIngress, Drain
from infrastructure.network.udp.sockets import SocketOptions, open_datagram_socket, opened

DATAGRAMS = 1024  # fits the socket's buffer with room to spare
BATCH = 64
SIZE_BYTES = 1400
ROUNDS = 60

OFFLOAD = pytest.mark.parametrize("offload", [False, True], ids=["plain", "offload"])
FRAMES = [bytes(SIZE_BYTES)] * BATCH
MIXED = [bytes(SIZE_BYTES + number) for number in range(BATCH)]  # no two of which make a run


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    """A dual-stack socket, as a server has it."""
    with opened(open_datagram_socket, socket.AF_INET6, SocketOptions()) as bound:
        bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        bound.bind(("::", 0))
        yield bound
    bound.close()


@pytest.fixture
def client(listening: socket.socket) -> Iterator[socket.socket]:
    """A connected IPv4 socket, as a client has it."""
    with opened(open_datagram_socket, socket.AF_INET, SocketOptions()) as connected:
        connected.connect(("127.0.0.1", listening.getsockname()[1]))
        yield connected
    connected.close()


@pytest.fixture
def client_endpoint(client: socket.socket) -> Endpoint:
    return endpoint_of(client.getsockname())


def measure(benchmark: BenchmarkFixture, setup: Callable[[], None], move: Callable[[], int]) -> None:
    """Time ``move`` after an untimed ``setup``; it must move every datagram."""

    def checked() -> None:
        assert move() == DATAGRAMS

    benchmark.pedantic(  # type: ignore[no-untyped-call]  # pytest-benchmark annotates nothing
        checked, setup=setup, rounds=ROUNDS, warmup_rounds=3
    )
    if benchmark.stats is not None:
        benchmark.extra_info["us_per_datagram"] = round(benchmark.stats.stats.median / DATAGRAMS * 1e6, 3)


def fill(sender: ConnectedEgress) -> Callable[[], None]:
    def send() -> None:
        for _ in range(DATAGRAMS // BATCH):
            assert sender.send_batch(FRAMES) == BATCH

    return send


def server_reader(listening: socket.socket, *, offload: bool) -> Drain:
    if offload:
        assert joins_datagrams(listening)
        return CoalescingIngress.bound(listening, "the server")
    return BatchingIngress(listening, "the server")


def client_reader(client: socket.socket, *, offload: bool) -> Drain:
    server = endpoint_of(client.getpeername())
    if offload:
        assert joins_datagrams(client)
        return CoalescingIngress.connected(client, server)
    return ConnectedIngress(client, server)


def drain(reader: socket.socket) -> Callable[[], None]:
    def read_all() -> None:
        buffer = bytearray(SIZE_BYTES)
        while True:
            try:
                reader.recv_into(buffer)
            except BlockingIOError:
                return

    return read_all


def in_batches(read_batch: Callable[[list[DatagramBuffer]], int]) -> Callable[[], int]:
    packets = DatagramBuffer.allocate(BATCH, 1536)

    def read() -> int:
        total = 0
        while count := read_batch(packets):
            total += count
        return total

    return read


def test_bare_recvfrom_loop(
    benchmark: BenchmarkFixture, listening: socket.socket, client: socket.socket
) -> None:
    def read() -> int:
        receive = listening.recvfrom
        total = 0
        try:
            while True:
                receive(1536)
                total += 1
        except BlockingIOError:
            return total

    measure(benchmark, fill(ConnectedEgress(client, offload=False)), read)


@OFFLOAD
def test_server_read_batch(
    benchmark: BenchmarkFixture, listening: socket.socket, client: socket.socket, *, offload: bool
) -> None:
    ingress = server_reader(listening, offload=offload)
    measure(benchmark, fill(ConnectedEgress(client, offload=offload)), in_batches(ingress.read_batch))


@OFFLOAD
def test_server_read_batch_with_two_peers_taking_turns(
    benchmark: BenchmarkFixture, listening: socket.socket, client: socket.socket, *, offload: bool
) -> None:
    with open_datagram_socket(socket.AF_INET) as second:
        second.connect(client.getpeername())
        ingress = server_reader(listening, offload=offload)

        def send() -> None:
            for _ in range(DATAGRAMS // 2):
                client.send(FRAMES[0])
                second.send(FRAMES[0])

        measure(benchmark, send, in_batches(ingress.read_batch))


@OFFLOAD
def test_client_read_batch(
    benchmark: BenchmarkFixture, client: socket.socket, listening: socket.socket, *, offload: bool
) -> None:
    egress = BatchingEgress(listening, "the server", offload=offload)
    own = endpoint_of(client.getsockname())

    def send() -> None:
        for _ in range(DATAGRAMS // BATCH):
            assert egress.send_batch(FRAMES, own) == BATCH

    ingress = client_reader(client, offload=offload)
    measure(benchmark, send, in_batches(ingress.read_batch))


@OFFLOAD
def test_server_send_batch(
    benchmark: BenchmarkFixture,
    listening: socket.socket,
    client: socket.socket,
    client_endpoint: Endpoint,
    *,
    offload: bool,
) -> None:
    egress = BatchingEgress(listening, "the server", offload=offload)

    def send() -> int:
        return sum(egress.send_batch(FRAMES, client_endpoint) for _ in range(DATAGRAMS // BATCH))

    measure(benchmark, drain(client), send)


@OFFLOAD
@pytest.mark.parametrize("frames", [FRAMES, MIXED], ids=["equal", "mixed"])
def test_client_send_batch(
    benchmark: BenchmarkFixture,
    listening: socket.socket,
    client: socket.socket,
    frames: list[bytes],
    *,
    offload: bool,
) -> None:
    egress = ConnectedEgress(client, offload=offload)

    def send() -> int:
        return sum(egress.send_batch(frames) for _ in range(DATAGRAMS // BATCH))

    measure(benchmark, drain(listening), send)


def test_bare_sendto_loop(
    benchmark: BenchmarkFixture, listening: socket.socket, client: socket.socket
) -> None:
    host, port = client.getsockname()
    address = (f"::ffff:{host}", port, 0, 0)

    def send() -> int:
        write = listening.sendto
        for _ in range(DATAGRAMS // BATCH):
            for frame in FRAMES:
                write(frame, address)
        return DATAGRAMS

    measure(benchmark, drain(client), send)
