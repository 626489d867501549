"""A server's interface, forwarding and firewall rules.

What clients send leaves under the server's own address by whatever interface the host's routes name. The
rules stand in a table of their own, ``inet tungo_server_<interface>``.
"""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from application.network.routing.tun import TunManager
from application.runtime.log import EventLog
from domain.addressing.tunnel import TunnelAddresses
from domain.settings.profile import TransportProfile
from infrastructure.pal.linux.netlink import open_netlink
from infrastructure.pal.linux.nftables import dropping_forward_chains, owned_table, server_rules
from infrastructure.pal.linux.sysctl import (
    IPV4_FORWARDING,
    IPV6_FORWARDING,
    advertisements_heeded_on,
    forwarding_on,
)
from infrastructure.pal.linux.tun import LinuxTunDevice
from infrastructure.pal.linux.tunnel_interface import bring_up, check_families, tun_device, usable_addresses


class ServerTunManager:
    """Makes a TUN device whose peers reach what this host reaches; the port is TunManager."""

    def __init__(self, profile: TransportProfile, addresses: TunnelAddresses, log: EventLog) -> None:
        """Raises ValueError if ``profile`` and ``addresses`` disagree about IPv6."""
        check_families(profile, addresses)
        self._profile = profile
        self._addresses = addresses
        self._log = log

    @asynccontextmanager
    async def open(self) -> AsyncIterator[LinuxTunDevice]:
        """See the port."""
        interface = self._profile.interface_name
        addresses = usable_addresses(interface, self._addresses, self._log)
        ipv6_subnet = self._profile.ipv6_subnet if addresses.ipv6 is not None else None
        table = f"tungo_server_{interface}"
        async with AsyncExitStack() as stack:
            netlink = await stack.enter_async_context(open_netlink())
            device = stack.enter_context(tun_device(interface))
            await bring_up(
                netlink, interface, self._profile.interface_mtu_bytes, addresses, subnet_route=True
            )
            rules = server_rules(table, interface, self._profile.ipv4_subnet, ipv6_subnet)
            await stack.enter_async_context(owned_table(table, rules))
            # Last: until the rules stand, a client's packets would leave under its tunnel address.
            stack.enter_context(forwarding_on(IPV4_FORWARDING))
            if ipv6_subnet is not None:
                uplinks = await netlink.interfaces_with_advertised_default()
                stack.enter_context(advertisements_heeded_on(uplinks))
                stack.enter_context(forwarding_on(IPV6_FORWARDING))
            for chain in await dropping_forward_chains():
                self._log.warning(
                    "a firewall drops forwarded packets: allow those from and to the interface there",
                    chain=chain,
                    interface=interface,
                )
            yield device


_: type[TunManager] = ServerTunManager
