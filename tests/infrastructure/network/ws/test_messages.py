"""The frames of an open connection: what carries the stream, what is skipped, what ends it."""

import logging
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infrastructure.network.stream.codec import StreamEndedError, StreamRefusedError
from infrastructure.network.ws.codec import WebSocketClientCodec, WebSocketServerCodec
from infrastructure.network.ws.messages import (
    LARGEST_MESSAGE_TO_CLIENT_BYTES,
    LARGEST_MESSAGE_TO_SERVER_BYTES,
    LARGEST_RECEIVED_MESSAGE_BYTES,
)
from tests.infrastructure.network.ws.ends import cut, open_client, open_server, received
from tests.infrastructure.network.ws.wire import (
    BINARY,
    CLOSE,
    CONTINUATION,
    MASK,
    PING,
    PONG,
    TEXT,
    WireFrame,
    frame,
    frames_in,
    from_client,
)

LIMIT = LARGEST_RECEIVED_MESSAGE_BYTES
NORMAL_CLOSE = struct.pack("!H", 1000)


def close_code(output: bytes) -> int:
    """The code of the one close frame in ``output``."""
    (goodbye,) = frames_in(output)
    assert goodbye.opcode == CLOSE
    code: int
    (code,) = struct.unpack_from("!H", goodbye.payload)
    return code


# -- receiving


def test_the_payloads_of_binary_messages_are_the_stream() -> None:
    server = open_server()
    assert server.receive(from_client(BINARY, b"on") + from_client(BINARY, b"e")) == [b"on", b"e"]
    assert server.receive(memoryview(from_client(BINARY, b"two"))) == [b"two"]
    assert server.take_output() == b""


def test_a_message_in_two_frames_as_go_writes_it_is_the_stream_too() -> None:
    client = open_client()
    go_style = frame(BINARY, b"\x00\x15", fin=False) + frame(CONTINUATION)
    assert client.receive(go_style) == [b"\x00\x15"]


def test_what_has_come_of_a_message_is_not_held_back_for_its_end() -> None:
    server = open_server()
    assert server.receive(from_client(BINARY, b"beg", fin=False)) == [b"beg"]
    assert server.receive(from_client(CONTINUATION, b"in", fin=False)) == [b"in"]
    assert server.receive(from_client(CONTINUATION, b"ning")) == [b"ning"]


def test_text_is_thrown_away_with_all_its_fragments_and_pings_between_them() -> None:
    server = open_server()
    payload = received(
        server,
        [
            from_client(BINARY, b"one"),
            from_client(TEXT, b"\xff not even UTF-8", fin=False),
            from_client(CONTINUATION, b"more", fin=False),
            from_client(PING, b"?"),
            from_client(CONTINUATION, b"end"),
            from_client(BINARY, b"tw", fin=False),
            from_client(PONG, b"unasked"),
            from_client(CONTINUATION, b"o"),
        ],
    )
    assert payload == b"onetwo"
    assert list(frames_in(server.take_output())) == [WireFrame(PONG, b"?")]


def test_a_client_answers_a_ping_with_a_masked_pong() -> None:
    client = open_client()
    assert client.receive(frame(PING, b"abc")) == []
    assert list(frames_in(client.take_output())) == [WireFrame(PONG, b"abc", masked=True)]


def test_empty_messages_leave_no_trace() -> None:
    server = open_server()
    assert server.receive(from_client(BINARY) + from_client(BINARY, fin=False)) == []
    assert server.receive(from_client(CONTINUATION)) == []


def test_a_message_of_the_largest_size_passes_whole_or_in_fragments() -> None:
    server = open_server()
    payload = bytes(LIMIT)
    assert received(server, cut(from_client(BINARY, payload), 4096)) == payload
    halves = from_client(BINARY, payload[:5], fin=False) + from_client(CONTINUATION, payload[5:])
    assert received(server, [halves]) == payload


# -- the peer's end


@pytest.mark.parametrize("code", [1000, 1001, None], ids=str)
def test_a_regular_goodbye_is_answered_and_ends_the_stream(code: int | None) -> None:
    payload = b"" if code is None else struct.pack("!H", code)
    for codec, goodbye in (
        (open_server(), from_client(CLOSE, payload)),
        (open_client(), frame(CLOSE, payload)),
    ):
        with pytest.raises(StreamEndedError, match=r"closed the WebSocket$") as caught:
            codec.receive(goodbye)
        assert not isinstance(caught.value, StreamRefusedError)
        assert not codec.is_open
        (answer,) = frames_in(codec.take_output())
        assert (answer.opcode, answer.payload) == (CLOSE, payload)
        codec.close()
        assert codec.take_output() == b""


def test_the_code_and_the_reason_of_another_goodbye_are_told() -> None:
    client = open_client()
    with pytest.raises(StreamEndedError, match=r"code 1009 'read limited at 1519 bytes\\x1b\[2J'$"):
        client.receive(frame(CLOSE, struct.pack("!H", 1009) + b"read limited at 1519 bytes\x1b[2J"))


VIOLATIONS = {
    "an unmasked frame": (frame(BINARY, b"x"), 1002),
    "a compressed message": (frame(BINARY, b"x", mask=MASK, reserved=0b100), 1002),
    "another reserved bit": (frame(BINARY, b"x", mask=MASK, reserved=0b001), 1002),
    "an opcode of the future": (from_client(3, b"x"), 1002),
    "a control opcode of the future": (from_client(11), 1002),
    "a continuation of nothing": (from_client(CONTINUATION, b"x"), 1002),
    "a message within a message": (from_client(BINARY, b"x", fin=False) + from_client(BINARY, b"y"), 1002),
    "a ping in fragments": (from_client(PING, b"x", fin=False), 1002),
    "a ping of 126 bytes": (from_client(PING, bytes(126)), 1002),
    "a ping of 64 KiB": (from_client(PING, bytes(65_536)), 1009),
    "a close frame of 64 KiB": (from_client(CLOSE, bytes(65_536)), 1009),
    "half a close code": (from_client(CLOSE, b"\x03"), 1002),
    "a close code that is not for the wire": (from_client(CLOSE, struct.pack("!H", 1006)), 1002),
    "a close reason that is not UTF-8": (from_client(CLOSE, NORMAL_CLOSE + b"\xff"), 1007),
    "a goodbye within a message": (
        from_client(BINARY, b"x", fin=False) + from_client(CLOSE, NORMAL_CLOSE),
        1002,
    ),
    "a message too large": (from_client(BINARY, bytes(LIMIT + 1)), 1009),
    "fragments too large together": (
        from_client(BINARY, bytes(LIMIT), fin=False) + from_client(CONTINUATION, b"x"),
        1009,
    ),
    "a text too large": (from_client(TEXT, bytes(LIMIT + 1)), 1009),
    "an endless frame": (b"\x82\xff" + b"\xff" * 8, 1009),
}


@pytest.mark.parametrize("name", VIOLATIONS)
def test_a_broken_rule_is_answered_with_its_code_and_ends_the_stream(name: str) -> None:
    violation, code = VIOLATIONS[name]
    server = open_server()
    with pytest.raises(StreamRefusedError, match=r"^the other end"):
        server.receive(violation)
    assert close_code(server.take_output()) == code
    assert not server.is_open


def test_a_masked_frame_from_a_server_is_a_broken_rule() -> None:
    client = open_client()
    with pytest.raises(StreamRefusedError, match="masking"):
        client.receive(from_client(BINARY, b"x"))
    assert close_code(client.take_output()) == 1002


def test_a_frame_that_announces_too_much_is_refused_before_its_payload_comes() -> None:
    server = open_server()
    announcement = b"\x82\xfe" + struct.pack("!H", LIMIT + 1)
    with pytest.raises(StreamRefusedError, match="more than 32768 bytes"):
        server.receive(announcement)


def test_every_truncation_waits_for_the_rest() -> None:
    conversation = (
        from_client(BINARY, b"\x00\x03", fin=False)
        + from_client(CONTINUATION)
        + from_client(PING, b"?")
        + from_client(BINARY, bytes(range(200)))
    )
    stream = b"\x00\x03" + bytes(range(200))
    for length in range(len(conversation)):
        server = open_server()
        payload = received(server, [conversation[:length]])
        assert stream.startswith(payload)
        assert payload != stream
        assert received(server, [conversation[length:]]) == stream[len(payload) :]


@given(noise=st.binary(max_size=300), size=st.integers(1, 300))
def test_noise_ends_the_stream_in_one_way_only(noise: bytes, size: int) -> None:
    for codec in (open_server(), open_client()):
        try:
            received(codec, cut(noise, size))
        except StreamEndedError:
            assert not codec.is_open
        list(frames_in(codec.take_output()))  # whole frames


# -- sending


def sent(codec: WebSocketClientCodec | WebSocketServerCodec, payload: bytes | memoryview) -> list[WireFrame]:
    codec.send(payload)
    return list(frames_in(codec.take_output()))


def test_a_client_sends_masked_messages_that_a_go_server_takes() -> None:
    payload = bytes(range(256)) * 20
    frames = sent(open_client(), payload)
    assert [len(each.payload) for each in frames] == [1518, 1518, 1518, 566]
    assert LARGEST_MESSAGE_TO_SERVER_BYTES == 1518
    assert all(each.masked and each.fin and each.opcode == BINARY for each in frames)
    assert b"".join(each.payload for each in frames) == payload


def test_a_server_sends_few_messages_in_the_clear() -> None:
    payload = memoryview(bytes(range(256)) * 150)
    frames = sent(open_server(), payload)
    assert [len(each.payload) for each in frames] == [16_384, 16_384, 5632]
    assert LARGEST_MESSAGE_TO_CLIENT_BYTES == 16_384
    assert all(each.fin and not each.masked and each.opcode == BINARY for each in frames)
    assert b"".join(each.payload for each in frames) == payload


@pytest.mark.parametrize("size", [0, 1, 125, 126, 1518])
def test_a_payload_that_fits_is_one_message(size: int) -> None:
    frames = sent(open_client(), memoryview(bytes(size)))
    assert frames == [WireFrame(BINARY, bytes(size), masked=True)] * bool(size)


def test_masks_differ_from_frame_to_frame() -> None:
    client = open_client()
    client.send(bytes(8))
    first = client.take_output()
    client.send(bytes(8))
    assert client.take_output() != first


def test_closing_says_1000_without_a_reason_and_says_it_once() -> None:
    server, client = open_server(), open_client()
    server.close()
    client.close()
    assert server.take_output() == frame(CLOSE, NORMAL_CLOSE)
    assert list(frames_in(client.take_output())) == [WireFrame(CLOSE, NORMAL_CLOSE, masked=True)]
    server.close()
    assert server.take_output() == b""
    assert not server.is_open
    with pytest.raises(RuntimeError):
        server.send(b"late")
    with pytest.raises(StreamEndedError):
        server.receive(from_client(CLOSE, NORMAL_CLOSE))
    assert server.take_output() == b""


def test_the_library_writes_nothing_into_a_log(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        server = open_server()
        server.receive(from_client(BINARY, b"secret"))
        with pytest.raises(StreamRefusedError):
            server.receive(frame(BINARY, b"x"))
    assert not caplog.records
