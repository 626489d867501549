"""Interfaces, addresses, routes and policy rules over netlink, each step one awaitable.

pyroute2 is imported when the first socket is opened, because ``tungo version`` should not pay for it. It
ships no types: the two Protocols below are all that we use of it.
"""

import errno
import os
import socket
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from enum import IntEnum
from functools import partial
from ipaddress import IPv4Interface, IPv4Network, IPv6Interface, ip_network
from typing import Concatenate, Final, Literal, ParamSpec, Protocol, TypeVar, overload

from domain.addressing.split import Network
from infrastructure.pal.linux.errors import NetworkError, NetworkRightsError
from infrastructure.pal.linux.pyroute import NetlinkLoop, netlink_loop, prepare_import

_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")

# <linux/if_addr.h>, <linux/fib_rules.h>, <linux/rtnetlink.h>
_IFA_F_NODAD: Final = 0x02
_IFA_F_NOPREFIXROUTE: Final = 0x200
_FIB_RULE_INVERT: Final = 0x02
_RTPROT_RA: Final = 9
_RTN_UNICAST: Final = 1
_RTN_THROW: Final = 9
_RT_SCOPE_LINK: Final = 253
# <linux/if.h>
_IFF_UP: Final = 0x1
_IFF_LOWER_UP: Final = 0x10000
MAIN_TABLE: Final = 254

# What may say where a route goes next: a gateway, one of the other family, several, or an object apart.
_NEXT_HOP_ATTRIBUTES: Final = ("RTA_GATEWAY", "RTA_VIA", "RTA_MULTIPATH", "RTA_NH_ID")

# IPv6 has no metric 0: it would become 1024.
_FIRST_CHOICE: Final = 1

# A listing that the kernel says was changed underneath is asked for again; on a busy router that happens.
_DUMP_ATTEMPTS: Final = 5


class Family(IntEnum):
    """An address family, as rtnetlink numbers it."""

    IPV4 = socket.AF_INET
    IPV6 = socket.AF_INET6

    @classmethod
    def of(cls, network: Network) -> "Family":
        """The family of the addresses of ``network``."""
        return cls.IPV4 if isinstance(network, IPv4Network) else cls.IPV6

    @property
    def everything(self) -> str:
        """The prefix of the default route."""
        return "0.0.0.0/0" if self is Family.IPV4 else "::/0"


@dataclass(frozen=True, slots=True)
class PolicyRule:
    """One line of ``ip rule``: which packets look up which table, smaller priorities first.

    ``unless_mark`` restricts the rule to packets without that mark; None applies it to all.
    ``ignore_default`` passes over the routes of the table that are as short as a default route.
    """

    priority: int
    table: int
    unless_mark: int | None = None
    ignore_default: bool = False


@dataclass(frozen=True, slots=True)
class MainRoute:
    """A route out of this host. ``via`` is what it says about the next hop, "" if there is none.

    ``interface`` is "" if it leads over several.
    """

    destination: Network
    interface: str
    via: str
    metric: int

    @property
    def is_default(self) -> bool:
        """Whether it leads everywhere."""
        return self.destination.prefixlen == 0


class _Message(Protocol):
    def __getitem__(self, field: str, /) -> object: ...

    def get_attr(self, name: str, /) -> object: ...


class _Socket(Protocol):
    async def __aenter__(self) -> "_Socket": ...

    async def __aexit__(self, kind: None, error: None, trace: None) -> None: ...

    @overload
    async def link(self, command: Literal["get", "set"], **fields: object) -> list[_Message]: ...

    @overload
    async def link(self, command: Literal["dump"]) -> AsyncIterable[_Message]: ...

    @overload
    async def addr(self, command: Literal["add"], **fields: object) -> list[_Message]: ...

    @overload
    async def addr(self, command: Literal["dump"]) -> AsyncIterable[_Message]: ...

    @overload
    async def route(self, command: Literal["add", "replace", "del"], **fields: object) -> list[_Message]: ...

    @overload
    async def route(self, command: Literal["dump"], **fields: object) -> AsyncIterable[_Message]: ...

    @overload
    async def rule(self, command: Literal["add", "del"], **fields: object) -> list[_Message]: ...

    @overload
    async def rule(self, command: Literal["dump"], **fields: object) -> AsyncIterable[_Message]: ...


def _on_the_netlink_loop(
    method: Callable[Concatenate["Netlink", _Arguments], Coroutine[None, None, _Result]],
) -> Callable[Concatenate["Netlink", _Arguments], Coroutine[None, None, _Result]]:
    """Have a public method run where the socket lives."""

    async def run(self: "Netlink", /, *args: _Arguments.args, **kwargs: _Arguments.kwargs) -> _Result:
        return await self.loop.run(method(self, *args, **kwargs))

    return run


class Netlink:
    """An open netlink socket; ``open_netlink`` makes one.

    Every method raises NetworkRightsError for want of CAP_NET_ADMIN and NetworkError for other refusals.
    """

    def __init__(self, netlink_socket: _Socket, loop: NetlinkLoop) -> None:
        self._socket = netlink_socket
        self.loop = loop

    @_on_the_netlink_loop
    async def set_mtu(self, interface: str, mtu_bytes: int) -> None:
        """Set the MTU and read it back: a driver may quietly choose another."""
        index = _index_of(interface)
        with _translated(f"set the MTU of {interface} to {mtu_bytes}"):
            await self._socket.link("set", index=index, mtu=mtu_bytes)
            [link] = await self._socket.link("get", index=index)
        actual = link.get_attr("IFLA_MTU")
        if actual != mtu_bytes:
            raise NetworkError(f"{interface} has MTU {actual} although {mtu_bytes} was set: change MTU")

    @_on_the_netlink_loop
    async def set_queue_length(self, interface: str, packets: int) -> None:
        """How many packets may wait in the interface for whoever takes them; more are dropped."""
        index = _index_of(interface)
        with _translated(f"set the queue length of {interface} to {packets}"):
            await self._socket.link("set", index=index, txqlen=packets)

    @_on_the_netlink_loop
    async def add_address(
        self, interface: str, address: IPv4Interface | IPv6Interface, *, subnet_route: bool
    ) -> None:
        """Give the interface an address; ``subnet_route`` also puts the route to its subnet in the main
        table.

        IPv6 skips duplicate address detection: on a point-to-point device it only delays.
        """
        index = _index_of(interface)
        flags = _IFA_F_NODAD if isinstance(address, IPv6Interface) else 0
        if not subnet_route:
            flags |= _IFA_F_NOPREFIXROUTE
        with _translated(f"give {interface} the address {address}"):
            await self._socket.addr(
                "add",
                index=index,
                address=str(address.ip),
                prefixlen=address.network.prefixlen,
                IFA_FLAGS=flags,
            )

    @_on_the_netlink_loop
    async def set_up(self, interface: str) -> None:
        """Set the interface up."""
        index = _index_of(interface)
        with _translated(f"set {interface} up"):
            await self._socket.link("set", index=index, state="up")

    @_on_the_netlink_loop
    async def add_route(
        self, interface: str, destination: Network, table: int, *, metric: int = _FIRST_CHOICE
    ) -> None:
        """Send what looks up ``table`` for ``destination`` into the interface; the smallest metric counts.

        The kernel deletes the route with the interface, and when the interface is set down.
        """
        index = _index_of(interface)
        with _translated(f"add a route to {destination} through {interface} to table {table}"):
            await self._socket.route(
                "add",
                family=Family.of(destination),
                dst=str(destination),
                oif=index,
                table=table,
                priority=metric,
            )

    @_on_the_netlink_loop
    async def add_passing_route(self, destination: Network, table: int) -> None:
        """Have what looks up ``table`` for ``destination`` go on to the next rule, as if there were no route.

        It belongs to no interface and stays until it is deleted. Adding one that is there changes nothing.
        """
        with _translated(f"add the route past table {table} to {destination}"):
            await self._socket.route(
                "replace", family=Family.of(destination), dst=str(destination), table=table, type=_RTN_THROW
            )

    @_on_the_netlink_loop
    async def delete_passing_route(self, destination: Network, table: int) -> None:
        """Take ``add_passing_route`` back; that there is none is no error."""
        with _translated(f"delete the route past table {table} to {destination}", but_not=errno.ESRCH):
            await self._socket.route(
                "del", family=Family.of(destination), dst=str(destination), table=table, type=_RTN_THROW
            )

    @_on_the_netlink_loop
    async def main_routes(self) -> list[MainRoute]:
        """The routes of the main table that lead out of this host, without those to link-local addresses."""
        names = dict(socket.if_nameindex())
        found: list[MainRoute] = []
        for family in Family:
            with _translated("list the routes of the main table"):
                messages = await _collect(partial(self._dump_main, family))
            found += (
                _main_route(message, family, names)
                for message in messages
                if message.get_attr("RTA_TABLE") == MAIN_TABLE and message["type"] == _RTN_UNICAST
            )
        return [route for route in found if not route.destination.is_link_local]

    @_on_the_netlink_loop
    async def global_addresses(self) -> list[tuple[str, str]]:
        """The addresses of this host that are not link-local, each with its interface's name in front."""
        names = dict(socket.if_nameindex())
        with _translated("list the addresses"):
            messages = await _collect(lambda: self._socket.addr("dump"))
        return [
            (
                names.get(_number(message["index"]), ""),
                f"{message.get_attr('IFA_ADDRESS')}/{message['prefixlen']}",
            )
            for message in messages
            if message["scope"] != _RT_SCOPE_LINK
        ]

    @_on_the_netlink_loop
    async def links_that_carry(self) -> list[str]:
        """The names of the interfaces that are up and connected."""
        with _translated("list the interfaces"):
            messages = await _collect(lambda: self._socket.link("dump"))
        carrying = _IFF_UP | _IFF_LOWER_UP
        return [
            str(message.get_attr("IFLA_IFNAME"))
            for message in messages
            if _number(message["flags"]) & carrying == carrying
        ]

    def _dump_main(self, family: Family) -> Awaitable[AsyncIterable[_Message]]:
        return self._socket.route("dump", family=family, table=MAIN_TABLE)

    @_on_the_netlink_loop
    async def has_routes(self, family: Family, table: int) -> bool:
        """Whether the table holds any route."""
        with _translated(f"list the routes of table {table}"):
            routes = await _collect(lambda: self._socket.route("dump", family=family, table=table))
        return any(m.get_attr("RTA_TABLE") == table for m in routes)

    @_on_the_netlink_loop
    async def interfaces_with_advertised_default(self) -> list[str]:
        """The interfaces through which a router advertisement gave this host an IPv6 default route."""
        with _translated("list the IPv6 default routes"):
            routes = await _collect(lambda: self._socket.route("dump", family=Family.IPV6))
        indexes = {m.get_attr("RTA_OIF") for m in routes if m["dst_len"] == 0 and m["proto"] == _RTPROT_RA}
        return sorted(name for i, name in socket.if_nameindex() if i in indexes)

    @_on_the_netlink_loop
    async def add_rule(self, family: Family, rule: PolicyRule) -> None:
        """Add the rule. The kernel refuses an equal one."""
        with _translated(f"add the routing rule {rule.priority}"):
            await self._socket.rule("add", family=family, **_rule_fields(rule))

    @_on_the_netlink_loop
    async def delete_rules(self, family: Family, rule: PolicyRule) -> None:
        """Delete every rule that is equal to this one; that there is none is no error."""
        with _translated(f"delete the routing rule {rule.priority}"):
            rules = await _collect(lambda: self._socket.rule("dump", family=family))
            for message in rules:
                if _rule_of(message) == rule:
                    await self._socket.rule("del", family=family, **_rule_fields(rule))

    @_on_the_netlink_loop
    async def rule_priorities(self, family: Family) -> list[int]:
        """The priorities of all rules of anybody."""
        with _translated("list the routing rules"):
            rules = await _collect(lambda: self._socket.rule("dump", family=family))
        return [_number(message.get_attr("FRA_PRIORITY")) for message in rules]


@asynccontextmanager
async def open_netlink() -> AsyncIterator[Netlink]:
    """A netlink socket in the network namespace of this thread, closed on exit."""
    prepare_import()
    from pyroute2.iproute.linux import AsyncIPRoute  # type: ignore[import-untyped]  # noqa: PLC0415  (no types; slow)

    async with netlink_loop() as loop:
        netlink_socket = await loop.run(_entered(AsyncIPRoute))
        try:
            yield Netlink(netlink_socket, loop)
        finally:
            await loop.run(netlink_socket.__aexit__(None, None, None))


def _index_of(interface: str) -> int:
    try:
        return socket.if_nametoindex(interface)
    except OSError as exc:
        raise NetworkError(f"there is no interface {interface}: somebody deleted it") from exc


def _rule_fields(rule: PolicyRule) -> dict[str, object]:
    fields: dict[str, object] = {"priority": rule.priority, "table": rule.table}
    if rule.unless_mark is not None:
        fields |= {"fwmark": rule.unless_mark, "flags": _FIB_RULE_INVERT}
    if rule.ignore_default:
        fields["FRA_SUPPRESS_PREFIXLEN"] = 0
    return fields


def _rule_of(message: _Message) -> PolicyRule | None:
    """The rule of a listing; None for one of a kind that is never ours."""
    mark = message.get_attr("FRA_FWMARK")
    if bool(mark) != (message["flags"] == _FIB_RULE_INVERT):
        return None
    return PolicyRule(
        priority=_number(message.get_attr("FRA_PRIORITY")),
        table=_number(message.get_attr("FRA_TABLE")),
        unless_mark=_number(mark) if mark else None,
        ignore_default=message.get_attr("FRA_SUPPRESS_PREFIXLEN") == 0,
    )


async def _entered(make: Callable[[], _Socket]) -> _Socket:
    """A socket made and opened on the running loop."""
    return await make().__aenter__()


async def _collect(dump: Callable[[], Awaitable[AsyncIterable[_Message]]]) -> list[_Message]:
    """The whole answer to a dump, asked again while the kernel reports that it changed underneath."""
    from pyroute2.netlink.exceptions import NetlinkDumpInterrupted  # type: ignore[import-untyped]  # noqa: PLC0415

    for _ in range(_DUMP_ATTEMPTS - 1):
        try:
            return [message async for message in await dump()]
        except NetlinkDumpInterrupted:
            continue
    return [message async for message in await dump()]


def _main_route(message: _Message, family: Family, names: Mapping[int, str]) -> MainRoute:
    destination = message.get_attr("RTA_DST")
    network = f"{destination}/{message['dst_len']}" if destination else family.everything
    next_hops = (message.get_attr(name) for name in _NEXT_HOP_ATTRIBUTES)
    return MainRoute(
        destination=ip_network(network),
        interface=names.get(_number(message.get_attr("RTA_OIF")), ""),
        via=" ".join(str(next_hop) for next_hop in next_hops if next_hop is not None),
        metric=_number(message.get_attr("RTA_PRIORITY")),
    )


def _number(value: object) -> int:
    """A field's value; 0 where it is not there."""
    return value if isinstance(value, int) else 0


@contextmanager
def _translated(action: str, *, but_not: int | None = None) -> Iterator[None]:
    """Turn pyroute2's and the socket's errors into ours; ``action`` completes "cannot ...".

    The error number ``but_not`` is no error.
    """
    from pyroute2.netlink.exceptions import NetlinkError  # noqa: PLC0415  (see the module docstring)

    try:
        yield
    except (NetlinkError, OSError) as exc:
        code: int = (exc.errno if isinstance(exc, OSError) else exc.code) or errno.EIO
        if code == but_not:
            return
        if code == errno.EPERM:
            raise NetworkRightsError(f"cannot {action}: run as root or with CAP_NET_ADMIN") from exc
        raise NetworkError(f"cannot {action}: {os.strerror(code)}") from exc
