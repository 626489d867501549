"""Taking runs apart, and what waits in the reader meanwhile; the contract has its own suite."""

import asyncio
import errno
import os
import random
import select
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
import uvloop

from application.network.routing.worker import BATCHES_PER_WAKEUP, Worker
from application.network.udp.listener import UdpClosedError, UdpError
from domain.addressing.endpoint import Endpoint
from infrastructure.network.addresses import endpoint_of
from infrastructure.network.udp.buffers import DatagramBuffer
from infrastructure.network.udp.coalescing import UDP_GRO, CoalescingIngress, joins_datagrams
from infrastructure.network.udp.egress import BatchingEgress
from infrastructure.network.udp.ingress import PATH_ERRNOS, PEER_ERRNOS, SKIP_LIMIT
from infrastructure.network.udp.segmentation import UDP_SEGMENT
from infrastructure.tunnel.router import ReadinessRouter
from infrastructure.tunnel.sizes import BATCH_SIZE
from tests.adapters.clock import FakeClock
from tests.adapters.faulty_socket import FaultySocket

# A burst that ends in silence must not leave anything behind, wherever it ends.
BURSTS = sorted(
    {max(edge * times + step, 1) for edge in (BATCH_SIZE, 40) for times in range(1, 6) for step in (-1, 0, 1)}
    | {1, 2, 3, 1000}
)


@pytest.fixture
def open_files() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def bound(open_files: ExitStack) -> FaultySocket:
    made = open_files.enter_context(FaultySocket(socket.AF_INET))
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
    made.bind(("127.0.0.1", 0))
    made.settimeout(0)
    assert joins_datagrams(made)
    return made


@pytest.fixture
def sender(bound: FaultySocket, open_files: ExitStack) -> socket.socket:
    made = open_files.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    made.connect(bound.getsockname())
    return made


@pytest.fixture
def ingress(bound: FaultySocket, open_files: ExitStack) -> CoalescingIngress:
    made = CoalescingIngress.bound(bound, "the socket")
    open_files.callback(made.close)
    return made


def connected_to(sender: socket.socket, bound: FaultySocket, open_files: ExitStack) -> CoalescingIngress:
    bound.connect(sender.getsockname())
    made = CoalescingIngress.connected(bound, endpoint_of(sender.getsockname()))
    open_files.callback(made.close)
    return made


def numbered(count: int, size: int = 100) -> list[bytes]:
    return [number.to_bytes(4, "big") + bytes(size - 4) for number in range(count)]


def send_run(sender: socket.socket, run: list[bytes]) -> None:
    """One system call for all of ``run``."""
    sender.sendmsg(run, [(socket.SOL_UDP, UDP_SEGMENT, len(run[0]).to_bytes(2, "little"))])


def send_in_runs_of(length: int, sender: socket.socket, datagrams: list[bytes]) -> None:
    for start in range(0, len(datagrams), length):
        send_run(sender, datagrams[start : start + length])


def contents(packets: list[DatagramBuffer]) -> list[bytes]:
    return [bytes(packet.view[: packet.length]) for packet in packets]


def is_readable(ingress: CoalescingIngress) -> bool:
    return bool(select.select([ingress.fileno()], [], [], 0)[0])


class ReadingWorker:
    """Reads as the workers of client and server do: a few batches, until one is not full."""

    def __init__(self, ingress: CoalescingIngress, expected: int) -> None:
        self._ingress = ingress
        self._expected = expected
        self._idle = os.eventfd(0, os.EFD_CLOEXEC)
        self._packets = DatagramBuffer.allocate(BATCH_SIZE, 128)
        self.received: list[bytes] = []

    def close(self) -> None:
        os.close(self._idle)

    def tun_fileno(self) -> int:
        return self._idle

    def transport_fileno(self) -> int:
        return self._ingress.fileno()

    def handle_tun(self) -> None:
        raise AssertionError("nothing comes from there")

    def handle_transport(self) -> None:
        for _ in range(BATCHES_PER_WAKEUP):
            count = self._ingress.read_batch(self._packets)
            self.received += contents(self._packets[:count])
            if count < BATCH_SIZE:
                break
        if len(self.received) >= self._expected:
            raise EOFError

    def handle_timer(self) -> None:
        raise AssertionError("no timer is running")

    def next_deadline_s(self) -> float | None:
        return None


_worker: type[Worker] = ReadingWorker


@pytest.mark.parametrize("new_loop", [asyncio.SelectorEventLoop, uvloop.new_event_loop])
@pytest.mark.parametrize("run_length", [1, 40, 64, 128])
def test_nothing_of_a_burst_is_left_behind_when_silence_follows(
    bound: FaultySocket,
    sender: socket.socket,
    ingress: CoalescingIngress,
    run_length: int,
    new_loop: Callable[[], asyncio.AbstractEventLoop],
) -> None:
    async def burst(count: int) -> None:
        sent = numbered(count)
        send_in_runs_of(run_length, sender, sent)
        worker = ReadingWorker(ingress, count)
        try:
            with pytest.raises(EOFError):
                async with asyncio.timeout(5):
                    await ReadinessRouter(FakeClock()).run(worker)
        finally:
            worker.close()
        assert worker.received == sent
        assert not is_readable(ingress)

    async def bursts() -> None:
        for count in BURSTS:
            await burst(count)

    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(bursts())


def test_a_run_is_one_system_call_and_many_datagrams(
    bound: FaultySocket, sender: socket.socket, ingress: CoalescingIngress
) -> None:
    sent = [*numbered(63), b"the last is shorter"]
    send_run(sender, sent)
    bound.receive_faults.extend([0] * 64 + [errno.ENOMEM])
    packets = DatagramBuffer.allocate(80, 128)
    assert ingress.read_batch(packets) == 64
    assert contents(packets[:64]) == sent
    assert {packet.endpoint for packet in packets[:64]} == {endpoint_of(sender.getsockname())}
    assert packets[0].endpoint is packets[63].endpoint


@pytest.mark.parametrize("room", [1, 5, 63, 64, 65, 127, 128, 129])
def test_the_rest_of_a_run_is_readable_until_it_has_been_read(
    sender: socket.socket, ingress: CoalescingIngress, room: int
) -> None:
    sent = numbered(128)
    send_run(sender, sent)
    packets = DatagramBuffer.allocate(room, 128)
    received: list[bytes] = []
    while is_readable(ingress):
        count = ingress.read_batch(packets)
        assert count == min(room, 128 - len(received))
        received += contents(packets[:count])
    assert received == sent
    assert ingress.read_batch(packets) == 0


def test_datagrams_of_all_sizes_arrive_as_they_were_sent(
    bound: FaultySocket, open_files: ExitStack, ingress: CoalescingIngress
) -> None:
    """Two senders take turns, each with runs, single and empty datagrams."""
    dice = random.Random(20)
    egresses = []
    for _ in range(2):
        made = open_files.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        made.bind(("127.0.0.1", 0))
        egresses.append((BatchingEgress(made, "a sender"), endpoint_of(made.getsockname())))
    destination = endpoint_of(bound.getsockname())
    sent: list[tuple[bytes, Endpoint]] = []
    while len(sent) < 300:
        egress, source = dice.choice(egresses)
        size = dice.choice([0, 1, 60, 1400, 1400, 1452])
        batch = [dice.randbytes(size) for _ in range(dice.choice([1, 2, 3, 30, 70]))]
        batch += [dice.randbytes(dice.randrange(1500)) for _ in range(dice.randrange(4))]
        assert egress.send_batch(batch, destination) == len(batch)
        sent += [(datagram, source) for datagram in batch]
    packets = DatagramBuffer.allocate(64, 1536)
    received: list[tuple[bytes, Endpoint]] = []
    while is_readable(ingress):
        count = ingress.read_batch(packets)
        assert not any(packet.flags for packet in packets[:count])
        received += zip(contents(packets[:count]), (p.endpoint for p in packets[:count]), strict=True)
    assert received == sent


def test_segments_that_do_not_fit_are_flagged_and_counted(
    sender: socket.socket, ingress: CoalescingIngress
) -> None:
    send_run(sender, [b"12345", b"67890", b"abc"])
    packets = DatagramBuffer.allocate(4, 4)
    assert ingress.read_batch(packets) == 3
    assert [(packet.length, packet.flags) for packet in packets[:3]] == [(4, 1), (4, 1), (3, 0)]
    assert contents(packets[:3]) == [b"1234", b"6789", b"abc"]
    assert ingress.truncated == 2


def test_only_the_short_buffers_of_a_batch_lose_bytes(
    sender: socket.socket, ingress: CoalescingIngress
) -> None:
    send_run(sender, numbered(3))
    packets = [DatagramBuffer(128), DatagramBuffer(8), DatagramBuffer(128)]
    assert ingress.read_batch(packets) == 3
    assert [packet.flags for packet in packets] == [0, 1, 0]
    assert contents(packets) == [numbered(3)[0], numbered(3)[1][:8], numbered(3)[2]]


def test_the_largest_datagram_is_whole(sender: socket.socket, ingress: CoalescingIngress) -> None:
    sender.send(bytes(65_507))
    packets = DatagramBuffer.allocate(1, 65_507)
    assert ingress.read_batch(packets) == 1
    assert (packets[0].length, packets[0].flags) == (65_507, 0)


@pytest.mark.parametrize("number", sorted(PEER_ERRNOS))
def test_news_about_a_peer_that_went_away_are_passed_over(
    bound: FaultySocket, sender: socket.socket, ingress: CoalescingIngress, number: int
) -> None:
    sender.send(b"1")
    bound.receive_faults.extend([number, number])
    assert ingress.read_batch(DatagramBuffer.allocate(4, 64)) == 1


def test_a_flood_of_such_news_ends_the_batch_and_not_the_socket(
    bound: FaultySocket, ingress: CoalescingIngress
) -> None:
    bound.receive_faults.extend([errno.ECONNREFUSED] * (SKIP_LIMIT + 1))
    assert ingress.read_batch(DatagramBuffer.allocate(4, 64)) == 0
    assert len(bound.receive_faults) == 1


@pytest.mark.parametrize("number", sorted(PATH_ERRNOS))
def test_a_shrunken_path_does_not_end_the_connection(
    bound: FaultySocket, sender: socket.socket, open_files: ExitStack, number: int
) -> None:
    ingress = connected_to(sender, bound, open_files)
    sender.send(b"1")
    bound.receive_faults.append(number)
    assert ingress.read_batch(DatagramBuffer.allocate(2, 64)) == 1


def test_the_connected_reader_delivers_before_it_fails_and_stays_readable_meanwhile(
    bound: FaultySocket, sender: socket.socket, open_files: ExitStack
) -> None:
    ingress = connected_to(sender, bound, open_files)
    packets = DatagramBuffer.allocate(8, 128)
    send_run(sender, numbered(3))
    bound.receive_faults.extend([0, 0, 0, errno.ECONNREFUSED])
    assert ingress.read_batch(packets) == 3
    assert {packet.endpoint for packet in packets[:3]} == {endpoint_of(sender.getsockname())}
    assert is_readable(ingress)
    with pytest.raises(UdpError, match="refused: nothing listens there"):
        ingress.read_batch(packets)
    assert not is_readable(ingress)
    assert ingress.read_batch(packets) == 0


def test_what_waited_is_delivered_before_a_failure(
    bound: FaultySocket, sender: socket.socket, ingress: CoalescingIngress
) -> None:
    packets = DatagramBuffer.allocate(4, 128)
    send_run(sender, numbered(6))
    bound.receive_faults.extend([0] * 6 + [errno.ENOMEM])
    assert ingress.read_batch(packets) == 4
    assert ingress.read_batch(packets) == 2
    assert contents(packets[:2]) == numbered(6)[4:]
    with pytest.raises(UdpError, match="the socket failed: made to fail"):
        ingress.read_batch(packets)


def test_a_buffer_without_room_costs_nothing_of_what_waits(
    sender: socket.socket, ingress: CoalescingIngress
) -> None:
    send_run(sender, numbered(3))
    packets = DatagramBuffer.allocate(1, 128)
    assert ingress.read_batch(packets) == 1
    useless = DatagramBuffer(1)
    useless.data = bytearray()
    with pytest.raises(ValueError, match="empty"):
        ingress.read_batch([useless])
    assert ingress.read_batch(packets) == 1
    assert contents(packets) == numbered(3)[1:2]


def test_what_waits_is_gone_after_close(
    bound: FaultySocket, sender: socket.socket, ingress: CoalescingIngress
) -> None:
    send_run(sender, numbered(3))
    packets = DatagramBuffer.allocate(1, 128)
    assert ingress.read_batch(packets) == 1
    ingress.close()
    ingress.close()
    bound.close()
    assert ingress.fileno() == -1
    with pytest.raises(UdpClosedError):
        ingress.read_batch(packets)


def test_a_kernel_that_joins_nothing_leaves_the_socket_alone() -> None:
    with FaultySocket(socket.AF_INET, offloads=False) as plain:
        assert not joins_datagrams(plain)
        assert plain.getsockopt(socket.SOL_UDP, UDP_GRO) == 0
