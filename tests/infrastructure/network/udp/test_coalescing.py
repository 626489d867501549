"""Taking runs apart, and what waits in the reader meanwhile; the contract has its own suite."""

import errno
import random
import select
import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from application.network.udp.listener import UdpClosedError, UdpError
from domain.addressing.endpoint import Endpoint
from domain.noise.primitives import Buffer
from domain.session.runs import joined
from infrastructure.network.addresses import endpoint_of
from infrastructure.network.udp.buffers import DatagramBuffer
from infrastructure.network.udp.coalescing import (
    RUN_BUFFER_BYTES,
    UDP_GRO,
    CoalescingIngress,
    joins_datagrams,
)
from infrastructure.network.udp.egress import BatchingEgress
from infrastructure.network.udp.ingress import PATH_ERRNOS, PEER_ERRNOS, REFUSAL_ERRNOS, SKIP_LIMIT
from infrastructure.network.udp.segmentation import UDP_SEGMENT
from tests.adapters.faulty_socket import FaultySocket
from tests.adapters.runs import datagrams_of


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
def ingress(bound: FaultySocket) -> CoalescingIngress:
    return CoalescingIngress.bound(bound, "the socket")


def connected_to(sender: socket.socket, bound: FaultySocket) -> CoalescingIngress:
    bound.connect(sender.getsockname())
    return CoalescingIngress.connected(bound, endpoint_of(sender.getsockname()))


def numbered(count: int, size: int = 100) -> list[bytes]:
    return [number.to_bytes(4, "big") + bytes(size - 4) for number in range(count)]


def send_run(sender: socket.socket, run: list[bytes]) -> None:
    """One system call for all of ``run``."""
    sender.sendmsg(run, [(socket.SOL_UDP, UDP_SEGMENT, len(run[0]).to_bytes(2, "little"))])


def is_readable(ingress: CoalescingIngress) -> bool:
    return bool(select.select([ingress.fileno()], [], [], 0)[0])


def run_buffers(count: int) -> list[DatagramBuffer]:
    return DatagramBuffer.allocate(count, RUN_BUFFER_BYTES)


def test_a_run_is_one_system_call_and_one_packet(
    bound: FaultySocket, sender: socket.socket, ingress: CoalescingIngress
) -> None:
    sent = [*numbered(63), b"the last is shorter"]
    send_run(sender, sent)
    bound.receive_faults.extend([0, errno.ENOMEM])
    packets = run_buffers(4)
    assert ingress.read_batch(packets) == 1
    assert packets[0].segment_bytes == 100
    assert datagrams_of(packets[:1]) == sent
    assert packets[0].endpoint == endpoint_of(sender.getsockname())


def test_a_datagram_alone_is_a_run_of_one(sender: socket.socket, ingress: CoalescingIngress) -> None:
    sender.send(b"alone")
    packets = run_buffers(4)
    assert ingress.read_batch(packets) == 1
    assert (packets[0].length, packets[0].segment_bytes) == (5, 5)


def test_more_runs_than_buffers_stay_readable(sender: socket.socket, ingress: CoalescingIngress) -> None:
    sent = numbered(128 * 5)
    for start in range(0, len(sent), 128):
        send_run(sender, sent[start : start + 128])
    packets = run_buffers(2)
    received: list[Buffer] = []
    while is_readable(ingress):
        count = ingress.read_batch(packets)
        received += map(bytes, datagrams_of(packets[:count]))
    assert received == sent
    assert ingress.read_batch(packets) == 0


def test_a_batch_of_large_runs_ends_early_and_the_rest_stays_readable(
    sender: socket.socket, ingress: CoalescingIngress
) -> None:
    runs = [numbered(50, 1000 + extra) for extra in range(6)]
    for run in runs:
        send_run(sender, run)
    packets = run_buffers(16)
    counts: list[int] = []
    received: list[Buffer] = []
    while is_readable(ingress):
        counts.append(ingress.read_batch(packets))
        received += map(bytes, datagrams_of(packets[: counts[-1]]))
    assert counts == [3, 3]
    assert received == [datagram for run in runs for datagram in run]


def test_datagrams_of_all_sizes_arrive_as_they_were_sent(
    bound: FaultySocket, open_files: ExitStack, ingress: CoalescingIngress
) -> None:
    """Two senders take turns, each with runs and single datagrams."""
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
        size = dice.choice([1, 2, 60, 1400, 1400, 1452])
        batch = [dice.randbytes(size) for _ in range(dice.choice([1, 2, 3, 30, 70]))]
        batch += [dice.randbytes(dice.randrange(1, 1500)) for _ in range(dice.randrange(4))]
        assert egress.send_runs(joined(batch), destination) == len(batch)
        sent += [(datagram, source) for datagram in batch]
    packets = run_buffers(8)
    received: list[tuple[bytes, Endpoint]] = []
    while is_readable(ingress):
        count = ingress.read_batch(packets)
        assert not any(packet.flags for packet in packets[:count])
        for packet in packets[:count]:
            received += [(bytes(datagram), packet.endpoint) for datagram in datagrams_of([packet])]
    assert received == sent


def test_what_does_not_fit_is_flagged_and_counted(sender: socket.socket, ingress: CoalescingIngress) -> None:
    send_run(sender, [b"12345", b"67890", b"abc"])
    sender.send(b"fits")
    packets = [DatagramBuffer(12), DatagramBuffer(12)]
    assert ingress.read_batch(packets) == 2
    assert [packet.flags for packet in packets] == [1, 0]
    assert datagrams_of(packets[1:]) == [b"fits"]
    assert ingress.truncated == 1


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
    bound: FaultySocket, sender: socket.socket, number: int
) -> None:
    ingress = connected_to(sender, bound)
    sender.send(b"1")
    bound.receive_faults.append(number)
    assert ingress.read_batch(DatagramBuffer.allocate(2, 64)) == 1


def test_what_was_read_is_delivered_before_a_failure(bound: FaultySocket, sender: socket.socket) -> None:
    ingress = connected_to(sender, bound)
    packets = run_buffers(8)
    send_run(sender, numbered(3))
    bound.receive_faults.extend([0, errno.EIO])
    assert ingress.read_batch(packets) == 1
    assert packets[0].endpoint == endpoint_of(sender.getsockname())
    with pytest.raises(UdpError, match="failed: made to fail"):
        ingress.read_batch(packets)
    assert ingress.read_batch(packets) == 0


@pytest.mark.parametrize("number", sorted(REFUSAL_ERRNOS))
def test_that_the_peer_refuses_is_noted_and_what_waits_is_read(
    bound: FaultySocket, sender: socket.socket, number: int
) -> None:
    ingress = connected_to(sender, bound)
    send_run(sender, numbered(3))
    bound.receive_faults.append(number)
    assert ingress.refusal_errno == 0
    assert ingress.read_batch(run_buffers(8)) == 1
    assert ingress.refusal_errno == number


def test_a_buffer_without_room_costs_nothing_of_what_waits(
    sender: socket.socket, ingress: CoalescingIngress
) -> None:
    send_run(sender, numbered(3))
    useless = DatagramBuffer(1)
    useless.data = bytearray()
    with pytest.raises(ValueError, match="empty"):
        ingress.read_batch([useless])
    packets = run_buffers(1)
    assert ingress.read_batch(packets) == 1
    assert datagrams_of(packets) == numbered(3)


def test_what_waits_is_gone_after_close(
    bound: FaultySocket, sender: socket.socket, ingress: CoalescingIngress
) -> None:
    send_run(sender, numbered(3))
    bound.close()
    assert ingress.fileno() == -1
    with pytest.raises(UdpClosedError):
        ingress.read_batch(run_buffers(1))


def test_a_kernel_that_joins_nothing_leaves_the_socket_alone() -> None:
    with FaultySocket(socket.AF_INET, offloads=False) as plain:
        assert not joins_datagrams(plain)
        assert plain.getsockopt(socket.SOL_UDP, UDP_GRO) == 0
