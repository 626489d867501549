"""What a ServerTunManager refuses before it touches the host; the rest is in tests/netns."""

from ipaddress import IPv4Network, IPv6Network

import pytest

from domain.addressing.tunnel import server_addresses
from domain.settings.profile import ServerAddress, TransportProfile, TransportProtocol
from infrastructure.pal.linux.journal import JournalFolder
from infrastructure.pal.tunnel.server.tun_manager import ServerTunManager
from tests.adapters.log import RememberingLog

IPV4 = IPv4Network("10.0.1.0/24")
IPV6 = IPv6Network("fd00:1::/64")


@pytest.mark.parametrize(("of_profile", "of_addresses"), [(None, IPV6), (IPV6, None)])
def test_a_profile_and_addresses_that_disagree_about_ipv6_are_refused(
    of_profile: IPv6Network | None, of_addresses: IPv6Network | None
) -> None:
    profile = TransportProfile(
        protocol=TransportProtocol.UDP,
        interface_name="s_udptun0",
        ipv4_subnet=IPV4,
        ipv6_subnet=of_profile,
        server=ServerAddress(),
        port=9090,
        mtu_bytes=1500,
        dial_timeout_ms=5000,
    )
    with pytest.raises(ValueError, match="disagree about IPv6"):
        ServerTunManager(
            profile,
            server_addresses(IPV4, of_addresses),
            RememberingLog(),
            JournalFolder.of_this_host(),
        )
