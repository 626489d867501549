"""One transport's settings, the same on both ends (platform specification 2.1, 4.2 and 5).

``TlsSettings`` and ``trusted_proxies`` are ours; the Go program does not know them and leaves them alone.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Final, Self

# Platform specification 5.
SMALLEST_IPV4_MTU_BYTES: Final = 576
SMALLEST_IPV6_MTU_BYTES: Final = 1280
LARGEST_MTU_BYTES: Final = 1500
SMALLEST_DIAL_TIMEOUT_MS: Final = 5000
WSS_DEFAULT_PORT: Final = 443


class TransportProtocol(Enum):
    """What carries the frames; the value is the name in configuration files."""

    UDP = "UDP"
    TCP = "TCP"
    WS = "WS"
    WSS = "WSS"

    @property
    def slot(self) -> "TransportProtocol":
        """The profile that it uses: its own, but WSS that of WS."""
        return TransportProtocol.WS if self is TransportProtocol.WSS else self


@dataclass(frozen=True, slots=True)
class ServerAddress:
    """Where a client connects to; on a server, the address to bind. Any member may be unset.

    Of several members the IPv4 literal is preferred, then the IPv6 literal, then the domain.
    """

    domain: str = ""
    ipv4: IPv4Address | None = None
    ipv6: IPv6Address | None = None

    def __bool__(self) -> bool:
        """Whether any member is set."""
        return bool(self.domain) or self.ipv4 is not None or self.ipv6 is not None


@dataclass(frozen=True, slots=True)
class TlsSettings:
    """How a WebSocket speaks TLS; None is what is not set. Paths are absolute.

    A client trusts ``ca_file`` (PEM) instead of the system's roots, or the one certificate whose SHA-256 (of
    the DER, 32 bytes) is ``pinned_certificate`` and then no authority at all. ``server_name`` takes the place
    of the server's domain in SNI and in the check of the certificate. A server shows ``certificate_file``
    (PEM, with the chain), whose key is in ``key_file``; valid settings have both or neither.
    """

    ca_file: str | None = None
    pinned_certificate: bytes | None = None
    server_name: str | None = None
    certificate_file: str | None = None
    key_file: str | None = None

    def __bool__(self) -> bool:
        """Whether anything is set."""
        return self != TlsSettings()

    @property
    def serves(self) -> bool:
        """Whether a server with these settings speaks TLS itself; otherwise it listens in clear."""
        return self.certificate_file is not None and self.key_file is not None


@dataclass(frozen=True, slots=True)
class TransportProfile:
    """The settings of one transport. The interface's own addresses are derived, never stored.

    ``ipv6_subnet`` is None where the tunnel carries IPv4 only. ``port`` 0 occurs with WSS alone
    and means 443. The resolvers are those that the client's tunnel offers; they may be empty.
    ``trusted_proxies`` are those of a server: only to a connection from there it believes what a PROXY or
    X-Forwarded-For header says about the client's address.
    """

    protocol: TransportProtocol
    interface_name: str
    ipv4_subnet: IPv4Network
    ipv6_subnet: IPv6Network | None
    server: ServerAddress
    port: int
    mtu_bytes: int
    dial_timeout_ms: int
    dns_v4: tuple[IPv4Address, ...] = ()
    dns_v6: tuple[IPv6Address, ...] = ()
    tls: TlsSettings = TlsSettings()
    trusted_proxies: tuple[IPv4Network | IPv6Network, ...] = ()

    @property
    def interface_mtu_bytes(self) -> int:
        """The MTU to give the interface: ``mtu_bytes``, but at least 1280 where the tunnel carries IPv6.

        Linux silently drops the IPv6 addresses and routes of an interface below 1280, and the Go program
        writes 1200 into every UDP client file.
        """
        if self.ipv6_subnet is None:
            return self.mtu_bytes
        return max(self.mtu_bytes, SMALLEST_IPV6_MTU_BYTES)

    @property
    def connect_timeout_ms(self) -> int:
        """How long a client may take to dial and shake hands: never less than 5 s (specification 5)."""
        return max(self.dial_timeout_ms, SMALLEST_DIAL_TIMEOUT_MS)


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotProfiles:
    """The profiles of a configuration, used or not: one for each slot."""

    tcp: TransportProfile
    udp: TransportProfile
    ws: TransportProfile

    @property
    def slots(self) -> tuple[tuple[TransportProtocol, TransportProfile], ...]:
        """Every profile with the slot that it stands in, in the order of the file."""
        return (
            (TransportProtocol.TCP, self.tcp),
            (TransportProtocol.UDP, self.udp),
            (TransportProtocol.WS, self.ws),
        )

    def with_each(self, change: Callable[[TransportProtocol, TransportProfile], TransportProfile]) -> Self:
        """The same with what ``change`` makes of each profile, given its slot and the profile."""
        return replace(
            self,
            tcp=change(TransportProtocol.TCP, self.tcp),
            udp=change(TransportProtocol.UDP, self.udp),
            ws=change(TransportProtocol.WS, self.ws),
        )
