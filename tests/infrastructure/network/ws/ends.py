"""Both ends of a WebSocket connection, opened against each other."""

from collections.abc import Iterable

from infrastructure.network.stream.codec import Codec
from infrastructure.network.ws.codec import WebSocketClientCodec, WebSocketServerCodec
from tests import vectors

REQUEST = (
    b"GET /ws HTTP/1.1\r\nHost: vpn.example.org\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
KEY = b"0123456789abcdef"  # what the key of REQUEST says
ANSWER = (
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: BACScCJPNqyz+UBoqMH89VmURoA=\r\nUpgrade: websocket\r\n\r\n"
)

SESSIONS = vectors.cases("ws_transcript", "ws_session")
PROBES = vectors.cases("ws_transcript", "ws_server_probe")


def calling_client() -> WebSocketClientCodec:
    """A client that has sent its request, with the key of REQUEST."""
    client = WebSocketClientCodec("vpn.example.org", 80, random_bytes=lambda _: KEY)
    client.start()
    client.take_output()
    return client


def open_client() -> WebSocketClientCodec:
    """A client whose request was granted."""
    client = calling_client()
    assert client.receive(ANSWER) == ()
    assert client.is_open
    return client


def open_server(*, trusted: bool = False) -> WebSocketServerCodec:
    """A server that has granted a request, and whose answer is on its way."""
    server = WebSocketServerCodec(trusted=trusted)
    server.start()
    assert server.receive(REQUEST) == ()
    assert server.is_open
    server.take_output()
    return server


def received(codec: Codec, chunks: Iterable[bytes]) -> bytes:
    """The payload in ``chunks``, received one after another."""
    return b"".join(bytes(piece) for chunk in chunks for piece in codec.receive(chunk))


def cut(data: bytes, size: int) -> list[bytes]:
    """``data`` in chunks of ``size`` bytes."""
    return [data[start : start + size] for start in range(0, len(data), size)]
