"""The real layers on real sockets: PROXY header, TLS and WebSocket above one another."""

import asyncio
import socket
import ssl
from collections.abc import Coroutine, Sequence
from contextlib import closing
from pathlib import Path

import pytest

from application.network.connection.transport import DialError, TransportError
from domain.addressing.endpoint import Endpoint
from domain.session.framing import framed
from infrastructure.network.stream.client import StreamDialer
from infrastructure.network.stream.codec import Codec
from infrastructure.network.stream.listener import BoundStreamListener
from infrastructure.network.stream.proxy_header import ProxyHeader
from infrastructure.network.tls.client import ServerTrust, server_trust
from infrastructure.network.tls.codec import TlsCodec
from infrastructure.network.ws.codec import WebSocketClientCodec, WebSocketServerCodec
from tests.adapters.runs import frames_from
from tests.infrastructure.network.stream.paths import open_path, polled
from tests.infrastructure.network.tls.certificates import Authority

NAME = "vpn.example"
BATCH = [framed(bytes([number]) * 1500) for number in range(64)]


class Layers:
    """What a server and a client put on their connections."""

    def __init__(self, folder: Path) -> None:
        authority = Authority.make(folder)
        certificate = authority.issue("server", [NAME])
        self._server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._server.load_cert_chain(certificate.certificate_file, certificate.key_file)
        self._trust: ServerTrust = server_trust(ca_file=authority.ca_file)
        self.name = NAME

    def server(self, _endpoint: Endpoint) -> Sequence[Codec]:
        return (ProxyHeader(), TlsCodec.for_server(self._server), WebSocketServerCodec(trusted=True))

    def client(self, _endpoint: Endpoint) -> Sequence[Codec]:
        return (TlsCodec.for_client(self._trust, self.name), WebSocketClientCodec(self.name, 443))


@pytest.fixture
def layers(tmp_path: Path) -> Layers:
    return Layers(tmp_path)


def run(scenario: Coroutine[None, None, None]) -> None:
    asyncio.run(asyncio.wait_for(scenario, timeout=10))


def listening(layers: Layers) -> BoundStreamListener:
    return BoundStreamListener.bind("127.0.0.1", 0, codecs=layers.server)


def test_a_session_goes_through_all_of_them(layers: Layers) -> None:
    async def scenario() -> None:
        with closing(listening(layers)) as listener:
            transport, connection = await open_path(listener, layers.client)
            await transport.send_message(b"message 1")
            assert await polled(listener) == [connection]
            assert [bytes(frame) for frame in connection.read_frames()] == [b"message 1"]
            connection.egress().send_message(b"message 2")
            connection.egress().send_batch(BATCH)
            assert await transport.receive_message() == b"message 2"
            received: list[bytes] = []
            while len(received) < len(BATCH):
                received += map(bytes, frames_from(transport.ingress()))
            assert [framed(frame) for frame in received] == BATCH

            transport.egress().send_batch(BATCH)
            received = []
            while len(received) < len(BATCH):
                assert await polled(listener) == [connection]
                received += map(bytes, connection.read_frames())
                frames_from(transport)
            assert [framed(frame) for frame in received] == BATCH
            transport.close()
            assert await polled(listener) == [connection]
            with pytest.raises(TransportError):
                connection.read_frames()

    run(scenario())


def test_a_certificate_for_another_name_is_the_reason_of_the_dial_error(layers: Layers) -> None:
    async def scenario() -> None:
        with closing(listening(layers)) as listener:
            layers.name = "other.example"
            dialling = asyncio.create_task(
                StreamDialer(name="WSS", codecs=layers.client).dial(listener.local_endpoint)
            )
            (connection,) = await polled(listener)
            while not dialling.done():
                try:
                    connection.read_frames()
                except TransportError:
                    connection.close()
                await asyncio.sleep(0.001)
            with pytest.raises(DialError, match=rf"WSS path to {listener.local_endpoint}: .*other\.example"):
                dialling.result()

    run(scenario())


def test_a_proxy_in_front_says_where_the_client_is() -> None:
    async def scenario() -> None:
        with (
            closing(BoundStreamListener.bind("127.0.0.1", 0, codecs=lambda _: (ProxyHeader(),))) as listener,
            socket.create_connection(("127.0.0.1", listener.local_endpoint.port)) as proxy,
        ):
            (connection,) = await polled(listener)
            proxy.sendall(b"PROXY TCP4 198.51.100.7 192.0.2.1 4711 443\r\n" + framed(b"message 1"))
            assert await polled(listener) == [connection]
            assert list(connection.read_frames()) == [b"message 1"]
            assert connection.endpoint == connection.egress().endpoint == Endpoint("198.51.100.7", 4711)

    run(scenario())


def test_who_asks_for_another_path_reads_why_not() -> None:
    def codecs(_endpoint: Endpoint) -> Sequence[Codec]:
        return (WebSocketServerCodec(trusted=False),)

    async def scenario() -> None:
        with (
            closing(BoundStreamListener.bind("127.0.0.1", 0, codecs=codecs)) as listener,
            socket.create_connection(("127.0.0.1", listener.local_endpoint.port)) as browser,
        ):
            (connection,) = await polled(listener)
            browser.sendall(b"GET /admin HTTP/1.1\r\nHost: vpn.example\r\n\r\n")
            assert await polled(listener) == [connection]
            with pytest.raises(TransportError):
                connection.read_frames()
            browser.sendall(b"GET /again HTTP/1.1\r\n\r\n")
            connection.close()
            listener.poll()
            answer = b""
            while data := browser.recv(4096):
                answer += data
            assert answer.startswith(b"HTTP/1.1 404 ")

    run(scenario())
