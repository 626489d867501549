"""What the kernel has no room for waits its turn."""

import socket
from collections.abc import Iterator

import pytest

from infrastructure.network.stream.outbox import Outbox
from tests.infrastructure.network.stream.records import connected_sockets


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    with connected_sockets() as sockets:
        yield sockets


def read(far: socket.socket, count: int) -> bytes:
    received = bytearray()
    while len(received) < count:
        received += far.recv(count - len(received))
    return bytes(received)


def test_while_there_is_room_nothing_waits(ends: tuple[socket.socket, socket.socket]) -> None:
    near, far = ends
    outbox = Outbox(near)
    outbox.put(b"at ")
    outbox.put(memoryview(b"once"))
    assert outbox.waiting_bytes == 0
    assert read(far, 7) == b"at once"


def test_what_waits_goes_out_in_order_when_there_is_room(ends: tuple[socket.socket, socket.socket]) -> None:
    near, far = ends
    outbox = Outbox(near)
    sent = bytearray()
    number = 0
    while outbox.waiting_bytes < 300_000:
        piece = bytearray(number.to_bytes(4) * 5_000)
        outbox.put(piece)
        sent += piece
        piece[:] = bytes(len(piece))  # it is the caller's again
        number += 1
    received = bytearray()
    while outbox.waiting_bytes > 100_000:
        received += far.recv(1 << 20)
        outbox.flush()
    while outbox.waiting_bytes:
        received += far.recv(1 << 20)
        if number % 2:
            outbox.put(b"%d" % number)  # has to go behind what waits, although there is room again
            sent += b"%d" % number
        outbox.flush()
        number += 1
    received += read(far, len(sent) - len(received))
    assert received == sent


def test_flushing_without_room_changes_nothing(ends: tuple[socket.socket, socket.socket]) -> None:
    near, _ = ends
    outbox = Outbox(near)
    while not outbox.waiting_bytes:
        outbox.put(bytes(100_000))
    waiting = outbox.waiting_bytes
    outbox.flush()
    assert outbox.waiting_bytes == waiting


def test_a_connection_that_is_gone_is_an_error(ends: tuple[socket.socket, socket.socket]) -> None:
    near, far = ends
    outbox = Outbox(near)
    while not outbox.waiting_bytes:
        outbox.put(bytes(100_000))
    far.close()
    with pytest.raises(ConnectionError):
        outbox.flush()
    with pytest.raises(ConnectionError):
        Outbox(near).put(b"late")
