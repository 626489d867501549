"""Which name servers are asked past the tunnel."""

from ipaddress import ip_address, ip_network

import pytest

from domain.settings.routing import TunnelRouting
from infrastructure.pal.linux.dns.reach import beside_the_tunnel
from infrastructure.pal.linux.netlink import Family, MainRoute
from infrastructure.pal.linux.split import plan_of
from infrastructure.pal.tunnel.client.tun_manager import LOCAL_NETWORKS_RULE, TUNNEL_RULE

ROUTES = [
    MainRoute(ip_network(network), interface, via, 0)
    for network, interface, via in (
        ("0.0.0.0/0", "eth0", "192.168.1.1"),
        ("::/0", "eth0", "fe80::1"),
        ("192.168.1.0/24", "eth0", ""),
        ("172.16.0.0/12", "eth0", "192.168.1.9"),
        ("2001:db8::/64", "eth0", ""),
        ("10.0.1.0/24", "c_udptun0", ""),
    )
]


@pytest.mark.parametrize(
    ("server", "routing", "is_beside"),
    [
        ("10.0.1.1", TunnelRouting(), False),
        ("1.1.1.1", TunnelRouting(), False),
        ("2606:4700:4700::1111", TunnelRouting(), False),
        ("192.168.1.1", TunnelRouting(), True),
        ("172.16.0.53", TunnelRouting(), True),
        ("2001:db8::53", TunnelRouting(), True),
        ("192.168.1.1", TunnelRouting(exclude_lan=False), False),
        ("127.0.0.1", TunnelRouting(), False),
        ("::1", TunnelRouting(exclude_lan=False), False),
        ("1.1.1.1", TunnelRouting(exclude=(ip_network("1.1.0.0/16"),)), True),
        ("1.1.1.1", TunnelRouting(include=(ip_network("10.0.0.0/8"),)), True),
        ("10.0.1.1", TunnelRouting(include=(ip_network("10.0.0.0/8"),)), False),
        (
            "10.0.1.1",
            TunnelRouting(include=(ip_network("10.0.0.0/8"),), exclude=(ip_network("10.0.0.0/9"),)),
            True,
        ),
    ],
)
def test_a_name_server_is_beside_the_tunnel_if_its_packets_are(
    server: str, routing: TunnelRouting, *, is_beside: bool
) -> None:
    plan = plan_of(routing, tuple(Family), local_networks_rule=LOCAL_NETWORKS_RULE, tunnel_rule=TUNNEL_RULE)
    expected = [ip_address(server)] if is_beside else []
    assert beside_the_tunnel([ip_address(server)], plan, ROUTES, ["c_udptun0"]) == expected
