"""Several codecs as one."""

from collections.abc import Callable, Sequence
from typing import TypeAlias

from domain.addressing.endpoint import Endpoint
from domain.noise.primitives import Buffer
from infrastructure.network.stream.codec import Codec

# The layers of a new connection, the one next to the socket first, given the other end of the socket.
Codecs: TypeAlias = Callable[[Endpoint], Sequence[Codec]]


def no_codecs(_endpoint: Endpoint) -> Sequence[Codec]:
    """Frames right on the socket: plain TCP."""
    return ()


class CodecStack:
    """Codecs above one another, the one next to the socket first; at least one.

    Each starts when the one below it is open. ``send`` and ``take_output`` are those of the whole: payload in
    at the top, bytes for the socket out at the bottom.
    """

    __slots__ = ("_codecs", "_output", "_started")

    def __init__(self, codecs: Sequence[Codec]) -> None:
        self._codecs = tuple(codecs)
        self._started = 0
        self._output = b""  # the goodbyes, once they are said

    @property
    def is_open(self) -> bool:
        """See Codec."""
        return self._codecs[-1].is_open and self._started == len(self._codecs)

    def start(self) -> None:
        """See Codec."""
        self._codecs[0].start()
        self._started = 1
        self._start_further()

    def receive(self, data_untrusted: Buffer) -> Sequence[Buffer]:
        """See Codec."""
        pieces: Sequence[Buffer] = (data_untrusted,)
        level = 0
        # Not a loop over all: the next one up may be started by what this one receives.
        while level < self._started:
            receive = self._codecs[level].receive
            if len(pieces) == 1:
                pieces = receive(pieces[0])
            else:
                pieces = [payload for piece in pieces for payload in receive(piece)]
            self._start_further()
            level += 1
        return pieces

    def send(self, payload: Buffer) -> None:
        """See Codec."""
        self._codecs[-1].send(payload)

    def take_output(self) -> bytes:
        """See Codec."""
        output = b""
        for codec in reversed(self._codecs[: self._started]):
            if output and codec.is_open:
                codec.send(output)
            output = codec.take_output()
        goodbyes, self._output = self._output, b""
        return goodbyes + output

    def close(self) -> None:
        """See Codec; each layer's goodbye goes out through those below it, before they say theirs."""
        output = b""
        for codec in reversed(self._codecs[: self._started]):
            if output and codec.is_open:
                codec.send(output)
            codec.close()
            output = codec.take_output()
        self._output += output

    def _start_further(self) -> None:
        while self._started < len(self._codecs) and self._codecs[self._started - 1].is_open:
            self._codecs[self._started].start()
            self._started += 1


_: type[Codec] = CodecStack
