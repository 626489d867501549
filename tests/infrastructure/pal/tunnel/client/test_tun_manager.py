"""What a ClientTunManager refuses before it touches the host; the rest is in tests/netns."""

from ipaddress import IPv4Network, IPv6Network

import pytest

from domain.addressing.tunnel import client_addresses
from domain.settings.profile import ServerAddress, TransportProfile, TransportProtocol
from infrastructure.pal.linux.netlink import MAIN_TABLE
from infrastructure.pal.tunnel.client.tun_manager import LOCAL_NETWORKS_RULE, TUNNEL_RULE, ClientTunManager
from tests.adapters.log import RememberingLog

IPV4 = IPv4Network("10.0.1.0/24")
IPV6 = IPv6Network("fd00:1::/64")
MAIN_RULE_PRIORITY = 32766  # of every Linux


@pytest.mark.parametrize(("of_profile", "of_addresses"), [(None, IPV6), (IPV6, None)])
def test_a_profile_and_addresses_that_disagree_about_ipv6_are_refused(
    of_profile: IPv6Network | None, of_addresses: IPv6Network | None
) -> None:
    profile = TransportProfile(
        protocol=TransportProtocol.UDP,
        interface_name="c_udptun0",
        ipv4_subnet=IPV4,
        ipv6_subnet=of_profile,
        server=ServerAddress(domain="vpn.example"),
        port=9090,
        mtu_bytes=1400,
        dial_timeout_ms=5000,
    )
    with pytest.raises(ValueError, match="disagree about IPv6"):
        ClientTunManager(profile, client_addresses(IPV4, of_addresses, 1), RememberingLog())


def test_the_rules_stand_in_their_order_before_the_main_table() -> None:
    assert LOCAL_NETWORKS_RULE.priority < TUNNEL_RULE.priority < MAIN_RULE_PRIORITY
    assert LOCAL_NETWORKS_RULE.table == MAIN_TABLE != TUNNEL_RULE.table
