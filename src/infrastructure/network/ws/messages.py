"""The byte stream inside the binary messages of an open WebSocket connection (specification 3.6).

Where messages begin and end means nothing, in either direction: their payloads in a row are the stream.
"""

import logging
from typing import Final

from websockets.client import ClientProtocol
from websockets.exceptions import PayloadTooBig
from websockets.frames import CloseCode, Frame, Opcode
from websockets.protocol import State
from websockets.server import ServerProtocol

from domain.noise.primitives import Buffer
from infrastructure.network.stream.codec import StreamEndedError, StreamRefusedError
from infrastructure.network.ws.upgrade import quoted

# Specification 3.6: what a Go client reads in one message. We read as much at both ends, although a Go
# server reads 1518: there, too, it bounds what one connection can make us keep.
LARGEST_RECEIVED_MESSAGE_BYTES: Final = 32_768

# Specification 3.6: what a Go server reads in one message.
LARGEST_MESSAGE_TO_SERVER_BYTES: Final = 1518

# Ours: half of what a Go client reads, and the size of a TLS record.
LARGEST_MESSAGE_TO_CLIENT_BYTES: Final = 16_384

# The library tells of every connection; what is worth telling is told by the application's log.
SILENCE: Final = logging.getLogger("infrastructure.network.ws.silence")
SILENCE.setLevel(logging.CRITICAL + 1)


class MessageStream:
    """What ``protocol`` is once it is open. Pings are answered, text messages thrown away."""

    def __init__(self, protocol: ClientProtocol | ServerProtocol, largest_sent_bytes: int) -> None:
        self._protocol = protocol
        self._largest_sent_bytes = largest_sent_bytes
        self._in_text = False  # the message whose frames are coming is a text message

    @property
    def is_open(self) -> bool:
        """Whether messages may be sent: after the opening handshake, before the first close frame."""
        return self._protocol.state is State.OPEN

    def receive(self, data_untrusted: Buffer) -> list[Buffer]:
        """See Codec. Payload that came together with the close frame is lost, too."""
        protocol = self._protocol
        protocol.receive_data(
            bytes(data_untrusted) if isinstance(data_untrusted, memoryview) else data_untrusted
        )
        payload: list[Buffer] = []
        for frame in protocol.events_received():
            if not isinstance(frame, Frame):
                continue
            opcode = frame.opcode
            if opcode is Opcode.BINARY:
                self._in_text = False
            elif opcode is Opcode.TEXT:
                self._in_text = True
                continue
            elif opcode is Opcode.CLOSE:
                break
            elif opcode is not Opcode.CONT or self._in_text:
                continue
            if len(frame.data) > 0:
                payload.append(frame.data)
        violation = protocol.parser_exc
        if violation is not None:
            raise StreamRefusedError(_broken_rule(violation)) from violation
        if protocol.close_rcvd is not None:
            raise StreamEndedError(self._farewell(protocol.close_rcvd.code, protocol.close_rcvd.reason))
        return payload

    def enlarge(self) -> None:
        """See Enlargeable: one of ours reads as much as we do."""
        self._largest_sent_bytes = LARGEST_RECEIVED_MESSAGE_BYTES

    def send(self, payload: Buffer) -> None:
        """See Codec."""
        if not self.is_open:
            raise RuntimeError("payload for a WebSocket that is not open")
        size = self._largest_sent_bytes
        if len(payload) <= size:
            if len(payload) > 0:
                self._protocol.send_binary(payload)
            return
        view = memoryview(payload)
        for start in range(0, len(view), size):
            self._protocol.send_binary(view[start : start + size])

    def take_output(self) -> bytes:
        """See Codec."""
        # The empty element by which the library asks for the end of the connection joins to nothing: whoever
        # has the connection knows that from the error.
        return b"".join(self._protocol.data_to_send())

    def close(self) -> None:
        """See Codec. A Go program closes with 1000 and no reason, whatever the cause (specification 3.6)."""
        if self.is_open:
            self._protocol.send_close(CloseCode.NORMAL_CLOSURE)

    @staticmethod
    def _farewell(code: int, reason: str) -> str:
        if code in (CloseCode.NORMAL_CLOSURE, CloseCode.GOING_AWAY, CloseCode.NO_STATUS_RCVD):
            return "the other end has closed the WebSocket"
        return f"the other end has closed the WebSocket with code {code} {reason!a}"


def _broken_rule(violation: Exception) -> str:
    if isinstance(violation, PayloadTooBig):
        return f"the other end sent a WebSocket message of more than {LARGEST_RECEIVED_MESSAGE_BYTES} bytes"
    return f"the other end broke the rules of WebSocket: {quoted(violation)}"
