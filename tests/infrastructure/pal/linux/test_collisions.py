"""Which networks of a host are in the way of a tunnel's subnet."""

import asyncio
from ipaddress import IPv4Address, ip_network

import pytest

from infrastructure.pal.linux.collisions import refuse_collisions
from infrastructure.pal.linux.errors import SubnetCollisionError
from infrastructure.pal.linux.netlink import MainRoute, Netlink

TUNNEL = "tun-test"
SUBNETS = (ip_network("10.0.1.0/24"), ip_network("fd00:1::/64"))


class Host(Netlink):
    """A host with these addresses, each (interface, address), and routes."""

    def __init__(self, *addresses: tuple[str, str], routes: tuple[MainRoute, ...] = ()) -> None:
        self._addresses = list(addresses)
        self._routes = list(routes)

    async def global_addresses(self) -> list[tuple[str, str]]:
        return self._addresses

    async def main_routes(self) -> list[MainRoute]:
        return self._routes


def refuse(host: Host, *harmless_with: str) -> None:
    harmless = [IPv4Address(address) for address in harmless_with]
    asyncio.run(refuse_collisions(host, TUNNEL, SUBNETS, "choose another", harmless))


def route(destination: str, via: str = "") -> MainRoute:
    return MainRoute(ip_network(destination), "eth0", via, 0)


@pytest.mark.parametrize(
    "address", ["10.0.1.7/24", "10.0.1.200/30", "10.0.0.1/8", "10.0.1.9/32", "fd00:1::5/64", "fd00:1::5/128"]
)
def test_a_network_that_has_addresses_of_the_tunnel_is_named_with_what_to_do(address: str) -> None:
    with pytest.raises(SubnetCollisionError, match=r"the network at eth0: choose another$"):
        refuse(Host(("eth0", address)))


@pytest.mark.parametrize("address", ["10.0.2.7/24", "10.0.0.7/24", "fd00:2::5/64"])
def test_a_network_beside_the_tunnels_is_none_of_its_business(address: str) -> None:
    refuse(Host(("eth0", address)))


def test_the_tunnels_own_addresses_do_not_collide_with_it() -> None:
    refuse(Host((TUNNEL, "10.0.1.2/24"), (TUNNEL, "fd00:1::2/64")))


def test_a_connected_route_collides_and_one_by_way_of_a_router_does_not() -> None:
    refuse(Host(routes=(route("10.0.1.0/24", via="192.0.2.1"),)))
    with pytest.raises(SubnetCollisionError, match=r"10\.0\.0\.0/16"):
        refuse(Host(routes=(route("10.0.0.0/16"),)))


@pytest.mark.parametrize("half", ["0.0.0.0/1", "0.0.0.0/0", "::/1"])
def test_the_default_routes_of_other_tunnels_are_no_networks(half: str) -> None:
    refuse(Host(routes=(route(half),)))


def test_the_network_in_which_the_server_is_may_have_the_same_addresses() -> None:
    host = Host(("eth0", "10.0.1.7/24"))
    refuse(host, "10.0.1.99")
    with pytest.raises(SubnetCollisionError):
        refuse(host, "192.0.2.99")
