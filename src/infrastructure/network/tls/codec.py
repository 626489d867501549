"""TLS as a layer of a connection, both ends, over buffers in memory.

The library decides what is a valid peer; only the pinned certificate is compared here.
"""

import hashlib
import hmac
import ssl
from collections.abc import Sequence
from contextlib import suppress
from typing import Final, Self

from domain.noise.primitives import Buffer
from infrastructure.network.stream.codec import Codec, StreamEndedError, StreamRefusedError
from infrastructure.network.tls.client import ServerTrust
from infrastructure.network.tls.reasons import reason_of

# RFC 8446 section 5.1: the payload of one record.
_RECORD_BYTES: Final = 16_384


class TlsCodec:
    """One end of one TLS connection; made by ``for_client`` or ``for_server``.

    What the library has not turned into payload yet is less than one record or one handshake message, which
    it bounds itself.
    """

    def __init__(
        self, context: ssl.SSLContext, *, server_name: str | None, pinned_certificate: bytes | None
    ) -> None:
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._server_name = server_name
        self._pinned_certificate = pinned_certificate
        self._tls = context.wrap_bio(
            self._incoming, self._outgoing, server_side=server_name is None, server_hostname=server_name
        )
        self._is_proved = False  # the handshake is done, and the other end is who it should be
        self._is_over = False  # nothing may be sent any more
        self._is_ended = False  # the other end has said goodbye

    @classmethod
    def for_client(cls, trust: ServerTrust, server_name: str) -> Self:
        """The end that calls: ``server_name`` is a name, which is also sent, or an address, which is not.

        An IPv6 address stands without brackets; its zone is left out.
        """
        name = server_name.partition("%")[0]
        return cls(trust.context, server_name=name, pinned_certificate=trust.pinned_certificate)

    @classmethod
    def for_server(cls, context: ssl.SSLContext) -> Self:
        """The end that is called."""
        return cls(context, server_name=None, pinned_certificate=None)

    @property
    def is_open(self) -> bool:
        """See Codec. A client's end is open only after the server has proved who it is."""
        return self._is_proved and not self._is_over

    def start(self) -> None:
        """Queue the client's greeting; a server waits for it."""
        with suppress(ssl.SSLWantReadError):
            self._tls.do_handshake()

    def receive(self, data_untrusted: Buffer) -> Sequence[Buffer]:
        """See Codec. All payload that is complete.

        Payload before the peer's goodbye is not lost: it is returned, and the end is raised at the next call,
        so that an HTTP error with all that belongs to it can come in one piece.
        """
        self._incoming.write(data_untrusted)
        try:
            if not self._is_proved:
                self._shake_hands()
            return self._read() if self._is_proved else ()
        except ssl.SSLError as exc:
            self._is_over = True
            raise StreamRefusedError(reason_of(exc, self._server_name)) from exc

    def _shake_hands(self) -> None:
        with suppress(ssl.SSLWantReadError):
            self._tls.do_handshake()
            self._check_pin()
            self._is_proved = True

    def _check_pin(self) -> None:
        if self._pinned_certificate is None:
            return
        # That the server holds the certificate's key is proved by the handshake, whatever the context checks.
        shown = hashlib.sha256(self._tls.getpeercert(binary_form=True) or b"").digest()
        if not hmac.compare_digest(shown, self._pinned_certificate):
            with suppress(ssl.SSLError):
                self._tls.unwrap()
            raise StreamRefusedError(
                f"the server's certificate is not the pinned one; its SHA-256 is {shown.hex()}"
            )

    def _read(self) -> list[Buffer]:
        payload: list[Buffer] = []
        while not self._is_ended:
            try:
                piece = self._tls.read(_RECORD_BYTES)
            except ssl.SSLWantReadError:
                return payload
            except ssl.SSLZeroReturnError:
                piece = b""
            if piece:
                payload.append(piece)
            else:
                self._is_ended = True
        if not payload:
            self._is_over = True
            raise StreamEndedError("the other end has closed the TLS connection")
        return payload

    def send(self, payload: Buffer) -> None:
        """See Codec."""
        if not self.is_open:
            raise RuntimeError("payload for a TLS connection that is not open")
        view = memoryview(payload)
        sent = 0
        while sent < len(view):  # the library may take less than all at once
            sent += self._tls.write(view[sent:])

    def take_output(self) -> bytes:
        """See Codec. After a refusal it holds the alert, if the library has one for it."""
        return self._outgoing.read()

    def close(self) -> None:
        """See Codec. The peer's own goodbye is not waited for."""
        if self.is_open:
            self._is_over = True
            with suppress(ssl.SSLError):
                self._tls.unwrap()


_: type[Codec] = TlsCodec
