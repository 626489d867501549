"""Two ends of a TLS connection in memory."""

import ssl

from infrastructure.network.stream.codec import StreamEndedError
from infrastructure.network.tls.client import ServerTrust
from infrastructure.network.tls.codec import TlsCodec
from tests.infrastructure.network.tls.certificates import Certificate


def server_context(certificate: Certificate) -> ssl.SSLContext:
    """A plain context that shows ``certificate``."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.certificate_file, certificate.key_file)
    return context


class Conversation:
    """A client's and a server's end; ``run`` carries bytes until nobody has anything to say."""

    def __init__(
        self, trust: ServerTrust, name: str, server: ssl.SSLContext, *, chunk_bytes: int = 65_536
    ) -> None:
        self.client = TlsCodec.for_client(trust, name)
        self.server = TlsCodec.for_server(server)
        self.to_client = b""  # payload that came through
        self.to_server = b""
        self.client_end: StreamEndedError | None = None  # what the end's ``receive`` raised
        self.server_end: StreamEndedError | None = None
        self._chunk_bytes = chunk_bytes
        self.client.start()
        self.server.start()

    def run(self) -> "Conversation":
        """Carry everything; returns itself."""
        while self._to_the_server() or self._to_the_client():
            pass
        return self

    def _to_the_server(self) -> bool:
        output = self.client.take_output()
        for start in range(0, len(output), self._chunk_bytes):
            if self.server_end is None:
                try:
                    pieces = self.server.receive(output[start : start + self._chunk_bytes])
                    self.to_server += b"".join(bytes(piece) for piece in pieces)
                except StreamEndedError as exc:
                    self.server_end = exc
        return bool(output)

    def _to_the_client(self) -> bool:
        output = self.server.take_output()
        for start in range(0, len(output), self._chunk_bytes):
            if self.client_end is None:
                try:
                    pieces = self.client.receive(output[start : start + self._chunk_bytes])
                    self.to_client += b"".join(bytes(piece) for piece in pieces)
                except StreamEndedError as exc:
                    self.client_end = exc
        return bool(output)
