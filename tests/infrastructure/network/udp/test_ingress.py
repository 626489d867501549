"""What only real sockets and the rarer answers of a kernel show; the contract has its own suite."""

import errno
import socket
from collections.abc import Iterator

import pytest

from application.network.udp.listener import UdpError
from domain.addressing.endpoint import Endpoint
from infrastructure.network.addresses import endpoint_of
from infrastructure.network.udp.buffers import DatagramBuffer
from infrastructure.network.udp.ingress import (
    PEER_ERRNOS,
    REFUSAL_ERRNOS,
    SKIP_LIMIT,
    BatchingIngress,
    ConnectedIngress,
)
from tests.adapters.faulty_socket import FaultySocket


@pytest.fixture
def bound() -> Iterator[FaultySocket]:
    with FaultySocket(socket.AF_INET) as faulty:
        faulty.bind(("127.0.0.1", 0))
        faulty.settimeout(0)
        yield faulty


@pytest.fixture
def sender(bound: FaultySocket) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as connected:
        connected.connect(bound.getsockname())
        yield connected


@pytest.fixture
def connected(bound: FaultySocket, sender: socket.socket) -> ConnectedIngress:
    """Reads ``bound`` after it has been connected to ``sender``."""
    bound.connect(sender.getsockname())
    return ConnectedIngress(bound, endpoint_of(sender.getsockname()))


def lengths(buffers: list[DatagramBuffer]) -> list[int]:
    return [buffer.length for buffer in buffers]


@pytest.mark.parametrize("number", sorted(PEER_ERRNOS))
def test_news_about_a_peer_that_went_away_are_passed_over(
    bound: FaultySocket, sender: socket.socket, number: int
) -> None:
    buffers = DatagramBuffer.allocate(4, 64)
    sender.send(b"1")
    sender.send(b"22")
    bound.receive_faults.extend([number, number, 0, number])
    assert BatchingIngress(bound, "the socket").read_batch(buffers) == 2
    assert lengths(buffers[:2]) == [1, 2]


def test_a_flood_of_such_news_ends_the_batch_and_not_the_socket(
    bound: FaultySocket, sender: socket.socket
) -> None:
    ingress = BatchingIngress(bound, "the socket")
    buffers = DatagramBuffer.allocate(4, 64)
    sender.send(b"behind the news")
    bound.receive_faults.extend([errno.ECONNREFUSED] * (SKIP_LIMIT + 1))
    assert ingress.read_batch(buffers) == 0
    assert len(bound.receive_faults) == 1
    assert ingress.read_batch(buffers) == 1


def test_another_failure_names_the_socket_and_the_reason(bound: FaultySocket) -> None:
    bound.receive_faults.append(errno.ENOMEM)
    with pytest.raises(UdpError, match="the UDP socket on somewhere failed: made to fail") as failure:
        BatchingIngress(bound, "the UDP socket on somewhere").read_batch(DatagramBuffer.allocate(1, 64))
    assert isinstance(failure.value.__cause__, OSError)


def test_a_failure_kept_for_the_next_call_still_knows_its_cause(
    bound: FaultySocket, sender: socket.socket
) -> None:
    ingress = BatchingIngress(bound, "the socket")
    buffers = DatagramBuffer.allocate(4, 64)
    sender.send(b"1")
    bound.receive_faults.extend([0, errno.EIO])
    assert ingress.read_batch(buffers) == 1
    with pytest.raises(UdpError) as failure:
        ingress.read_batch(buffers)
    assert isinstance(failure.value.__cause__, OSError)


def test_truncated_datagrams_are_counted(bound: FaultySocket, sender: socket.socket) -> None:
    ingress = BatchingIngress(bound, "the socket")
    for size in (8, 9, 60_000):
        sender.send(bytes(size))
    assert ingress.read_batch(DatagramBuffer.allocate(3, 8)) == 3
    assert ingress.truncated == 2


def test_a_source_is_converted_once_and_shared(bound: FaultySocket, sender: socket.socket) -> None:
    buffers = DatagramBuffer.allocate(2, 64)
    sender.send(b"1")
    sender.send(b"2")
    assert BatchingIngress(bound, "the socket").read_batch(buffers) == 2
    assert buffers[0].endpoint is buffers[1].endpoint


def test_a_buffer_emptied_after_the_check_flags_what_it_lost(
    bound: FaultySocket, sender: socket.socket
) -> None:
    ingress = BatchingIngress(bound, "the socket")
    buffers = DatagramBuffer.allocate(1, 64)
    assert ingress.read_batch(buffers) == 0
    buffers[0].data = bytearray()
    sender.send(b"gone")
    assert ingress.read_batch(buffers) == 1
    assert buffers[0].flags == 1
    assert buffers[0].length == 0


def test_the_connected_reader_fills_in_its_one_endpoint(
    connected: ConnectedIngress, sender: socket.socket
) -> None:
    buffers = DatagramBuffer.allocate(4, 4)
    sender.send(b"1234")
    sender.send(b"12345")
    sender.send(b"")
    assert connected.read_batch(buffers) == 3
    assert {buffer.endpoint for buffer in buffers[:3]} == {endpoint_of(sender.getsockname())}
    assert [(buffer.length, buffer.flags) for buffer in buffers[:3]] == [(4, 0), (4, 1), (0, 0)]
    assert connected.truncated == 1


def test_the_connected_reader_checks_its_buffers(connected: ConnectedIngress) -> None:
    with pytest.raises(ValueError, match="at least one"):
        connected.read_batch([])


def test_a_shrunken_path_does_not_end_the_connection(
    bound: FaultySocket, connected: ConnectedIngress, sender: socket.socket
) -> None:
    sender.send(b"1")
    bound.receive_faults.append(errno.EMSGSIZE)
    assert connected.read_batch(DatagramBuffer.allocate(2, 64)) == 1


def test_a_flood_of_path_news_ends_the_batch(bound: FaultySocket, connected: ConnectedIngress) -> None:
    bound.receive_faults.extend([errno.EMSGSIZE] * (SKIP_LIMIT + 1))
    assert connected.read_batch(DatagramBuffer.allocate(2, 64)) == 0
    assert len(bound.receive_faults) == 1


def test_the_connected_reader_delivers_before_it_fails(
    bound: FaultySocket, connected: ConnectedIngress, sender: socket.socket
) -> None:
    buffers = DatagramBuffer.allocate(4, 64)
    sender.send(b"1")
    bound.receive_faults.extend([0, errno.EIO])
    assert connected.read_batch(buffers) == 1
    with pytest.raises(UdpError, match="failed: made to fail"):
        connected.read_batch(buffers)


@pytest.mark.parametrize("number", sorted(REFUSAL_ERRNOS))
def test_that_the_peer_refuses_is_noted_and_what_waits_is_read(
    bound: FaultySocket, connected: ConnectedIngress, sender: socket.socket, number: int
) -> None:
    sender.send(b"1")
    bound.receive_faults.append(number)
    assert connected.refusal_errno == 0
    assert connected.read_batch(DatagramBuffer.allocate(2, 64)) == 1
    assert connected.refusal_errno == number


def test_a_flood_of_refusals_ends_the_batch(bound: FaultySocket, connected: ConnectedIngress) -> None:
    bound.receive_faults.extend([errno.ECONNREFUSED] * (SKIP_LIMIT + 1))
    assert connected.read_batch(DatagramBuffer.allocate(2, 64)) == 0
    assert len(bound.receive_faults) == 1


def test_nothing_in_a_fresh_reader_pretends_to_be_a_peer(bound: FaultySocket) -> None:
    buffers = DatagramBuffer.allocate(1, 64)
    assert BatchingIngress(bound, "the socket").read_batch(buffers) == 0
    assert buffers[0].endpoint == Endpoint("0.0.0.0", 0)
