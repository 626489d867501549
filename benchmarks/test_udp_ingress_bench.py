"""What a batch port costs over the bare system call, in one process over the loopback interface.

Each round moves DATAGRAMS datagrams of SIZE_BYTES; ``us_per_datagram`` in the extra information of a result
is the median for one.
"""

import socket
from collections.abc import Callable, Iterator

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from domain.addressing.endpoint import Endpoint
from infrastructure.network.udp.addresses import endpoint_of
from infrastructure.network.udp.buffers import DatagramBuffer
from infrastructure.network.udp.egress import BatchingEgress, ConnectedEgress
from infrastructure.network.udp.ingress import BatchingIngress, ConnectedIngress
from infrastructure.network.udp.sockets import SocketOptions, open_datagram_socket, opened

DATAGRAMS = 1024  # fits the socket's buffer with room to spare
BATCH = 64
SIZE_BYTES = 1400
ROUNDS = 60

FRAMES = [bytes(SIZE_BYTES)] * BATCH


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

    measure(benchmark, fill(ConnectedEgress(client)), read)


def test_server_read_batch(
    benchmark: BenchmarkFixture, listening: socket.socket, client: socket.socket
) -> None:
    ingress = BatchingIngress(listening, "the server")
    measure(benchmark, fill(ConnectedEgress(client)), in_batches(ingress.read_batch))


def test_server_read_batch_with_two_peers_taking_turns(
    benchmark: BenchmarkFixture, listening: socket.socket, client: socket.socket
) -> None:
    with open_datagram_socket(socket.AF_INET) as second:
        second.connect(client.getpeername())

        def send() -> None:
            for _ in range(DATAGRAMS // 2):
                client.send(FRAMES[0])
                second.send(FRAMES[0])

        measure(benchmark, send, in_batches(BatchingIngress(listening, "the server").read_batch))


def test_client_read_batch(
    benchmark: BenchmarkFixture, client: socket.socket, listening: socket.socket
) -> None:
    egress = BatchingEgress(listening, "the server")
    own, server = endpoint_of(client.getsockname()), endpoint_of(client.getpeername())

    def send() -> None:
        for _ in range(DATAGRAMS // BATCH):
            assert egress.send_batch(FRAMES, own) == BATCH

    measure(benchmark, send, in_batches(ConnectedIngress(client, server).read_batch))


def test_server_send_batch(
    benchmark: BenchmarkFixture, listening: socket.socket, client: socket.socket, client_endpoint: Endpoint
) -> None:
    egress = BatchingEgress(listening, "the server")

    def send() -> int:
        return sum(egress.send_batch(FRAMES, client_endpoint) for _ in range(DATAGRAMS // BATCH))

    measure(benchmark, drain(client), send)


def test_client_send_batch(
    benchmark: BenchmarkFixture, listening: socket.socket, client: socket.socket
) -> None:
    egress = ConnectedEgress(client)

    def send() -> int:
        return sum(egress.send_batch(FRAMES) for _ in range(DATAGRAMS // BATCH))

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
