"""Which name servers are asked past the tunnel, however much they are meant to be those of the tunnel."""

from collections.abc import Collection, Iterable, Sequence

from application.runtime.log import EventLog
from domain.addressing.split import Network
from infrastructure.pal.linux.dns.content import NameServer
from infrastructure.pal.linux.netlink import MainRoute, Netlink
from infrastructure.pal.linux.split import RoutingPlan


def beside_the_tunnel(
    servers: Iterable[NameServer], plan: RoutingPlan, main_routes: Sequence[MainRoute], ours: Collection[str]
) -> list[NameServer]:
    """Those that packets leave for by another way than the tunnel.

    ``main_routes`` are those of the host, ``ours`` the interfaces of the tunnel. A name server on the host
    itself is fine.
    """
    host_routes_first = any(rule.ignore_default for rule in plan.rules)
    local = [
        route.destination
        for route in main_routes
        if host_routes_first and not route.is_default and route.interface not in ours
    ]
    return [
        server
        for server in servers
        if not server.is_loopback
        and (_longest(server, local) > 0 or _longest(server, plan.into_tunnel) <= _longest(server, plan.past))
    ]


def _longest(server: NameServer, networks: Iterable[Network]) -> int:
    """The prefix length of the narrowest of ``networks`` that ``server`` is in, -1 if it is in none."""
    return max((network.prefixlen for network in networks if server in network), default=-1)


async def tell_of_detours(
    servers: Sequence[NameServer], plan: RoutingPlan, netlink: Netlink, ours: Collection[str], log: EventLog
) -> None:
    """Say which of ``servers`` are asked past the tunnel, if any. Raises NetworkError.

    They are asked all the same: a name server at home may be what is wanted.
    """
    if not servers:
        return
    for server in beside_the_tunnel(servers, plan, await netlink.main_routes(), ours):
        log.warning(
            "this name server is asked past the tunnel: it is in a network that the host reaches directly, "
            "or excluded",
            server=str(server),
        )
