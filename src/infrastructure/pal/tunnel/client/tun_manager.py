"""A client's interface and routes: everything goes into the tunnel but what carries the tunnel.

The main routing table is never touched. Two rules, for IPv4 and IPv6 alike, stand before it::

    31830: from all lookup main suppress_prefixlength 0      the local networks, but no default route
    31831: not from all fwmark 51830 lookup 51830            default into the tunnel
    32766: from all lookup main                              what remains: our own marked sockets

The socket that carries the tunnel is marked (FIREWALL_MARK, set by the dialer), so it needs no route to the
server and follows the uplink when that changes.

Unless the settings lead only a part of the traffic into the tunnel, or all of it (``linux.split``), table
51830 has two default routes. The last resort leads into a second interface,
``infrastructure.pal.linux.sink``, and stays as long as the rules do; the better one belongs to the device of
the transport in use and comes and goes with it. So nothing leaves beside the tunnel while one device
takes the place of another, while there is none, or while somebody has set it down; nor does IPv6 of an
IPv4-only tunnel. Only a program that binds its socket to an interface (SO_BINDTODEVICE) has its own way.

After SIGKILL the interfaces and with them all routes of table 51830 are gone; the rules then find nothing
and traffic flows as before. The next start takes them back, or ``tungo client cleanup`` does: they stand in
the journal.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from application.network.routing.tun import ClientTunManager
from application.runtime.log import EventLog
from domain.addressing.tunnel import TunnelAddresses
from domain.settings.offload import OffloadMode
from domain.settings.profile import TransportProfile
from domain.settings.routing import DEFAULT_ROUTING, TunnelRouting
from infrastructure.pal.linux.collisions import refuse_collisions
from infrastructure.pal.linux.dns.file import RESOLV_CONF
from infrastructure.pal.linux.dns.host import host_asks, name_servers_of
from infrastructure.pal.linux.dns.reach import tell_of_detours
from infrastructure.pal.linux.errors import AnotherClientError
from infrastructure.pal.linux.journal import CLIENT, Journal, JournalFolder
from infrastructure.pal.linux.kill_switch import Lock, locked
from infrastructure.pal.linux.monitor import link_monitor
from infrastructure.pal.linux.netlink import MAIN_TABLE, Family, Netlink, PolicyRule, open_netlink
from infrastructure.pal.linux.nftables import marked_reply_rules, owned_table
from infrastructure.pal.linux.policy_rules import policy_rules, refuse_foreign_rules
from infrastructure.pal.linux.recovery import journal_of
from infrastructure.pal.linux.sink import sink
from infrastructure.pal.linux.split import RoutingPlan, lead_into, plan_of, routing
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

# Not named after a transport, because it outlives each of them. At most 15 bytes.
SINK_INTERFACE: Final = "tungo-sink"

_NFT_TABLE: Final = "tungo_client"

_ADVICE: Final = "join another network, or give the tunnel another subnet on the server and here"


@dataclass(frozen=True, slots=True)
class _Hold:
    """What is there while the host is held."""

    netlink: Netlink
    plan: RoutingPlan
    journal: Journal


class LinuxClientTunManager:
    """Makes the default route of this host lead into TUN devices; the port is ClientTunManager."""

    def __init__(
        self,
        log: EventLog,
        journals: JournalFolder,
        tunnel_routing: TunnelRouting = DEFAULT_ROUTING,
        interfaces: Sequence[str] = (),
        resolv_conf: Path = RESOLV_CONF,
        *,
        segmentation: OffloadMode = OffloadMode.AUTO,
    ) -> None:
        """``interfaces`` are those of all profiles that a device may be opened for; a kill switch has to know
        them. ``resolv_conf`` is where programs look up whom to ask for names. ``segmentation`` says whether
        super-packets may cross the interfaces.

        ``log`` is told what a tunnel cannot carry here, when somebody deletes the last resort, and what
        becomes of the name servers.
        """
        self._log = log
        self._journals = journals
        self._routing = tunnel_routing
        self._interfaces = (*interfaces, SINK_INTERFACE)
        self._resolv_conf = resolv_conf
        self._segmentation = segmentation
        self._held: _Hold | None = None
        self._device_is_open = False

    @asynccontextmanager
    async def hold(self) -> AsyncIterator[None]:
        """See the port. Raises AnotherInstanceError while another client holds this host."""
        families = [Family.IPV4, Family.IPV6] if ipv6_is_available() else [Family.IPV4]
        plan = plan_of(
            self._routing, families, local_networks_rule=LOCAL_NETWORKS_RULE, tunnel_rule=TUNNEL_RULE
        )
        async with AsyncExitStack() as stack:
            enter = stack.enter_async_context
            journal = await enter(journal_of(self._journals, CLIENT, SINK_INTERFACE, self._log))
            netlink = await enter(open_netlink())
            await _refuse_second_client(netlink, families)
            await refuse_foreign_rules(netlink, families, (LOCAL_NETWORKS_RULE, TUNNEL_RULE))
            if self._routing.kill_switch:
                await self._lock(stack, netlink)
            # Of two clients that come this far at the same time, one finds the name taken.
            await _open_sink(stack, netlink, families, self._log)
            await enter(routing(netlink, plan, SINK_INTERFACE, LAST_RESORT, journal))
            # It is the rules that make the server's answers look wrong, so it stands before and after them.
            await enter(_replies_pass_strict_source_filter(journal))
            await enter(policy_rules(netlink, families, plan.rules, journal))
            self._held = _Hold(netlink, plan, journal)
            try:
                yield
            finally:
                self._held = None

    @asynccontextmanager
    async def open(
        self, profile: TransportProfile, addresses: TunnelAddresses
    ) -> AsyncIterator[LinuxTunDevice]:
        """See the port."""
        check_families(profile, addresses)
        if self._held is None:
            raise RuntimeError("the host is not held: a device is opened within hold()")
        if self._device_is_open:
            raise RuntimeError("a device is open: leave its context before another is opened")
        self._device_is_open = True
        try:
            await _refuse_collisions(self._held.netlink, profile)
            with tun_device(profile.interface_name, self._segmentation, self._log) as device:
                carried = await self._configure(self._held, profile, addresses)
                async with self._names_from_tunnel(self._held, profile, carried):
                    yield device
        finally:
            self._device_is_open = False

    async def _lock(self, stack: AsyncExitStack, netlink: Netlink) -> None:
        """The kill switch; it is on before anything leads into a tunnel, and after."""
        changes = await stack.enter_async_context(link_monitor(self._interfaces, self._log))
        rules = Lock(FIREWALL_MARK, self._interfaces, self._routing.allow_lan)
        await stack.enter_async_context(locked(rules, netlink, changes, self._log))

    @asynccontextmanager
    async def _names_from_tunnel(
        self, held: _Hold, profile: TransportProfile, carried: TunnelAddresses
    ) -> AsyncIterator[None]:
        """The name servers of the profile, as long as the device is there to reach them."""
        servers, interface = name_servers_of(profile, carried), profile.interface_name
        await tell_of_detours(servers, held.plan, held.netlink, (*self._interfaces, interface), self._log)
        async with host_asks(servers, interface, held.journal, self._log, self._resolv_conf):
            yield

    async def _configure(
        self, held: _Hold, profile: TransportProfile, addresses: TunnelAddresses
    ) -> TunnelAddresses:
        """The addresses that the device has; nothing of it needs undoing, it vanishes with the interface."""
        interface = profile.interface_name
        usable = usable_addresses(interface, addresses, self._log)
        # Not even a route to the tunnel's own subnet: it may be the subnet that the server is in.
        await bring_up(held.netlink, interface, profile.interface_mtu_bytes, usable, subnet_route=False)
        families = [Family.IPV4] if usable.ipv6 is None else [Family.IPV4, Family.IPV6]
        await lead_into(interface, held.netlink, held.plan, families)
        return usable


async def _refuse_second_client(netlink: Netlink, families: list[Family]) -> None:
    for family in families:
        if await netlink.has_routes(family, ROUTING_TABLE):
            raise AnotherClientError(
                f"routing table {ROUTING_TABLE} is in use: stop the other TunGo client of this host first"
            )


async def _refuse_collisions(netlink: Netlink, profile: TransportProfile) -> None:
    """A network in which the server itself is may have the tunnel's subnet.

    It is reached directly, as every local network is, and the rest of the Internet through the tunnel; only
    the other ends of the tunnel are then hidden behind their namesakes. Anywhere else the tunnel's address
    may be that of the router, and nothing would work.
    """
    subnets = [subnet for subnet in (profile.ipv4_subnet, profile.ipv6_subnet) if subnet is not None]
    server = [address for address in (profile.server.ipv4, profile.server.ipv6) if address is not None]
    await refuse_collisions(netlink, profile.interface_name, subnets, _ADVICE, harmless_with=server)


async def _open_sink(stack: AsyncExitStack, netlink: Netlink, families: list[Family], log: EventLog) -> None:
    """Make the device that takes what no tunnel takes, up until ``stack`` unwinds."""
    stack.enter_context(sink(SINK_INTERFACE, log))
    if Family.IPV6 in families:
        enable_ipv6_on(SINK_INTERFACE)
    await netlink.set_up(SINK_INTERFACE)


@asynccontextmanager
async def _replies_pass_strict_source_filter(journal: Journal) -> AsyncIterator[None]:
    """The server's answers are not dropped as coming from the wrong side, where the host is that strict."""
    if not source_filter_is_strict():
        yield
        return
    async with owned_table(_NFT_TABLE, marked_reply_rules(_NFT_TABLE, FIREWALL_MARK), journal):
        with setting_kept_at(SOURCE_VALID_MARK, "1", journal):
            yield


_: type[ClientTunManager] = LinuxClientTunManager
