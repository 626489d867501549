"""A client's interface and routes: everything goes into the tunnel but what carries the tunnel.

The main routing table is never touched. Two rules, for IPv4 and IPv6 alike, stand before it::

    31830: from all lookup main suppress_prefixlength 0      the local networks, but no default route
    31831: not from all fwmark 51830 lookup 51830            default into the tunnel
    32766: from all lookup main                              what remains: our own marked sockets

The socket that carries the tunnel is marked (FIREWALL_MARK, set by the dialer), so it needs no route to the
server and follows the uplink when that changes.

While the client runs, connected or not, nothing leaves beside the tunnel: what the tunnel's interface does
not take, IPv6 of an IPv4-only tunnel or everything while somebody has set it down, ends in a second
interface, ``infrastructure.pal.linux.sink``.

After SIGKILL the interfaces and with them all routes of table 51830 are gone; the rules then find nothing
and traffic flows as before. The next start replaces them.
"""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final

from application.network.routing.tun import TunManager
from application.runtime.log import EventLog
from domain.addressing.tunnel import TunnelAddresses
from domain.settings.profile import TransportProfile
from infrastructure.pal.linux.errors import AnotherClientError
from infrastructure.pal.linux.netlink import MAIN_TABLE, Family, Netlink, PolicyRule, open_netlink
from infrastructure.pal.linux.nftables import marked_reply_rules, owned_table
from infrastructure.pal.linux.sink import sink
from infrastructure.pal.linux.sysctl import (
    SOURCE_VALID_MARK,
    enable_ipv6_on,
    ipv6_is_available,
    setting_kept_at,
    source_filter_is_strict,
)
from infrastructure.pal.linux.tun import LinuxTunDevice
from infrastructure.pal.linux.tunnel_interface import bring_up, check_families, tun_device, usable_addresses

# Our names in spaces that all programs share: unlikely to be taken, and the same number so that `ip rule`
# reads well.
ROUTING_TABLE: Final = 51830
FIREWALL_MARK: Final = 51830

# Directly before the rule for the main table (32766), with room for what others put between.
LOCAL_NETWORKS_RULE: Final = PolicyRule(priority=31830, table=MAIN_TABLE, ignore_default=True)
TUNNEL_RULE: Final = PolicyRule(priority=31831, table=ROUTING_TABLE, unless_mark=FIREWALL_MARK)

# The metric of the routes into the sink: any other route of the table comes before them.
LAST_RESORT: Final = 9999

# An interface name has at most 15 bytes.
_SINK_SUFFIX: Final = "-sink"
_SINK_STEM_BYTES: Final = 15 - len(_SINK_SUFFIX)


class ClientTunManager:
    """Makes the default route of this host lead into a TUN device; the port is TunManager."""

    def __init__(self, profile: TransportProfile, addresses: TunnelAddresses, log: EventLog) -> None:
        """Raises ValueError if ``profile`` and ``addresses`` disagree about IPv6."""
        check_families(profile, addresses)
        self._profile = profile
        self._addresses = addresses
        self._log = log

    @asynccontextmanager
    async def open(self) -> AsyncIterator[LinuxTunDevice]:
        """See the port. Also raises AnotherClientError while another client holds the routing table."""
        interface = self._profile.interface_name
        addresses = usable_addresses(interface, self._addresses, self._log)
        families = [Family.IPV4, Family.IPV6] if ipv6_is_available() else [Family.IPV4]
        async with AsyncExitStack() as stack:
            netlink = await stack.enter_async_context(open_netlink())
            await _refuse_second_client(netlink, families)
            device = stack.enter_context(tun_device(interface))
            # Not even a route to the tunnel's own subnet: it may be the subnet that the server is in.
            await bring_up(
                netlink, interface, self._profile.interface_mtu_bytes, addresses, subnet_route=False
            )
            await stack.enter_async_context(_replies_pass_strict_source_filter(interface))
            sink_name = await _open_sink(stack, netlink, interface, families, self._log)
            for family in families:
                await netlink.add_default_route(sink_name, family, ROUTING_TABLE, metric=LAST_RESORT)
            await netlink.add_default_route(interface, Family.IPV4, ROUTING_TABLE)
            if addresses.ipv6 is not None:
                await netlink.add_default_route(interface, Family.IPV6, ROUTING_TABLE)
            for family in families:
                await stack.enter_async_context(_routing_rules(netlink, family))
            yield device


async def _refuse_second_client(netlink: Netlink, families: list[Family]) -> None:
    for family in families:
        if await netlink.has_routes(family, ROUTING_TABLE):
            raise AnotherClientError(
                f"routing table {ROUTING_TABLE} is in use: stop the other TunGo client of this host first"
            )


async def _open_sink(
    stack: AsyncExitStack, netlink: Netlink, interface: str, families: list[Family], log: EventLog
) -> str:
    """Make the device that takes what the tunnel cannot, up until ``stack`` unwinds; returns its name."""
    name = interface.encode()[:_SINK_STEM_BYTES].decode(errors="ignore") + _SINK_SUFFIX
    stack.enter_context(sink(name, log))
    if Family.IPV6 in families:
        enable_ipv6_on(name)
    await netlink.set_up(name)
    return name


@asynccontextmanager
async def _replies_pass_strict_source_filter(interface: str) -> AsyncIterator[None]:
    """The server's answers are not dropped as coming from the wrong side, where the host is that strict."""
    if not source_filter_is_strict():
        yield
        return
    table = f"tungo_client_{interface}"
    async with owned_table(table, marked_reply_rules(table, FIREWALL_MARK)):
        with setting_kept_at(SOURCE_VALID_MARK, "1"):
            yield


@asynccontextmanager
async def _routing_rules(netlink: Netlink, family: Family) -> AsyncIterator[None]:
    """Both rules, once each; those of a killed client are replaced."""
    rules = (LOCAL_NETWORKS_RULE, TUNNEL_RULE)
    try:
        for rule in rules:
            await netlink.delete_rules(family, rule)
            await netlink.add_rule(family, rule)
        yield
    finally:
        # Backwards: without the first rule, the second would catch the traffic of the local networks.
        for rule in reversed(rules):
            await netlink.delete_rules(family, rule)


_: type[TunManager] = ClientTunManager
