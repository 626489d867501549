"""WebSocket frames written and read by hand, so that the tests do not believe the library under test."""

import struct
from collections.abc import Iterator
from typing import NamedTuple

CONTINUATION = 0
TEXT = 1
BINARY = 2
CLOSE = 8
PING = 9
PONG = 10

MASK = b"\x0f\xa5\x00\xff"


class WireFrame(NamedTuple):
    """One frame, unmasked."""

    opcode: int
    payload: bytes
    fin: bool = True
    masked: bool = False


def frame(
    opcode: int, payload: bytes = b"", *, fin: bool = True, mask: bytes | None = None, reserved: int = 0
) -> bytes:
    """The bytes of a frame (RFC 6455 section 5.2); masked if there is a mask."""
    first = (0x80 if fin else 0) | reserved << 4 | opcode
    masked = 0x80 if mask is not None else 0
    if len(payload) < 126:
        head = struct.pack("!BB", first, masked | len(payload))
    elif len(payload) < 65_536:
        head = struct.pack("!BBH", first, masked | 126, len(payload))
    else:
        head = struct.pack("!BBQ", first, masked | 127, len(payload))
    if mask is None:
        return head + payload
    return head + mask + _masked(payload, mask)


def from_client(opcode: int, payload: bytes = b"", *, fin: bool = True) -> bytes:
    """A frame as a client has to send it."""
    return frame(opcode, payload, fin=fin, mask=MASK)


def frames_in(data: bytes) -> Iterator[WireFrame]:
    """The frames in ``data``, which holds whole ones only."""
    while data:
        first, second = data[:2]
        length, start = second & 0x7F, 2
        if length == 126:
            length, start = int.from_bytes(data[2:4], "big"), 4
        elif length == 127:
            length, start = int.from_bytes(data[2:10], "big"), 10
        mask = b""
        if second & 0x80:
            mask, start = data[start : start + 4], start + 4
        assert len(data) >= start + length, "half a frame"
        payload = data[start : start + length]
        yield WireFrame(
            first & 0x0F, _masked(payload, mask) if mask else payload, bool(first & 0x80), bool(mask)
        )
        data = data[start + length :]


def _masked(payload: bytes, mask: bytes) -> bytes:
    return bytes(byte ^ mask[index % 4] for index, byte in enumerate(payload))
