"""A small layer to put between sockets and frames in tests, and connected sockets."""

import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from domain.noise.primitives import Buffer
from infrastructure.network.stream.codec import Codec, StreamEndedError, StreamRefusedError
from infrastructure.network.stream.sockets import open_stream_socket

HELLO: Final = ord("H")
DATA: Final = ord("D")
BYE: Final = ord("B")
REFUSAL: Final = ord("R")


class RecordCodec:
    """Records of type (1 byte), length (2 bytes) and a body that is hidden behind ``key``.

    A client says hello first, a server answers; then data flows, until one says bye. A record of another type
    is answered with a refusal. ``log`` notes what was called.
    """

    def __init__(self, key: int = 0x55, *, server: bool = False, log: list[str] | None = None) -> None:
        self._key = key
        self._server = server
        self._log = log if log is not None else []
        self._output = b""
        self._partial = b""
        self._open = False
        self._over = False

    @property
    def is_open(self) -> bool:
        return self._open and not self._over

    def start(self) -> None:
        self._note("start")
        if not self._server:
            self._put(HELLO, b"")

    def receive(self, data_untrusted: Buffer) -> Sequence[Buffer]:
        data = self._partial + data_untrusted
        pieces: list[Buffer] = []
        while len(data) >= 3 and len(data) >= 3 + (size := int.from_bytes(data[1:3])):
            body = bytes(byte ^ self._key for byte in data[3 : 3 + size])
            self._take(data[0], body, pieces)
            data = data[3 + size :]
        self._partial = data
        return pieces

    def send(self, payload: Buffer) -> None:
        if not self.is_open:
            raise RuntimeError("the layer is not open")
        for start in range(0, len(payload), 0xFFFF):
            self._put(DATA, bytes(payload[start : start + 0xFFFF]))

    def take_output(self) -> bytes:
        output, self._output = self._output, b""
        return output

    def close(self) -> None:
        self._note("close")
        if not self._over:
            self._over = True
            self._put(BYE, b"")

    def _take(self, kind: int, body: bytes, pieces: list[Buffer]) -> None:
        if kind == HELLO and not self._open:
            self._open = True
            if self._server:
                self._put(HELLO, b"")
        elif kind == DATA and self._open:
            pieces.append(body)
        elif kind == BYE:
            self._over = True
            raise StreamEndedError("the peer said bye")
        else:
            self._over = True
            self._put(REFUSAL, b"")
            raise StreamRefusedError("the peer sent a record of no known type")

    def _put(self, kind: int, body: bytes) -> None:
        self._output += record(kind, body, self._key)

    def _note(self, what: str) -> None:
        self._log.append(f"{what} {self._key:#x}")


def record(kind: int, body: bytes, key: int = 0x55) -> bytes:
    """One record as it goes over the wire."""
    return bytes([kind]) + len(body).to_bytes(2) + bytes(byte ^ key for byte in body)


@contextmanager
def connected_sockets() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Two ends of a TCP connection, the first non-blocking; closed at the end, if they are not yet."""
    with open_stream_socket(socket.AF_INET) as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        with open_stream_socket(socket.AF_INET) as far:
            far.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16_384)
            far.settimeout(2)
            far.connect(listening.getsockname())
            near, _ = listening.accept()
            with near:
                near.settimeout(0)
                yield near, far


_: type[Codec] = RecordCodec
