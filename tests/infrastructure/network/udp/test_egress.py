"""What only real sockets and the rarer answers of a kernel show; the contract has its own suite."""

import errno
import socket
from collections.abc import Iterator

import pytest

from application.network.udp.listener import UdpError
from domain.addressing.endpoint import Endpoint
from infrastructure.network.addresses import endpoint_of
from infrastructure.network.udp.egress import (
    ENDPOINT_ERRNOS,
    BatchingEgress,
    ConnectedEgress,
    UdpPeerEgress,
)
from infrastructure.network.udp.segmentation import NO_ROOM_ERRNOS, TRIES_AFTER_ICMP
from tests.adapters.faulty_socket import FaultySocket
from tests.adapters.udp import FakeBatchEgress, FakeNetwork, FakeUdpListener

BATCH = [b"1", b"22", b"333"]  # of rising length: no two of them make a run


@pytest.fixture
def faulty() -> Iterator[FaultySocket]:
    with FaultySocket(socket.AF_INET) as made:
        made.settimeout(0)
        yield made


@pytest.fixture
def receiver() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as bound:
        bound.bind(("127.0.0.1", 0))
        bound.settimeout(2)
        yield bound


@pytest.mark.parametrize("number", sorted(NO_ROOM_ERRNOS))
def test_without_room_the_rest_of_the_batch_is_dropped(
    faulty: FaultySocket, receiver: socket.socket, number: int
) -> None:
    egress = BatchingEgress(faulty, "the socket")
    faulty.send_faults.extend([0, number])
    assert egress.send_batch(BATCH, endpoint_of(receiver.getsockname())) == 1
    assert (egress.dropped_for_room, egress.dropped_refused) == (2, 0)
    assert egress.send_batch([b"room again"], endpoint_of(receiver.getsockname())) == 1
    assert [receiver.recv(64) for _ in range(2)] == [b"1", b"room again"]


@pytest.mark.parametrize("number", sorted(ENDPOINT_ERRNOS))
def test_a_refusal_drops_one_datagram_and_goes_on(
    faulty: FaultySocket, receiver: socket.socket, number: int
) -> None:
    egress = BatchingEgress(faulty, "the socket")
    faulty.send_faults.extend([0, number])
    assert egress.send_batch(BATCH, endpoint_of(receiver.getsockname())) == 2
    assert (egress.dropped_for_room, egress.dropped_refused) == (0, 1)
    assert [receiver.recv(64) for _ in range(2)] == [b"1", b"333"]


def test_refusals_before_the_room_ran_out_are_counted_apart(
    faulty: FaultySocket, receiver: socket.socket
) -> None:
    egress = BatchingEgress(faulty, "the socket")
    faulty.send_faults.extend([errno.EPERM, errno.ENOBUFS])
    assert egress.send_batch(BATCH, endpoint_of(receiver.getsockname())) == 0
    assert (egress.dropped_for_room, egress.dropped_refused) == (2, 1)


def test_another_failure_names_the_socket_and_the_reason(
    faulty: FaultySocket, receiver: socket.socket
) -> None:
    faulty.send_faults.append(errno.EIO)
    with pytest.raises(UdpError, match="the UDP socket on somewhere failed: made to fail"):
        BatchingEgress(faulty, "the UDP socket on somewhere").send_batch(
            BATCH, endpoint_of(receiver.getsockname())
        )


def test_an_ipv4_socket_drops_what_is_for_ipv6(faulty: FaultySocket) -> None:
    egress = BatchingEgress(faulty, "the socket")
    assert egress.send_batch(BATCH, Endpoint("2001:db8::1", 7)) == 0
    assert egress.dropped_refused == 3


@pytest.mark.parametrize("number", sorted(ENDPOINT_ERRNOS - {errno.ECONNREFUSED}))
def test_a_refusal_costs_the_client_one_frame(
    faulty: FaultySocket, receiver: socket.socket, number: int
) -> None:
    faulty.connect(receiver.getsockname())
    egress = ConnectedEgress(faulty)
    faulty.send_faults.extend([number])
    assert egress.send_batch(BATCH) == 2
    assert egress.dropped == 1
    assert [receiver.recv(64) for _ in range(2)] == [b"22", b"333"]


def test_the_answer_to_an_earlier_datagram_costs_the_client_nothing(
    faulty: FaultySocket, receiver: socket.socket
) -> None:
    faulty.connect(receiver.getsockname())
    egress = ConnectedEgress(faulty)
    faulty.send_faults.extend([errno.ECONNREFUSED] * TRIES_AFTER_ICMP)
    assert egress.send_batch(BATCH) == 3
    faulty.send_faults.extend([errno.ECONNREFUSED, errno.EPERM])
    assert egress.send_batch([b"4444", b"55555"]) == 1
    assert egress.dropped == 1
    assert [receiver.recv(64) for _ in range(4)] == [*BATCH, b"55555"]


def test_what_a_run_has_met_is_noted_and_the_run_goes_out(
    faulty: FaultySocket, receiver: socket.socket
) -> None:
    faulty.connect(receiver.getsockname())
    egress = ConnectedEgress(faulty)
    faulty.send_faults.append(errno.ECONNREFUSED)
    assert egress.send_runs([(b"112233", 2)]) == 3
    assert egress.refusal_errno == errno.ECONNREFUSED
    assert [receiver.recv(64) for _ in range(3)] == [b"11", b"22", b"33"]
    assert (egress.dropped, faulty.runs_sent) == (0, [])


def test_a_flood_of_such_answers_costs_the_client_one_frame(
    faulty: FaultySocket, receiver: socket.socket
) -> None:
    faulty.connect(receiver.getsockname())
    egress = ConnectedEgress(faulty)
    faulty.send_faults.extend([errno.ECONNREFUSED] * (TRIES_AFTER_ICMP + 1))
    assert egress.send_batch(BATCH) == 2
    assert [receiver.recv(64) for _ in range(2)] == [b"22", b"333"]


@pytest.mark.parametrize("number", sorted(ENDPOINT_ERRNOS))
def test_only_what_the_servers_host_alone_can_say_is_noted_as_its_refusal(
    faulty: FaultySocket, receiver: socket.socket, number: int
) -> None:
    faulty.connect(receiver.getsockname())
    egress = ConnectedEgress(faulty)
    faulty.send_faults.extend([number])
    egress.send_batch(BATCH)
    assert egress.refusal_errno == (number if number == errno.ECONNREFUSED else 0)


@pytest.mark.parametrize("number", [errno.EAGAIN, errno.ENOBUFS, errno.EIO])
def test_any_other_trouble_costs_the_client_the_rest_of_the_batch(
    faulty: FaultySocket, receiver: socket.socket, number: int
) -> None:
    faulty.connect(receiver.getsockname())
    egress = ConnectedEgress(faulty)
    faulty.send_faults.extend([0, number])
    assert egress.send_batch(BATCH) == 1
    assert egress.dropped == 2


def test_closing_the_clients_egress_leaves_the_socket_to_its_transport(
    faulty: FaultySocket, receiver: socket.socket
) -> None:
    faulty.connect(receiver.getsockname())
    egress = ConnectedEgress(faulty)
    egress.close()
    assert egress.send_batch(BATCH) == 3


class TestPeerEgress:
    """The server's way to one peer, over a network in memory."""

    @pytest.fixture
    def server(self) -> FakeUdpListener:
        return FakeNetwork().listen(Endpoint("192.0.2.1", 9090))

    @pytest.fixture
    def egress(self, server: FakeUdpListener) -> FakeBatchEgress:
        return server.batch_egress()

    def test_frames_follow_the_peer_when_it_moves(
        self, server: FakeUdpListener, egress: FakeBatchEgress
    ) -> None:
        network = server.mailbox.network
        old = network.listen(Endpoint("198.51.100.7", 1000))
        new = network.listen(Endpoint("198.51.100.7", 2000))
        peer = UdpPeerEgress(egress, old.local_endpoint)
        assert peer.send_batch([b"before"]) == 1
        peer.endpoint = new.local_endpoint
        assert peer.send_batch([b"after"]) == 1
        assert [datagram for datagram, _ in old.mailbox.inbox] == [b"before"]
        assert [datagram for datagram, _ in new.mailbox.inbox] == [b"after"]

    def test_what_is_not_taken_is_counted(self, egress: FakeBatchEgress) -> None:
        peer = UdpPeerEgress(egress, Endpoint("198.51.100.7", 1000))
        egress.full = True
        assert peer.send_batch(BATCH) == 0
        assert peer.dropped == 3

    def test_a_failed_socket_is_only_dropped_frames(self, egress: FakeBatchEgress) -> None:
        peer = UdpPeerEgress(egress, Endpoint("198.51.100.7", 1000))
        egress.failure = UdpError("the socket failed")
        assert peer.send_batch(BATCH) == 0
        assert peer.dropped == 3

    def test_closing_one_peer_leaves_the_shared_socket_open(
        self, server: FakeUdpListener, egress: FakeBatchEgress
    ) -> None:
        UdpPeerEgress(egress, Endpoint("198.51.100.7", 1000)).close()
        assert server.fileno() >= 0
