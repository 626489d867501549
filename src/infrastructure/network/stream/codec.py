"""What stands between the bytes of a connection and the byte stream of TunGo frames, without I/O.

A connection has a stack of codecs, the one next to the socket first::

    socket    ProxyHeader    TlsCodec    WebSocketCodec    frames
              (servers)      (WSS)       (WS, WSS)

Bytes from the socket go up through ``receive`` of each, payload from above goes down through ``send`` and
``take_output``. A plain TCP connection has none.

Errors::

    StreamEndedError             the byte stream is over; the text is a reason for a log, without a full stop
    └── StreamRefusedError       the peer broke the rules or may not be talked to
"""

from collections.abc import Sequence
from typing import Protocol

from domain.noise.primitives import Buffer


class StreamEndedError(Exception):
    """The byte stream is over: the peer has closed it, in the way that its layer has for that."""


class StreamRefusedError(StreamEndedError):
    """The peer broke the rules of a layer, or cannot prove who it is."""


class Codec(Protocol):
    """One layer of one connection, for one end of it.

    Order of calls: ``start`` once, before everything else; ``receive`` and ``send`` as bytes come;
    ``take_output`` after each of them, and also after one that has raised: a layer may have a last answer
    for the peer. ``close`` at most once, when this end gives the connection up.
    """

    @property
    def is_open(self) -> bool:
        """Whether the layer's own handshake is done, so that ``send`` may be called."""
        ...

    def start(self) -> None:
        """Begin. A client's layer queues its first message, a server's waits for one."""
        ...

    def receive(self, data_untrusted: Buffer) -> Sequence[Buffer]:
        """Take bytes from the layer below; returns the payload in them, in order, in any number of pieces.

        ``data_untrusted`` is only read, and not kept beyond the call; the pieces may be views into it.
        Whatever of it cannot be handed on yet is kept, within a bound. Payload that came together with the
        violation that ended the stream is lost; a layer may return the payload before a regular end, and
        raise that at the next call. Raises StreamEndedError, StreamRefusedError; ``receive`` and ``send`` are
        not called any more then.
        """
        ...

    def send(self, payload: Buffer) -> None:
        """Queue payload for the layer below. Raises RuntimeError unless ``is_open``."""
        ...

    def take_output(self) -> bytes:
        """What the layer below has to carry now: handshake messages, payload, goodbyes; may be empty."""
        ...

    def close(self) -> None:
        """Queue the layer's goodbye, if it has one and the stream is not over yet."""
        ...
