"""How frames are put into a connection."""

import pytest

from domain.addressing.endpoint import Endpoint
from domain.noise.primitives import Buffer
from infrastructure.network.stream.egress import StreamEgress


class RecordingOutlet:
    """Takes everything until it is closed; ``written`` are the single writes."""

    def __init__(self) -> None:
        self.has_room = True
        self.closed = False
        self.written: list[bytes] = []

    def write(self, payload: Buffer) -> bool:
        if not self.closed:
            self.written.append(bytes(payload))
        return not self.closed

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def outlet() -> RecordingOutlet:
    return RecordingOutlet()


@pytest.fixture
def egress(outlet: RecordingOutlet) -> StreamEgress:
    return StreamEgress(outlet, Endpoint("192.0.2.1", 7))


def test_a_batch_is_one_write(egress: StreamEgress, outlet: RecordingOutlet) -> None:
    assert egress.send_batch([b"1", bytearray(b"22"), memoryview(b"333")]) == 3
    assert egress.send_batch([memoryview(b"alone")]) == 1
    assert outlet.written == [b"122333", b"alone"]


def test_an_empty_batch_is_no_write(egress: StreamEgress, outlet: RecordingOutlet) -> None:
    assert egress.send_batch([]) == 0
    assert outlet.written == []
    assert egress.dropped == 0


def test_a_message_is_framed(egress: StreamEgress, outlet: RecordingOutlet) -> None:
    egress.send_message(b"hello")
    assert outlet.written == [b"\0\5hello"]


def test_room_is_the_connections(egress: StreamEgress, outlet: RecordingOutlet) -> None:
    assert egress.has_room
    outlet.has_room = False
    assert not egress.has_room


def test_after_the_end_frames_are_dropped_and_counted(egress: StreamEgress, outlet: RecordingOutlet) -> None:
    egress.close()
    assert outlet.closed
    assert egress.send_batch([b"1", b"2"]) == 0
    egress.send_message(b"3")
    assert egress.dropped == 3
