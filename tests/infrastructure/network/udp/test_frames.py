"""From datagrams to frames."""

import pytest

from application.network.connection.transport import TransportError
from application.network.routing.counters import TunnelCounters
from domain.addressing.endpoint import Endpoint
from infrastructure.network.udp.buffers import DatagramBuffer
from infrastructure.network.udp.frames import DatagramFrames
from tests.adapters.runs import frames_from
from tests.adapters.udp import FakeNetwork, FakeUdpListener


@pytest.fixture
def listener() -> FakeUdpListener:
    return FakeNetwork().listen(Endpoint("192.0.2.1", 9090))


@pytest.fixture
def counters() -> TunnelCounters:
    return TunnelCounters()


@pytest.fixture
def frames(listener: FakeUdpListener, counters: TunnelCounters) -> DatagramFrames:
    return DatagramFrames(listener.batch_ingress(), DatagramBuffer.allocate(3, 8), counters)


def send(listener: FakeUdpListener, *datagrams: bytes) -> None:
    sender = listener.mailbox.network.listen(Endpoint("192.0.2.2", 0))
    sender.batch_egress().send_batch(datagrams, listener.local_endpoint)


def test_a_batch_of_datagrams_is_a_batch_of_frames(listener: FakeUdpListener, frames: DatagramFrames) -> None:
    assert frames_from(frames) == []
    send(listener, b"1", b"22", b"333", b"4444")
    assert frames_from(frames) == [b"1", b"22", b"333"]
    assert frames_from(frames) == [b"4444"]
    assert frames_from(frames) == []


def test_a_datagram_that_did_not_fit_is_counted_and_no_frame(
    listener: FakeUdpListener, frames: DatagramFrames, counters: TunnelCounters
) -> None:
    send(listener, b"whole", b"longer than the buffer", b"whole, too"[:8])
    assert frames_from(frames) == [b"whole", b"whole, t"]
    assert counters.dropped_truncated == 1


def test_what_was_dequeued_before_the_socket_failed_comes_first(
    listener: FakeUdpListener, frames: DatagramFrames
) -> None:
    send(listener, b"1", b"2", b"3")
    listener.mailbox.fail_after(2)
    assert frames_from(frames) == [b"1", b"2"]
    with pytest.raises(TransportError, match="Input/output error"):
        frames_from(frames)
    assert frames_from(frames) == [b"3"]


def test_a_closed_socket_is_a_path_that_is_gone(listener: FakeUdpListener, frames: DatagramFrames) -> None:
    listener.close()
    with pytest.raises(TransportError, match="closed"):
        frames_from(frames)
