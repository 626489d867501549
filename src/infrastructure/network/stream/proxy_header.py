"""The PROXY protocol, versions 1 and 2: a load balancer's word for where a connection comes from.

Specification: https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt, sections 2.1 and 2.2.
"""

import struct
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address
from typing import Final, TypeAlias

from domain.addressing.endpoint import Endpoint
from domain.noise.primitives import Buffer
from infrastructure.network.addresses import literal_endpoint
from infrastructure.network.stream.codec import Codec, StreamRefusedError

# Section 2.1: "PROXY TCP6 <source> <destination> <source port> <destination port>\r\n", 107 bytes at most.
_V1_BEGINNING: Final = b"PROXY "
_V1_LARGEST_BYTES: Final = 107
_V1_END: Final = b"\r\n"

# Section 2.2, big-endian:
#
#    0        12                  13                     14        16
#    +---------+-------------------+----------------------+---------+----------------------------+
#    | beginning | version | command | family | transport | length  | addresses, then extensions |
#    +---------+-------------------+----------------------+---------+----------------------------+
_V2_BEGINNING: Final = b"\r\n\r\n\x00\r\nQUIT\n"
_V2_FIXED: Final = struct.Struct("!12sBBH")
_V2_VERSION: Final = 2
_V2_LOCAL: Final = 0
_V2_PROXY: Final = 1
_V2_TCP_OVER_IPV4: Final = 0x11
_V2_TCP_OVER_IPV6: Final = 0x21
_V2_IPV4_ADDRESSES: Final = struct.Struct("!4s4sHH")  # source, destination, their ports
_V2_IPV6_ADDRESSES: Final = struct.Struct("!16s16sHH")
_V2_UNIX_ADDRESSES_BYTES: Final = 216

# Ours: extensions carry names and TLS details; nothing of them is used here.
_LARGEST_EXTENSIONS_BYTES: Final = 512

# What the proxy says: its client's address and port, or None if it speaks for itself or does not know.
_Source: TypeAlias = tuple[IPv4Address | IPv6Address, int] | None


class ProxyHeader:
    """The server's end, for a socket whose other end is a trusted proxy; never for another one.

    A header is taken off if there is one, and everything after it is passed on untouched. None of the
    protocols above begins like a header: as a TunGo length the first two bytes would be above 1518, HTTP has
    no method PROXY, and a TLS record begins with 16h. A trusted proxy has to send headers: if it does
    not, its clients can send their own.
    """

    def __init__(self) -> None:
        self._header = bytearray()
        self._is_open = False
        self._source: _Source = None
        self._payload: list[bytes] = []

    @property
    def is_open(self) -> bool:
        """Whether it is known what stands at the beginning."""
        return self._is_open

    def start(self) -> None:
        """Nothing: the proxy begins."""

    def receive(self, data_untrusted: Buffer) -> Sequence[Buffer]:
        """See Codec."""
        if self._is_open:
            return (data_untrusted,)
        self._header += data_untrusted
        length = self._measure(self._header)
        if length is None:
            return ()
        self._is_open = True
        rest = bytes(self._header[length:])
        self._header.clear()
        return (rest,) if rest else ()

    def client_endpoint(self, socket_endpoint: Endpoint) -> Endpoint:
        """Where the client is: what the proxy says, else ``socket_endpoint``. Final once ``is_open``.

        A port 0 in the header means that the proxy does not know it: it stays that of ``socket_endpoint``.
        """
        if self._source is None:
            return socket_endpoint
        address, port = self._source
        return literal_endpoint(address, port or socket_endpoint.port)

    def send(self, payload: Buffer) -> None:
        """See Codec. Untouched."""
        if not self._is_open:
            raise RuntimeError("payload for a connection whose beginning is not known yet")
        self._payload.append(bytes(payload))

    def take_output(self) -> bytes:
        """See Codec."""
        output = b"".join(self._payload)
        self._payload.clear()
        return output

    def close(self) -> None:
        """Nothing: the protocol has no goodbye."""

    def _measure(self, beginning_untrusted: bytearray) -> int | None:
        """The length of the header; 0 if there is none, None while that cannot be told."""
        for mark, measure in ((_V1_BEGINNING, self._measure_v1), (_V2_BEGINNING, self._measure_v2)):
            if beginning_untrusted.startswith(mark):
                return measure(beginning_untrusted)
            if mark.startswith(beginning_untrusted):
                return None
        return 0

    def _measure_v1(self, header_untrusted: bytearray) -> int | None:
        end = header_untrusted.find(_V1_END, 0, _V1_LARGEST_BYTES)
        if end < 0:
            if len(header_untrusted) >= _V1_LARGEST_BYTES:
                raise StreamRefusedError(f"the PROXY header is longer than {_V1_LARGEST_BYTES} bytes")
            return None
        self._source = _v1_source(bytes(header_untrusted[:end]))
        return end + len(_V1_END)

    def _measure_v2(self, header_untrusted: bytearray) -> int | None:
        if len(header_untrusted) < _V2_FIXED.size:
            return None
        version_and_command: int
        family: int
        length: int
        _, version_and_command, family, length = _V2_FIXED.unpack_from(header_untrusted)
        if version_and_command >> 4 != _V2_VERSION:
            raise StreamRefusedError("the PROXY header has a version that is not known here")
        if length > _V2_UNIX_ADDRESSES_BYTES + _LARGEST_EXTENSIONS_BYTES:
            raise StreamRefusedError(f"the PROXY header announces {length} bytes, too many")
        end = _V2_FIXED.size + length
        if len(header_untrusted) < end:
            return None
        command = version_and_command & 0x0F
        if command == _V2_PROXY:
            self._source = _v2_source(family, bytes(header_untrusted[_V2_FIXED.size : end]))
        elif command != _V2_LOCAL:
            raise StreamRefusedError("the PROXY header has a command that is not known here")
        return end


def _v1_source(line_untrusted: bytes) -> _Source:
    fields = line_untrusted.split(b" ")
    if fields[1] == b"UNKNOWN":
        return None  # whatever follows is to be ignored
    if len(fields) != 6 or fields[1] not in (b"TCP4", b"TCP6"):
        raise StreamRefusedError("the PROXY header is not valid: it does not name TCP and two addresses")
    address_type = IPv4Address if fields[1] == b"TCP4" else IPv6Address
    try:
        source, _destination = (_address(address_type, field) for field in fields[2:4])
        port, _destination_port = (_port(field) for field in fields[4:6])
    except ValueError as exc:
        raise StreamRefusedError("the PROXY header is not valid: an address or a port is none") from exc
    return source, port


def _address(
    address_type: type[IPv4Address | IPv6Address], field_untrusted: bytes
) -> IPv4Address | IPv6Address:
    if b"%" in field_untrusted:
        raise ValueError("a zone means nothing on another host")
    return address_type(field_untrusted.decode("ascii"))


def _port(field_untrusted: bytes) -> int:
    if not field_untrusted.isdigit() or len(field_untrusted) > 5:
        raise ValueError("not a port")
    port = int(field_untrusted)
    if port > 0xFFFF:
        raise ValueError("not a port")
    return port


def _v2_source(family: int, addresses_untrusted: bytes) -> _Source:
    try:
        if family == _V2_TCP_OVER_IPV4:
            source, _, port, _ = _V2_IPV4_ADDRESSES.unpack_from(addresses_untrusted)
            return IPv4Address(source), port
        if family == _V2_TCP_OVER_IPV6:
            source, _, port, _ = _V2_IPV6_ADDRESSES.unpack_from(addresses_untrusted)
            return IPv6Address(source), port
    except struct.error as exc:
        raise StreamRefusedError("the PROXY header is not valid: it is too short for its addresses") from exc
    return None  # sockets of the host, datagrams, families of the future: nothing that a client could be at


_: type[Codec] = ProxyHeader
