"""Which routes and policy rules make a host send into its tunnel what the settings say.

The main table is never touched; ``infrastructure.pal.tunnel.client.tun_manager`` has the picture. Here is
what becomes of the table of the tunnel, with ``Include`` 10.0.0.0/8 and ``Exclude`` 10.1.0.0/16::

    10.0.0.0/8 dev c_udptun0 metric 1       into the tunnel, as long as it is there
    10.0.0.0/8 dev tungo-sink metric 9999   otherwise nowhere
    throw 10.1.0.0/16                       go on to the next rule, so to the main table

A route of type ``throw`` belongs to no interface, so that a killed client leaves it behind. That harms
nobody: with the tunnel's routes gone, everything else goes on to the main table as well. It is journalled and
taken back like the rules; the entry is ``{"table": 51830, "networks": ["10.1.0.0/16"]}``. The other ways are
worse. A policy rule for each excluded network would have to be journalled all the same, and the kernel goes
through rules one by one for each packet, while a table finds one route among thousands at once. And the
included networks less the excluded ones, as routes that all belong to the interface, are up to 32 routes for
each address of IPv4 that is excluded, or 128 of IPv6, twice.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from ipaddress import ip_network
from typing import Final

from domain.addressing.split import Network
from domain.settings.routing import TunnelRouting
from infrastructure.pal.linux.errors import JournalError
from infrastructure.pal.linux.journal import Journal, Json
from infrastructure.pal.linux.netlink import Family, Netlink, PolicyRule, open_netlink

# The kind of the journal's entries that ``undo`` is for.
KIND: Final = "passing-routes"


@dataclass(frozen=True, slots=True)
class RoutingPlan:
    """What is to stand in the table of the tunnel, and the rules before the main table in their order.

    ``into_tunnel`` leads into the device of the transport in use, ``last_resort`` into the sink, ``past`` on
    to the next rule. All of it is for the families that the host has.
    """

    table: int
    rules: tuple[PolicyRule, ...]
    into_tunnel: tuple[Network, ...]
    last_resort: tuple[Network, ...]
    past: tuple[Network, ...]


def plan_of(
    routing: TunnelRouting,
    families: Sequence[Family],
    *,
    local_networks_rule: PolicyRule,
    tunnel_rule: PolicyRule,
) -> RoutingPlan:
    """What ``routing`` asks of a host with ``families``.

    ``tunnel_rule`` names the table of the tunnel and spares our own marked sockets. ``local_networks_rule``
    goes before it, where the connected networks stay out of the tunnel: the kernel keeps the main table up to
    date when the LAN changes.
    """
    split = routing.split
    into_tunnel = tuple(network for network in split.into_tunnel if Family.of(network) in families)
    return RoutingPlan(
        table=tunnel_rule.table,
        rules=(local_networks_rule, tunnel_rule) if routing.exclude_lan else (tunnel_rule,),
        into_tunnel=into_tunnel,
        last_resort=tuple(
            network
            for network in into_tunnel
            if Family.of(network) is Family.IPV4 or not routing.allow_ipv6_leak
        ),
        past=tuple(network for network in split.past if Family.of(network) in families),
    )


async def lead_into(interface: str, netlink: Netlink, plan: RoutingPlan, families: Sequence[Family]) -> None:
    """Put the routes through the open device of a transport that carries ``families`` into the table.

    Nothing of this needs undoing: it vanishes with the interface. Raises NetworkError.
    """
    for network in plan.into_tunnel:
        if Family.of(network) in families:
            await netlink.add_route(interface, network, plan.table)


@asynccontextmanager
async def routing(
    netlink: Netlink, plan: RoutingPlan, sink_interface: str, last_resort_metric: int, journal: Journal
) -> AsyncIterator[None]:
    """The table has everything inside but the routes of a transport's device.

    To be entered before the rules are made that look the table up, and left after they are gone: what is to
    go past the tunnel then does so at all times. ``sink_interface`` is up; the routes into it vanish with it
    and no sooner, the others on exit. Raises NetworkError.
    """
    async with AsyncExitStack() as stack:
        if plan.past:
            await stack.enter_async_context(_passing(netlink, plan, journal))
        for network in plan.last_resort:
            await netlink.add_route(sink_interface, network, plan.table, metric=last_resort_metric)
        yield


async def undo(facts: Mapping[str, Json]) -> None:
    """Delete the routes that these facts are of. Raises NetworkError, JournalError."""
    table, listed = facts.get("table"), facts.get("networks")
    if not isinstance(table, int) or not isinstance(listed, list):
        raise JournalError(f"the journal's entry {KIND} names no table or no networks")
    try:
        networks = [ip_network(str(network)) for network in listed]
    except ValueError as exc:
        raise JournalError(f"the journal's entry {KIND} names something that is no network") from exc
    async with open_netlink() as netlink:
        for network in networks:
            await netlink.delete_passing_route(network, table)


@asynccontextmanager
async def _passing(netlink: Netlink, plan: RoutingPlan, journal: Journal) -> AsyncIterator[None]:
    number = journal.record(KIND, {"table": plan.table, "networks": [*map(str, plan.past)]})
    try:
        for network in plan.past:
            await netlink.add_passing_route(network, plan.table)
        yield
    finally:
        for network in plan.past:
            await netlink.delete_passing_route(network, plan.table)
        journal.strike(number)
