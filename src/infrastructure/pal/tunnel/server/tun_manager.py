"""A server's interface, forwarding and firewall rules.

What clients send leaves under the server's own address by whatever interface the host's routes name. The
rules stand in a table of their own, ``inet tungo_server_<interface>``; where iptables would drop what is
forwarded, two more stand in its chain. All of it is in the journal and taken back on exit, at the next start,
or by ``tungo server cleanup``.
"""

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final

from application.network.routing.tun import TunManager
from application.runtime.log import EventLog
from domain.addressing.split import Network
from domain.addressing.tunnel import TunnelAddresses
from domain.settings.offload import OffloadMode
from domain.settings.profile import TransportProfile
from infrastructure.pal.linux.collisions import refuse_collisions
from infrastructure.pal.linux.iptables import forwarding_accepted
from infrastructure.pal.linux.journal import SERVER, Journal, JournalFolder
from infrastructure.pal.linux.netlink import Family, Netlink, open_netlink
from infrastructure.pal.linux.nftables import (
    Command,
    isolation_rules,
    owned_table,
    segment_size_rules,
    translation_rules,
)
from infrastructure.pal.linux.recovery import journal_of
from infrastructure.pal.linux.sysctl import (
    IPV4_FORWARDING,
    IPV6_FORWARDING,
    advertisements_heeded_on,
    forwarding_on,
    refuse_unchangeable_forwarding,
)
from infrastructure.pal.linux.tun import LinuxTunDevice
from infrastructure.pal.linux.tunnel_interface import bring_up, check_families, tun_device, usable_addresses

_FORWARDING: Final = {Family.IPV4: IPV4_FORWARDING, Family.IPV6: IPV6_FORWARDING}

_ADVICE: Final = "give the tunnel another one in the server's file, and its clients new configurations"


class ServerTunManager:
    """Makes a TUN device whose peers reach what this host reaches; the port is TunManager."""

    def __init__(
        self,
        profile: TransportProfile,
        addresses: TunnelAddresses,
        log: EventLog,
        journals: JournalFolder,
        *,
        nat: bool = True,
        isolated_from: Sequence[str] = (),
        segmentation: OffloadMode = OffloadMode.AUTO,
    ) -> None:
        """Without ``nat`` clients keep their tunnel addresses on the way out: somebody has to route to them.

        What clients send to those behind the interfaces ``isolated_from``, usually this one among them, is
        dropped. ``segmentation`` says whether super-packets may cross it. Raises ValueError if ``profile``
        and ``addresses`` disagree about IPv6.
        """
        check_families(profile, addresses)
        self._profile = profile
        self._addresses = addresses
        self._log = log
        self._journals = journals
        self._nat = nat
        self._isolated_from = isolated_from
        self._segmentation = segmentation

    @asynccontextmanager
    async def open(self) -> AsyncIterator[LinuxTunDevice]:
        """See the port. Raises AnotherInstanceError while another server has the interface."""
        profile, interface = self._profile, self._profile.interface_name
        addresses = usable_addresses(interface, self._addresses, self._log)
        subnets: dict[Family, Network] = {Family.IPV4: profile.ipv4_subnet}
        if addresses.ipv6 is not None and profile.ipv6_subnet is not None:
            subnets[Family.IPV6] = profile.ipv6_subnet
        table = f"tungo_server_{interface}"
        refuse_unchangeable_forwarding(_FORWARDING[family] for family in subnets)
        async with AsyncExitStack() as stack:
            journal = await stack.enter_async_context(
                journal_of(self._journals, SERVER, interface, self._log)
            )
            netlink = await stack.enter_async_context(open_netlink())
            await refuse_collisions(netlink, interface, subnets.values(), _ADVICE)
            device = stack.enter_context(tun_device(interface, self._segmentation, self._log))
            await bring_up(netlink, interface, profile.interface_mtu_bytes, addresses, subnet_route=True)
            rules = self._rules(table, subnets.values())
            await stack.enter_async_context(owned_table(table, rules, journal))
            # Until the rules stand, a client's packets would leave under its tunnel address.
            await self._forward(stack, netlink, journal, ipv6=Family.IPV6 in subnets)
            await stack.enter_async_context(
                forwarding_accepted(interface, subnets.keys(), journal, self._log)
            )
            yield device

    def _rules(self, table: str, subnets: Iterable[Network]) -> list[Command]:
        interface = self._profile.interface_name
        rules = segment_size_rules(table, interface)
        if self._nat:
            rules += translation_rules(table, interface, subnets)
        if self._isolated_from:
            rules += isolation_rules(table, interface, self._isolated_from)
        return rules

    async def _forward(
        self, stack: AsyncExitStack, netlink: Netlink, journal: Journal, *, ipv6: bool
    ) -> None:
        """Make this host a router until ``stack`` unwinds."""
        stack.enter_context(forwarding_on(IPV4_FORWARDING, journal, self._log))
        if ipv6:
            uplinks = await netlink.interfaces_with_advertised_default()
            stack.enter_context(advertisements_heeded_on(uplinks, journal, self._log))
            stack.enter_context(forwarding_on(IPV6_FORWARDING, journal, self._log))


_: type[TunManager] = ServerTunManager
