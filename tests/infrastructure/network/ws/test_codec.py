"""Whole connections: those recorded between the Go programs, and our own two ends back to back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infrastructure.network.stream.codec import Codec, StreamEndedError, StreamRefusedError
from infrastructure.network.ws.codec import WebSocketClientCodec, WebSocketServerCodec
from tests import vectors
from tests.infrastructure.network.ws.ends import PROBES, SESSIONS, cut, open_server, received
from tests.infrastructure.network.ws.test_upgrade import recorded_key
from tests.infrastructure.network.ws.wire import BINARY, CLOSE, MASK, PING, PONG, WireFrame, frame, frames_in

# The bytes of a close frame with a code and no reason: two of head, two of code, and four of mask.
CLOSE_BYTES = {"client": 8, "server": 4}

MESSAGE_PROBES = [case for case in PROBES if "sent_messages" in case]


def replay(codec: Codec, case: vectors.JsonObject, sender: str, chunk_bytes: int) -> None:
    """Feed what ``sender`` was recorded to say to ``codec``, its last words apart."""
    stream = vectors.octets(case, f"{sender}_stream")
    frames = vectors.children(case, f"{sender}_frames")
    expected = b"".join(
        vectors.octets(each, "payload") for each in frames if vectors.number(each, "opcode") in (0, BINARY)
    )
    assert len(expected) > 50  # a handshake at least
    goodbye_bytes = CLOSE_BYTES[sender] if vectors.number(frames[-1], "opcode") == CLOSE else 0
    end = len(stream) - goodbye_bytes
    assert received(codec, cut(stream[:end], chunk_bytes)) == expected
    assert codec.is_open
    if goodbye_bytes:
        with pytest.raises(StreamEndedError, match="closed the WebSocket"):
            codec.receive(stream[end:])


@pytest.mark.parametrize("chunk_bytes", [1, 7, 65_536])
@pytest.mark.parametrize("case", SESSIONS, ids=lambda case: vectors.text(case, "name"))
def test_what_a_go_client_says_is_understood(case: vectors.JsonObject, chunk_bytes: int) -> None:
    server = WebSocketServerCodec(trusted=False)
    server.start()
    replay(server, case, "client", chunk_bytes)


@pytest.mark.parametrize("chunk_bytes", [1, 7, 65_536])
@pytest.mark.parametrize("case", SESSIONS, ids=lambda case: vectors.text(case, "name"))
def test_what_a_go_server_says_is_understood(case: vectors.JsonObject, chunk_bytes: int) -> None:
    client = WebSocketClientCodec("vpn.example.org", 80, random_bytes=lambda _: recorded_key(case))
    client.start()
    replay(client, case, "server", chunk_bytes)


@pytest.mark.parametrize("case", MESSAGE_PROBES, ids=lambda case: vectors.text(case, "name"))
def test_messages_have_the_outcome_that_they_had_with_the_go_server(case: vectors.JsonObject) -> None:
    """Where the Go server ended the connection for what the stream held, ours hands on the same stream.

    One thing differs on purpose: messages of 1519 to 32768 bytes are taken, which a Go server closes with
    1009.
    """
    server = open_server()
    conversation = b"".join(sent_frames(case))
    stream = b"".join(
        vectors.octets(message, "payload")
        for message in vectors.children(case, "sent_messages")
        if vectors.number(message, "opcode") == BINARY
    )
    if "unmasked" in vectors.text(case, "name"):
        with pytest.raises(StreamRefusedError, match="masking"):
            server.receive(conversation)
        return
    assert received(server, [conversation]) == stream
    pongs = [
        WireFrame(PONG, vectors.octets(message, "payload"))
        for message in (vectors.children(case, "received_control") if "received_control" in case else [])
    ]
    assert list(frames_in(server.take_output())) == pongs


def sent_frames(case: vectors.JsonObject) -> list[bytes]:
    """The frames of a probe on the wire; they were recorded without their payloads, which follow in order."""
    messages = vectors.children(case, "sent_messages")
    if "sent_frames" not in case:
        return [
            frame(vectors.number(each, "opcode"), vectors.octets(each, "payload"), mask=MASK)
            for each in messages
        ]
    payload = b"".join(vectors.octets(each, "payload") for each in messages)
    frames: list[bytes] = []
    for each in vectors.children(case, "sent_frames"):
        length = vectors.number(each, "payload_length")
        frames.append(
            frame(
                vectors.number(each, "opcode"),
                payload[:length],
                fin=vectors.flag(each, "fin"),
                mask=MASK if vectors.flag(each, "masked") else None,
            )
        )
        payload = payload[length:]
    assert not payload
    return frames


@given(
    to_server=st.lists(st.binary(max_size=4000), max_size=4),
    to_client=st.lists(st.binary(max_size=40_000), max_size=3),
    chunk_bytes=st.integers(1, 5000),
)
def test_two_ends_carry_any_stream_through_any_chunks(
    to_server: list[bytes], to_client: list[bytes], chunk_bytes: int
) -> None:
    client = WebSocketClientCodec("vpn.example.org", 443)
    client.start()
    server = WebSocketServerCodec(trusted=False)
    server.start()
    assert received(server, cut(client.take_output(), chunk_bytes)) == b""
    assert received(client, cut(server.take_output(), chunk_bytes)) == b""
    for payload in to_server:
        client.send(payload)
    for payload in to_client:
        server.send(memoryview(payload))
    assert received(server, cut(client.take_output(), chunk_bytes)) == b"".join(to_server)
    assert received(client, cut(server.take_output(), chunk_bytes)) == b"".join(to_client)


def test_one_end_closes_and_the_other_one_answers() -> None:
    client = WebSocketClientCodec("vpn.example.org", 443)
    client.start()
    server = WebSocketServerCodec(trusted=False)
    server.receive(client.take_output())
    client.receive(server.take_output())
    client.send(b"last words")
    client.close()
    goodbye = client.take_output()
    last_words, farewell = goodbye[:-8], goodbye[-8:]
    assert server.receive(last_words) == [b"last words"]
    with pytest.raises(StreamEndedError):
        server.receive(farewell)
    with pytest.raises(StreamEndedError):
        client.receive(server.take_output())


def test_an_end_that_was_never_opened_says_no_goodbye() -> None:
    client = WebSocketClientCodec("vpn.example.org", 443)
    client.close()
    server = WebSocketServerCodec(trusted=False)
    server.start()
    server.close()
    assert client.take_output() == server.take_output() == b""


def test_a_ping_before_the_upgrade_is_no_ping() -> None:
    server = WebSocketServerCodec(trusted=False)
    with pytest.raises(StreamRefusedError):
        server.receive(frame(PING, b"?", mask=MASK))
