"""What a setting is when a file does not say (platform specification 5)."""

from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network
from typing import Final

from domain.settings.profile import (
    LARGEST_MTU_BYTES,
    SMALLEST_DIAL_TIMEOUT_MS,
    ServerAddress,
    TransportProfile,
    TransportProtocol,
)
from domain.settings.server import ServerSettings


@dataclass(frozen=True, slots=True)
class SlotDefaults:
    """The defaults of one transport. ``ipv6_subnet`` is used when IPv6 is switched on, never filled in."""

    port: int
    ipv4_subnet: IPv4Network
    ipv6_subnet: IPv6Network
    server_interface: str
    client_interface: str


# Platform specification 5, the August column.
DEFAULT_SERVER_MTU_BYTES: Final = LARGEST_MTU_BYTES
DEFAULT_DIAL_TIMEOUT_MS: Final = SMALLEST_DIAL_TIMEOUT_MS
SLOT_DEFAULTS: Final = {
    TransportProtocol.TCP: SlotDefaults(
        port=8080,
        ipv4_subnet=IPv4Network("10.0.0.0/24"),
        ipv6_subnet=IPv6Network("fd00::/64"),
        server_interface="s_tcptun0",
        client_interface="c_tcptun0",
    ),
    TransportProtocol.UDP: SlotDefaults(
        port=9090,
        ipv4_subnet=IPv4Network("10.0.1.0/24"),
        ipv6_subnet=IPv6Network("fd00:1::/64"),
        server_interface="s_udptun0",
        client_interface="c_udptun0",
    ),
    TransportProtocol.WS: SlotDefaults(
        port=1010,
        ipv4_subnet=IPv4Network("10.0.2.0/24"),
        ipv6_subnet=IPv6Network("fd00:2::/64"),
        server_interface="s_wstun0",
        client_interface="c_wstun0",
    ),
}


def default_server_profile(slot: TransportProtocol) -> TransportProfile:
    """The profile of ``slot`` (TCP, UDP or WS) on a fresh server."""
    defaults = SLOT_DEFAULTS[slot]
    return TransportProfile(
        protocol=slot,
        interface_name=defaults.server_interface,
        ipv4_subnet=defaults.ipv4_subnet,
        ipv6_subnet=None,
        server=ServerAddress(),
        port=defaults.port,
        mtu_bytes=DEFAULT_SERVER_MTU_BYTES,
        dial_timeout_ms=DEFAULT_DIAL_TIMEOUT_MS,
    )


def default_server_settings() -> ServerSettings:
    """A fresh server: UDP alone, no keys, no peers."""
    return ServerSettings(
        tcp=default_server_profile(TransportProtocol.TCP),
        udp=default_server_profile(TransportProtocol.UDP),
        ws=default_server_profile(TransportProtocol.WS),
        enabled=frozenset({TransportProtocol.UDP}),
        host="",
        public_key=b"",
        private_key=b"",
        client_counter=0,
        peers=(),
    )
