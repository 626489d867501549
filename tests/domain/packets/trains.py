"""Packets and super-packets made by hand, with checksums summed word by word."""

import struct
from dataclasses import dataclass, replace
from ipaddress import ip_address

from domain.packets.parcel import ACK, FIN, PSH, TCP, UDP, Parcel
from tests.netns.packets import internet_checksum, pseudo_header

TIMESTAMPS = b"\x01\x01\x08\x0a\x00\x00\x10\x00\x00\x00\x20\x00"


@dataclass(frozen=True)
class Flow:
    """What the packets of a flow have in common; where they begin."""

    source: str = "10.0.0.1"
    destination: str = "10.0.0.2"
    ports: tuple[int, int] = (4000, 4001)
    protocol: int = TCP
    identification: int = 7
    dont_fragment: bool = True
    traffic_class: int = 0
    flow_label: int = 0
    hop_limit: int = 64
    sequence: int = 1000
    acknowledged: int = 77
    flags: int = ACK
    window: int = 500
    urgent: int = 0
    options: bytes = b""
    extensions: tuple[tuple[int, bytes], ...] = ()  # of IPv6: number, and what follows the length

    @property
    def in_ipv4(self) -> bool:
        return ip_address(self.source).version == 4

    @property
    def header_bytes(self) -> int:
        return self.network_bytes + (20 + len(self.options) if self.protocol == TCP else 8)

    @property
    def network_bytes(self) -> int:
        return 20 if self.in_ipv4 else 40 + sum(2 + len(content) for _, content in self.extensions)

    def transport(self, payload: bytes, checksum: int) -> bytes:
        if self.protocol == UDP:
            return struct.pack("!HHHH", *self.ports, 8 + len(payload), checksum) + payload
        offset = (20 + len(self.options)) // 4 << 4
        numbers = (self.sequence, self.acknowledged, offset, self.flags, self.window, checksum, self.urgent)
        return struct.pack("!HHIIBBHHH", *self.ports, *numbers) + self.options + payload

    def pseudo_header(self, content: bytes) -> bytes:
        return pseudo_header(self.source, self.destination, self.protocol, len(content))

    def packet(self, payload: bytes) -> bytes:
        """One finished packet."""
        unsummed = self.transport(payload, 0)
        checksum = internet_checksum(self.pseudo_header(unsummed) + unsummed)
        if self.protocol == UDP:
            checksum = checksum or 0xFFFF
        return self.on_ip(self.transport(payload, checksum))

    def partial(self, payload: bytes) -> bytes:
        """One packet whose checksum field holds the sum of the pseudo-header."""
        unsummed = self.transport(payload, 0)
        return self.on_ip(self.transport(payload, internet_checksum(self.pseudo_header(unsummed)) ^ 0xFFFF))

    def train(self, payload: bytes, segment_bytes: int) -> Parcel:
        """One super-packet."""
        return self.partial(payload), segment_bytes, True

    def packets(self, payload: bytes, segment_bytes: int) -> list[bytes]:
        """The payload in finished packets, as a kernel without any offload would send them."""
        pieces = [payload[begin : begin + segment_bytes] for begin in range(0, len(payload), segment_bytes)]
        return [
            replace(
                self,
                identification=(self.identification + index) % 2**16,
                sequence=(self.sequence + index * segment_bytes) % 2**32,
                flags=self.flags & ~(0 if index == len(pieces) - 1 else FIN | PSH) & ~(0x80 if index else 0),
            ).packet(piece)
            for index, piece in enumerate(pieces)
        ]

    def on_ip(self, content: bytes) -> bytes:
        addresses = ip_address(self.source).packed + ip_address(self.destination).packed
        if not self.in_ipv4:
            first = 6 << 28 | self.traffic_class << 20 | self.flow_label
            next_header = self.protocol
            for number, inside in reversed(self.extensions):
                content = struct.pack("!BB", next_header, (2 + len(inside)) // 8 - 1) + inside + content
                next_header = number
            return (
                struct.pack("!IHBB", first, len(content), next_header, self.hop_limit) + addresses + content
            )
        header = struct.pack(
            "!BBHHHBBH",
            *(0x45, self.traffic_class, 20 + len(content), self.identification),
            *(0x4000 if self.dont_fragment else 0, self.hop_limit, self.protocol, 0),
        )
        checksum = internet_checksum(header + addresses)
        return header[:10] + struct.pack("!H", checksum) + addresses + content


TCP_IPV4 = Flow()
TCP_IPV6 = Flow("fd00::1", "fd00::2")
UDP_IPV4 = Flow(protocol=UDP)
UDP_IPV6 = Flow("fd00::1", "fd00::2", protocol=UDP)
FLOWS = {"tcp4": TCP_IPV4, "tcp6": TCP_IPV6, "udp4": UDP_IPV4, "udp6": UDP_IPV6}

# Extension headers with padding (RFC 8200 section 4.2), options that are skipped, and an address.
HOP_BY_HOP = (0, b"\x01\x04" + bytes(4))
DESTINATION_OPTIONS = (60, b"\x1e\x0cexperimental")
ROUTED = (43, bytes((4, 0)) + bytes(4) + bytes(range(16)))  # segment routing, no segments left
EXTENDED = {
    "tcp6, hop-by-hop": replace(TCP_IPV6, extensions=(HOP_BY_HOP,)),
    "tcp6, destination": replace(TCP_IPV6, extensions=(DESTINATION_OPTIONS,)),
    "tcp6, all": replace(TCP_IPV6, extensions=(HOP_BY_HOP, DESTINATION_OPTIONS, ROUTED, DESTINATION_OPTIONS)),
    "udp6, all": replace(UDP_IPV6, extensions=(HOP_BY_HOP, DESTINATION_OPTIONS, ROUTED)),
}


def some_payload(size: int, seed: int = 1) -> bytes:
    """Bytes that differ from place to place, so that no two segments have the same sum."""
    return bytes((seed + 7 * index + index // 251) % 256 for index in range(size))
