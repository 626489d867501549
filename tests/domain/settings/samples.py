"""Valid settings to start from, with real keys."""

from dataclasses import replace
from ipaddress import IPv4Address, IPv6Network

from domain.addressing.peers import Peer
from domain.settings.client import ClientSettings
from domain.settings.defaults import default_server_settings
from domain.settings.profile import ServerAddress, TransportProfile, TransportProtocol
from domain.settings.server import ServerSettings
from tests.adapters.primitives import PlainPrimitives

ALL_TRANSPORTS = frozenset({TransportProtocol.TCP, TransportProtocol.UDP, TransportProtocol.WS})

SERVER_PRIVATE_KEY = bytes(range(1, 33))
CLIENT_PRIVATE_KEY = bytes(range(33, 65))

public_key_of = PlainPrimitives().public_key


def a_server() -> ServerSettings:
    """All three transports, one peer, a host."""
    return replace(
        default_server_settings(),
        enabled=ALL_TRANSPORTS,
        host="vpn.example.org",
        private_key=SERVER_PRIVATE_KEY,
        public_key=public_key_of(SERVER_PRIVATE_KEY),
        client_counter=1,
        peers=(Peer(public_key_of(CLIENT_PRIVATE_KEY), 1, "client-1"),),
    )


def a_client() -> ClientSettings:
    """The peer of ``a_server``, over UDP."""
    server = a_server()

    def profile(profile: TransportProfile, interface_name: str) -> TransportProfile:
        address = ServerAddress(ipv4=IPv4Address("203.0.113.7"))
        return replace(profile, interface_name=interface_name, server=address)

    return ClientSettings(
        client_id=1,
        tcp=profile(server.tcp, "c_tcptun0"),
        udp=profile(server.udp, "c_udptun0"),
        ws=profile(server.ws, "c_wstun0"),
        protocol=TransportProtocol.UDP,
        server_public_key=server.public_key,
        public_key=public_key_of(CLIENT_PRIVATE_KEY),
        private_key=CLIENT_PRIVATE_KEY,
    )


def with_ipv6(profile: TransportProfile, subnet: str = "fd00:9::/64") -> TransportProfile:
    """``profile`` with an IPv6 subnet."""
    return replace(profile, ipv6_subnet=IPv6Network(subnet))
