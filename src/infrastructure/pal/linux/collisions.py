"""Whether a tunnel's subnet is also that of a network in which this host is already."""

from collections.abc import Collection, Iterable
from ipaddress import IPv4Address, IPv6Address, ip_interface
from typing import Final

from domain.addressing.split import Network
from infrastructure.pal.linux.errors import SubnetCollisionError
from infrastructure.pal.linux.netlink import Netlink

# Routes as short as these are no networks: other tunnels use them in place of a default route.
_SHORTEST_PREFIX: Final = 2


async def refuse_collisions(
    netlink: Netlink,
    interface: str,
    subnets: Iterable[Network],
    advice: str,
    harmless_with: Collection[IPv4Address | IPv6Address] = (),
) -> None:
    """Raises SubnetCollisionError if another interface than ``interface`` leads into one of ``subnets``.

    That is to have an address in it, or a route without a router. A network is let pass if one of
    ``harmless_with`` is in it. ``advice`` says what to change, and ends the error's sentence. Raises
    NetworkError.
    """
    connected = await _connected_networks(netlink)
    for subnet in subnets:
        for other, network in connected:
            if other == interface or network.version != subnet.version or not _overlap(network, subnet):
                continue
            if any(address in network for address in harmless_with):
                continue
            raise SubnetCollisionError(
                f"the tunnel's subnet {subnet} overlaps with {network}, the network at {other}: {advice}"
            )


async def _connected_networks(netlink: Netlink) -> list[tuple[str, Network]]:
    addresses = [
        (interface, ip_interface(address).network) for interface, address in await netlink.global_addresses()
    ]
    routes = [
        (route.interface, route.destination)
        for route in await netlink.main_routes()
        if not route.via and route.destination.prefixlen >= _SHORTEST_PREFIX
    ]
    return addresses + routes


def _overlap(one: Network, other: Network) -> bool:
    """Of two networks of the same IP version."""
    shorter, longer = sorted((one, other), key=lambda network: network.prefixlen)
    return longer.network_address in shorter
