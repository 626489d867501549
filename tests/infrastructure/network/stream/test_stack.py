"""Two layers, one on the other, and the peer's two layers, with nothing but bytes between them."""

import pytest

from infrastructure.network.stream.codec import StreamEndedError, StreamRefusedError
from infrastructure.network.stream.stack import CodecStack
from tests.infrastructure.network.stream.records import BYE, DATA, HELLO, REFUSAL, RecordCodec, record

LOWER, UPPER = 0x11, 0x22


@pytest.fixture
def log() -> list[str]:
    return []


@pytest.fixture
def client(log: list[str]) -> CodecStack:
    return CodecStack([RecordCodec(LOWER, log=log), RecordCodec(UPPER, log=log)])


@pytest.fixture
def server() -> CodecStack:
    return CodecStack([RecordCodec(LOWER, server=True), RecordCodec(UPPER, server=True)])


def carry(sender: CodecStack, receiver: CodecStack, piece_bytes: int = 1 << 16) -> bytes:
    """Move what ``sender`` has to say; returns the payload that came out at the top."""
    wire = sender.take_output()
    payload = b""
    for start in range(0, len(wire), piece_bytes):
        payload += b"".join(receiver.receive(wire[start : start + piece_bytes]))
    return payload


def opened(client: CodecStack, server: CodecStack) -> None:
    client.start()
    server.start()
    for _ in range(2):
        carry(client, server)
        carry(server, client)
    assert client.is_open
    assert server.is_open


def test_a_layer_starts_when_the_one_below_is_open(
    client: CodecStack, server: CodecStack, log: list[str]
) -> None:
    client.start()
    server.start()
    assert log == ["start 0x11"]
    assert client.take_output() == record(HELLO, b"", LOWER)
    assert server.receive(record(HELLO, b"", LOWER)) == []
    assert client.receive(server.take_output()) == []
    assert log == ["start 0x11", "start 0x22"]
    assert not client.is_open
    assert client.take_output() == record(DATA, record(HELLO, b"", UPPER), LOWER)


def test_payload_goes_through_both_layers_both_ways(client: CodecStack, server: CodecStack) -> None:
    opened(client, server)
    client.send(b"up")
    assert carry(client, server) == b"up"
    server.send(b"down")
    assert carry(server, client) == b"down"


@pytest.mark.parametrize("piece_bytes", [1, 2, 3, 7])
def test_pieces_make_no_difference(client: CodecStack, server: CodecStack, piece_bytes: int) -> None:
    client.start()
    server.start()
    for _ in range(2):
        carry(client, server, piece_bytes)
        carry(server, client, piece_bytes)
    for payload in (b"one", b"two", bytes(100)):
        client.send(payload)
    assert carry(client, server, piece_bytes) == b"onetwo" + bytes(100)


def test_what_came_with_the_opening_of_the_lower_layer_reaches_the_upper(
    client: CodecStack, server: CodecStack
) -> None:
    client.start()
    server.start()
    hello = record(HELLO, b"", LOWER)
    hidden = record(DATA, record(HELLO, b"", UPPER) + record(DATA, b"early", UPPER), LOWER)
    assert b"".join(server.receive(hello + hidden)) == b"early"
    assert server.is_open


def test_goodbyes_go_out_from_the_top(client: CodecStack, server: CodecStack, log: list[str]) -> None:
    opened(client, server)
    log.clear()
    client.close()
    assert log == ["close 0x22", "close 0x11"]
    assert client.take_output() == record(DATA, record(BYE, b"", UPPER), LOWER) + record(BYE, b"", LOWER)
    assert client.take_output() == b""


def test_a_goodbye_of_the_peers_upper_layer_ends_the_stream(client: CodecStack, server: CodecStack) -> None:
    opened(client, server)
    with pytest.raises(StreamEndedError, match="said bye"):
        client.receive(record(DATA, record(BYE, b"", UPPER), LOWER))
    assert not client.is_open


def test_the_upper_layers_last_answer_goes_out_through_the_lower(
    client: CodecStack, server: CodecStack
) -> None:
    opened(client, server)
    with pytest.raises(StreamRefusedError):
        server.receive(record(DATA, record(0, b"", UPPER), LOWER))
    assert server.take_output() == record(DATA, record(REFUSAL, b"", UPPER), LOWER)


def test_the_lower_layers_last_answer_goes_out_by_itself(client: CodecStack, server: CodecStack) -> None:
    opened(client, server)
    server.send(b"swallowed")
    with pytest.raises(StreamRefusedError):
        server.receive(record(0, b"", LOWER))
    assert server.take_output() == record(REFUSAL, b"", LOWER)


def test_closing_before_the_upper_layer_has_started_leaves_it_alone(
    client: CodecStack, log: list[str]
) -> None:
    client.start()
    client.take_output()
    client.close()
    assert log == ["start 0x11", "close 0x11"]
    assert client.take_output() == record(BYE, b"", LOWER)
