import hashlib
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from presentation.demo.transfer import ARRIVED, MIB, blocks, receive, send


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


def port_of(listener: socket.socket) -> int:
    port: int = listener.getsockname()[1]
    return port


def test_both_sides_agree_on_what_was_transferred(listener: socket.socket) -> None:
    with ThreadPoolExecutor() as other:
        sender = other.submit(send, "127.0.0.1", port_of(listener), 3)
        received = receive(listener, 3)
        sent = sender.result(20)
    assert sent["bytes"] == received["bytes"] == 3 * MIB
    assert sent["sha256"] == received["sha256"]


def test_blocks_are_a_mib_each_and_no_two_are_alike() -> None:
    made = list(blocks(bytes(MIB), 4))
    assert [len(block) for block in made] == [MIB] * 4
    assert len(set(made)) == 4


def test_the_receiver_hashes_what_arrived_and_not_what_should_have(listener: socket.socket) -> None:
    data = b"x" * MIB

    def forge() -> bytes:
        with socket.create_connection(("127.0.0.1", port_of(listener)), timeout=20) as connection:
            connection.sendall(data)
            return connection.recv(1)

    with ThreadPoolExecutor() as other:
        forger = other.submit(forge)
        received = receive(listener, 1)
        assert forger.result(20) == ARRIVED
    assert received["sha256"] == hashlib.sha256(data).hexdigest()


def test_a_sender_that_ends_early_is_an_error(listener: socket.socket) -> None:
    def end_early() -> None:
        with socket.create_connection(("127.0.0.1", port_of(listener)), timeout=20) as connection:
            connection.sendall(b"x" * 1000)

    with ThreadPoolExecutor() as other:
        other.submit(end_early)
        with pytest.raises(EOFError, match="after 1000 of 1048576 bytes"):
            receive(listener, 1)
