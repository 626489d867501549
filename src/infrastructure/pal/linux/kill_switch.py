"""The kill switch: while it is on, nothing leaves this host beside the tunnel.

It is one nftables table. The kernel keeps it whatever becomes of the client, until ``unlock`` or a reboot; no
journal knows it, so that no clean-up takes it away by the way. What packets of this host may do, in this
order (those that it forwards for others may only enter the tunnel, answer from it, or stay on the local
networks)::

    loopback                                    accept
    our own marked sockets                      accept      they carry the tunnel
    into an interface of the tunnel             accept
    DHCP, neighbour and router discovery, MLD   accept      without them there is no uplink
    to a connected network                      accept      if the settings allow it
    anything else                               drop        answers to connections from outside, too

``accept`` here is no more than "not dropped by this table": other firewalls have their say as before. The
answers are dropped because they would be the way out for a server that an attacker makes this host run;
whoever administers it over SSH from a connected network keeps the connection, over the Internet not.

Packets of programs that make their own frames (AF_PACKET, for root only) pass no such table.
"""

import asyncio
from collections.abc import AsyncIterator, Collection, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, collapse_addresses
from typing import Final

from application.network.routing.changes import NetworkChanges
from application.runtime.log import EventLog
from domain.addressing.split import Network
from infrastructure.pal.linux.errors import ForeignNameError, NetworkError
from infrastructure.pal.linux.journal import Json
from infrastructure.pal.linux.netlink import MainRoute, Netlink
from infrastructure.pal.linux.nftables import Command, apply, has_chain, has_table

LOCK_TABLE: Final = "tungo_client_lock"

_FAMILY: Final = "inet"
_NAME: Final[Command] = {"family": _FAMILY, "name": LOCK_TABLE}
_TABLE: Final[dict[str, Json]] = {"family": _FAMILY, "table": LOCK_TABLE}
_SEAL: Final = "made_by_tungo"  # an empty chain: without it, the table is somebody else's
# The first command fails, and with it all of them, if the table has been replaced by another meanwhile.
_REMOVAL: Final[tuple[Command, ...]] = (
    {"delete": {"chain": {**_TABLE, "name": _SEAL}}},
    {"delete": {"table": _NAME}},
)
_OUTPUT: Final = "leaving"
_FORWARD: Final = "passing_through"
_TUNNELS: Final = "tunnels"
_IPV4_NETWORKS: Final = "local_ipv4"
_IPV6_NETWORKS: Final = "local_ipv6"

# Priority of nft(8): `filter`. Address translation has been done by then, so it is where packets really go
# that counts.
_FILTER: Final = 0

# RFC 2131 section 4.1, RFC 8415 section 7.2: the ports of a client and of its servers. Only root binds the
# first.
_DHCP_PORTS: Final = (("ipv4", 68, 67), ("ipv6", 546, 547))

# RFC 4861 section 7.1: a greater distance than one link shows in the hop limit. RFC 2710 and RFC 3810:
# switches that look at MLD deliver the questions of neighbours only to hosts that have reported.
_NEIGHBOUR_DISCOVERY: Final = ("nd-router-solicit", "nd-neighbor-solicit", "nd-neighbor-advert")
_MULTICAST_MEMBERSHIP: Final = ("mld-listener-report", "mld-listener-done", "mld2-listener-report")

# Never routed: link-local addresses, and groups of the link and of the site (RFC 2365, RFC 4291 section 2.7).
_ALWAYS_LOCAL: Final[tuple[Network, ...]] = (
    IPv4Network("169.254.0.0/16"),
    IPv4Network("224.0.0.0/24"),
    IPv4Network("239.255.0.0/16"),
    IPv4Network("255.255.255.255/32"),
    IPv6Network("fe80::/10"),
    IPv6Network("ff02::/16"),
    IPv6Network("ff05::/16"),
)

# RFC 1918, RFC 4193.
_PRIVATE: Final[tuple[Network, ...]] = (
    IPv4Network("10.0.0.0/8"),
    IPv4Network("172.16.0.0/12"),
    IPv4Network("192.168.0.0/16"),
    IPv6Network("fc00::/7"),
)

# Ours: a connected network with public addresses is no larger than this, unless a DHCP server lies to draw
# what is meant for the Internet past the tunnel.
_LARGEST_PUBLIC: Final = {4: 16, 6: 48}


@dataclass(frozen=True, slots=True)
class Lock:
    """What the kill switch lets through.

    ``mark`` is the firewall mark of our own sockets, ``interfaces`` are those of the tunnel, whether they are
    there at the moment or not. Without ``allow_lan`` not even connected networks can be reached.
    """

    mark: int
    interfaces: tuple[str, ...]
    allow_lan: bool


async def lock(rules: Lock, local_networks: Iterable[Network] = ()) -> None:
    """Switch it on; where it is on, new rules take the place of the old in one transaction, without a gap.

    ``local_networks`` are those that the host is connected to. Raises NftMissingError, NftablesError,
    ForeignNameError if another program has a table of this name.
    """
    await is_locked()  # or the table is somebody else's
    # What is there stays: were the chains deleted and made anew, even in one transaction, packets that are on
    # their way through the host at that moment would meet neither the old nor the new ones.
    local = _local_networks(local_networks) if rules.allow_lan else _no_local_networks()
    await apply([*_frame(), *_rules(rules), *local])


async def unlock() -> bool:
    """Switch it off; False if it was not on. Raises NftMissingError, NftablesError, ForeignNameError."""
    was_locked = await is_locked()
    if was_locked:
        await apply(_REMOVAL)
    return was_locked


async def is_locked() -> bool:
    """Whether it is on. Raises NftMissingError, NftablesError, ForeignNameError."""
    if not await has_table(LOCK_TABLE):
        return False
    if not await has_chain(LOCK_TABLE, _SEAL):
        raise ForeignNameError(
            f"somebody else has a firewall table {_FAMILY} {LOCK_TABLE}: rename or remove it, "
            f"for instance with `nft delete table {_FAMILY} {LOCK_TABLE}`"
        )
    return True


@asynccontextmanager
async def locked(
    rules: Lock, netlink: Netlink, changes: NetworkChanges, log: EventLog
) -> AsyncIterator[None]:
    """On from the entry on, and still on after the exit; inside it follows the networks that the host is in.

    ``changes`` are for nobody else to wait for. Raises NftMissingError, NftablesError, NetworkError, all of
    them on entry: a network that cannot be added later is logged and stays out of reach.
    """
    await lock(rules, await connected_networks(netlink, rules.interfaces) if rules.allow_lan else ())
    if not rules.allow_lan:
        yield
        return
    following = asyncio.ensure_future(_follow(rules, netlink, changes, log))
    try:
        yield
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)


async def connected_networks(netlink: Netlink, but_not_on: Collection[str]) -> list[Network]:
    """The networks that this host reaches without a router, without those of its own tunnel.

    Raises NetworkError.
    """
    routes = await netlink.main_routes()
    return [route.destination for route in routes if route.interface not in but_not_on and _is_local(route)]


async def _follow(rules: Lock, netlink: Netlink, changes: NetworkChanges, log: EventLog) -> None:
    while True:
        await changes.wait()
        try:
            await apply(_local_networks(await connected_networks(netlink, rules.interfaces)))
        except NetworkError as error:
            log.warning("the kill switch does not know the new local network", reason=str(error))


def _is_local(route: MainRoute) -> bool:
    network = route.destination
    if route.via or route.is_default:
        return False
    return network.prefixlen >= _LARGEST_PUBLIC[network.version] or any(
        network.prefixlen >= private.prefixlen and network.network_address in private for private in _PRIVATE
    )


def _frame() -> list[Command]:
    """The table with its empty chains and sets; adding what is there changes nothing."""
    return [
        {"add": {"table": _NAME}},
        {"add": {"chain": {**_TABLE, "name": _SEAL}}},
        _set(_TUNNELS, "ifname"),
        _set(_IPV4_NETWORKS, "ipv4_addr", flags=["interval"]),
        _set(_IPV6_NETWORKS, "ipv6_addr", flags=["interval"]),
        _chain(_OUTPUT, "output"),
        _chain(_FORWARD, "forward"),
    ]


def _rules(rules: Lock) -> list[Command]:
    """All rules, in place of those that are there."""
    return [
        {"flush": {"chain": {**_TABLE, "name": _OUTPUT}}},
        {"flush": {"chain": {**_TABLE, "name": _FORWARD}}},
        *_members(_TUNNELS, rules.interfaces),
        _accept(_OUTPUT, _is("oifname", "lo")),
        _accept(_OUTPUT, _is("mark", rules.mark)),
        _accept(_OUTPUT, _is("oifname", f"@{_TUNNELS}")),
        *(
            _accept(
                _OUTPUT, _is("nfproto", family), _field("udp", "sport", own), _field("udp", "dport", theirs)
            )
            for family, own, theirs in _DHCP_PORTS
        ),
        _accept(_OUTPUT, *_icmpv6(_NEIGHBOUR_DISCOVERY, hop_limit=255)),
        _accept(_OUTPUT, *_icmpv6(_MULTICAST_MEMBERSHIP, hop_limit=1)),
        *_accept_local_networks(_OUTPUT),
        _accept(_FORWARD, _is("oifname", f"@{_TUNNELS}")),
        # Not whatever comes out of the tunnel: this host is no router for those on the other side.
        _accept(_FORWARD, _is("iifname", f"@{_TUNNELS}"), _established()),
        *_accept_local_networks(_FORWARD),
    ]


def _local_networks(networks: Iterable[Network]) -> list[Command]:
    """``networks`` and what is always local, in place of what is in the sets."""
    wanted = [*networks, *_ALWAYS_LOCAL]
    ipv4 = collapse_addresses(network for network in wanted if isinstance(network, IPv4Network))
    ipv6 = collapse_addresses(network for network in wanted if isinstance(network, IPv6Network))
    return [
        *_members(_IPV4_NETWORKS, [*map(_prefix, ipv4)]),
        *_members(_IPV6_NETWORKS, [*map(_prefix, ipv6)]),
    ]


def _no_local_networks() -> list[Command]:
    return [*_members(_IPV4_NETWORKS, ()), *_members(_IPV6_NETWORKS, ())]


def _members(set_name: str, members: Sequence[Json]) -> list[Command]:
    """What the set holds, in place of what is in it."""
    commands: list[Command] = [{"flush": {"set": {**_TABLE, "name": set_name}}}]
    if members:
        commands.append({"add": {"element": {**_TABLE, "name": set_name, "elem": members}}})
    return commands


def _set(name: str, kind: str, **more: Json) -> Command:
    return {"add": {"set": {**_TABLE, "name": name, "type": kind, **more}}}


def _chain(name: str, hook: str) -> Command:
    kind: dict[str, Json] = {"type": "filter", "hook": hook, "prio": _FILTER, "policy": "drop"}
    return {"add": {"chain": {**_TABLE, "name": name, **kind}}}


def _accept(chain: str, *conditions: Json) -> Command:
    return {"add": {"rule": {**_TABLE, "chain": chain, "expr": [*conditions, {"accept": None}]}}}


def _accept_local_networks(chain: str) -> list[Command]:
    """Nothing is in the sets unless the settings allow it."""
    return [
        _accept(chain, _field("ip", "daddr", f"@{_IPV4_NETWORKS}")),
        _accept(chain, _field("ip6", "daddr", f"@{_IPV6_NETWORKS}")),
    ]


def _is(key: str, value: Json) -> Json:
    return {"match": {"op": "==", "left": {"meta": {"key": key}}, "right": value}}


def _field(protocol: str, field: str, value: Json) -> Json:
    return {
        "match": {"op": "==", "left": {"payload": {"protocol": protocol, "field": field}}, "right": value}
    }


def _icmpv6(types: Sequence[str], *, hop_limit: int) -> list[Json]:
    return [_field("icmpv6", "type", {"set": list(types)}), _field("ip6", "hoplimit", hop_limit)]


def _established() -> Json:
    return {"match": {"op": "in", "left": {"ct": {"key": "state"}}, "right": "established"}}


def _prefix(network: Network) -> Json:
    return {"prefix": {"addr": str(network.network_address), "len": network.prefixlen}}
