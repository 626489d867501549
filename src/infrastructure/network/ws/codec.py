"""WebSocket as a layer of a connection, both ends: the opening handshake first, then messages.

The frames are read and written by the sans-I/O core of the library websockets. It is given neither extensions
nor subprotocols, and sends no pings of its own: only its data tells that a tunnel lives (specification 3.6).
"""

import base64
import secrets
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address

from websockets.client import ClientProtocol
from websockets.server import ServerProtocol
from websockets.uri import WebSocketURI

from domain.addressing.endpoint import Endpoint
from domain.noise.primitives import Buffer, RandomBytes
from infrastructure.network.addresses import literal_endpoint
from infrastructure.network.stream.codec import Codec, StreamRefusedError
from infrastructure.network.ws import upgrade
from infrastructure.network.ws.messages import (
    LARGEST_MESSAGE_TO_CLIENT_BYTES,
    LARGEST_MESSAGE_TO_SERVER_BYTES,
    LARGEST_RECEIVED_MESSAGE_BYTES,
    SILENCE,
    MessageStream,
)


class WebSocketClientCodec:
    """The client's end: asks ``host`` and ``port`` for ``/ws``.

    ``host`` is what the user configured, a name or a literal without brackets. ``random_bytes`` gives the
    request's key; the masks come from the library's own source of entropy.
    """

    def __init__(self, host: str, port: int, *, random_bytes: RandomBytes = secrets.token_bytes) -> None:
        # The library only keeps the address; the request is ours.
        self._protocol = ClientProtocol(
            WebSocketURI(secure=False, host=host, port=port, path=upgrade.PATH, query=""),
            max_size=LARGEST_RECEIVED_MESSAGE_BYTES,
            logger=SILENCE,
        )
        self._protocol.key = base64.b64encode(random_bytes(16)).decode("ascii")
        self._request = upgrade.upgrade_request(host, port, self._protocol.key)
        self._head: upgrade.HeadReader | None = upgrade.HeadReader()  # None once the answer is there
        self._messages = MessageStream(self._protocol, LARGEST_MESSAGE_TO_SERVER_BYTES)

    @property
    def is_open(self) -> bool:
        """See Codec."""
        return self._messages.is_open

    def start(self) -> None:
        """Queue the request."""
        self._protocol.send_request(self._request)

    def receive(self, data_untrusted: Buffer) -> Sequence[Buffer]:
        """See Codec."""
        if self._head is None:
            return self._messages.receive(data_untrusted)
        try:
            parts = self._head.feed(data_untrusted)
        except upgrade.HeadTooLongError:
            raise StreamRefusedError(
                f"the server's answer has a head of more than {upgrade.LARGEST_HEAD_BYTES} bytes"
            ) from None
        upgrade.check_answer_beginning(self._head.so_far)
        if parts is None:
            return ()
        head, rest = parts
        upgrade.take_answer(self._protocol, head)
        self._head = None
        return self._messages.receive(rest) if rest else ()

    def enlarge(self) -> None:
        """See Enlargeable."""
        self._messages.enlarge()

    def send(self, payload: Buffer) -> None:
        """See Codec. In messages that a Go server takes, or one of ours once that is known."""
        self._messages.send(payload)

    def take_output(self) -> bytes:
        """See Codec."""
        return self._messages.take_output()

    def close(self) -> None:
        """See Codec."""
        self._messages.close()


class WebSocketServerCodec:
    """The server's end: opens to a request for ``/ws``, and answers any other one with an HTTP error.

    ``trusted`` says that the other end of the socket is a proxy whose X-Forwarded-For can be believed.
    """

    def __init__(self, *, trusted: bool) -> None:
        self._protocol = ServerProtocol(max_size=LARGEST_RECEIVED_MESSAGE_BYTES, logger=SILENCE)
        self._trusted = trusted
        self._head: upgrade.HeadReader | None = upgrade.HeadReader()  # None once the request is answered
        self._messages = MessageStream(self._protocol, LARGEST_MESSAGE_TO_CLIENT_BYTES)
        self._refusal = b""  # the HTTP error that is still to be sent
        self._forwarded_for: IPv4Address | IPv6Address | None = None

    @property
    def is_open(self) -> bool:
        """See Codec."""
        return self._messages.is_open

    def start(self) -> None:
        """Nothing: the client begins."""

    def receive(self, data_untrusted: Buffer) -> Sequence[Buffer]:
        """See Codec."""
        if self._head is None:
            return self._messages.receive(data_untrusted)
        try:
            parts = self._read_head(self._head, data_untrusted)
            if parts is None:
                return ()
            head, rest = parts
            request = upgrade.take_request(self._protocol, head)
        except upgrade.UpgradeRefusedError as exc:
            self._refusal = exc.answer
            raise StreamRefusedError(str(exc)) from exc
        self._head = None
        if self._trusted:
            self._forwarded_for = upgrade.forwarded_for(request.headers)
        return self._messages.receive(rest) if rest else ()

    def _read_head(self, reader: upgrade.HeadReader, data_untrusted: Buffer) -> tuple[bytes, bytes] | None:
        try:
            parts = reader.feed(data_untrusted)
        except upgrade.HeadTooLongError:
            raise upgrade.refuse_long_request(self._protocol) from None
        upgrade.check_request_beginning(self._protocol, reader.so_far)
        return parts

    def client_endpoint(self, socket_endpoint: Endpoint) -> Endpoint:
        """Where the client is, as far as this layer knows; ``socket_endpoint`` is what the layer below says.

        The address is the proxy's word for it, if it is trusted and has one. X-Forwarded-For has no ports:
        the port stays that of ``socket_endpoint``. Final once ``is_open``.
        """
        if self._forwarded_for is None:
            return socket_endpoint
        return literal_endpoint(self._forwarded_for, socket_endpoint.port)

    def enlarge(self) -> None:
        """See Enlargeable."""
        self._messages.enlarge()

    def send(self, payload: Buffer) -> None:
        """See Codec. In messages that a Go client takes, or one of ours once that is known."""
        self._messages.send(payload)

    def take_output(self) -> bytes:
        """See Codec."""
        refusal, self._refusal = self._refusal, b""
        return refusal or self._messages.take_output()

    def close(self) -> None:
        """See Codec."""
        self._messages.close()


_: tuple[type[Codec], type[Codec]] = (WebSocketClientCodec, WebSocketServerCodec)
