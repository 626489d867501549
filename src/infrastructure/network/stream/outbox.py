"""What waits until the kernel has room for it."""

import socket
from typing import Final

from domain.noise.primitives import Buffer

# Ours: handed to the kernel in one call. It takes no more at a time than its limit for unsent data lets it.
_PIECE_BYTES: Final = 128 << 10


class Outbox:
    """The bytes for one non-blocking socket, in order.

    It has no bound of its own: its owner looks at ``waiting_bytes``.
    """

    __slots__ = ("_socket", "_waiting")

    def __init__(self, stream_socket: socket.socket) -> None:
        self._socket = stream_socket
        self._waiting = bytearray()

    @property
    def waiting_bytes(self) -> int:
        """What the kernel has not taken yet."""
        return len(self._waiting)

    def put(self, data: Buffer) -> None:
        """Send ``data`` behind what waits; the caller may reuse its buffer. Raises OSError."""
        if self._waiting:
            self._waiting += data
            return
        try:
            sent = self._socket.send(data)
        except BlockingIOError:
            sent = 0
        if sent < len(data):
            self._waiting += memoryview(data)[sent:]

    def flush(self) -> None:
        """Send what waits, as far as there is room. Raises OSError."""
        while self._waiting:
            with memoryview(self._waiting) as view, view[:_PIECE_BYTES] as piece:
                try:
                    sent = self._socket.send(piece)
                except BlockingIOError:
                    return
            # A bytearray loses its front without moving the rest.
            del self._waiting[:sent]
