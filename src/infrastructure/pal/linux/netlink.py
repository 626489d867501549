"""Interfaces, addresses, routes and policy rules over netlink, each step one awaitable.

pyroute2 is imported when the first socket is opened, because ``tungo version`` should not pay for it. It
ships no types: the two Protocols below are all that we use of it.
"""

import errno
import os
import socket
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from enum import IntEnum
from ipaddress import IPv4Interface, IPv6Interface
from typing import Concatenate, Final, Literal, ParamSpec, Protocol, TypeVar, overload

from infrastructure.pal.linux.errors import NetworkError, NetworkRightsError
from infrastructure.pal.linux.pyroute import NetlinkLoop, netlink_loop, prepare_import

_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")

# <linux/if_addr.h>, <linux/fib_rules.h>, <linux/rtnetlink.h>
_IFA_F_NODAD: Final = 0x02
_IFA_F_NOPREFIXROUTE: Final = 0x200
_FIB_RULE_INVERT: Final = 0x02
_RTPROT_RA: Final = 9
MAIN_TABLE: Final = 254

# IPv6 has no metric 0: it would become 1024.
_FIRST_CHOICE: Final = 1

# A listing that the kernel says was changed underneath is asked for again; on a busy router that happens.
_DUMP_ATTEMPTS: Final = 5


class Family(IntEnum):
    """An address family, as rtnetlink numbers it."""

    IPV4 = socket.AF_INET
    IPV6 = socket.AF_INET6

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


class _Message(Protocol):
    def __getitem__(self, field: str, /) -> object: ...

    def get_attr(self, name: str, /) -> object: ...


class _Socket(Protocol):
    async def __aenter__(self) -> "_Socket": ...

    async def __aexit__(self, kind: None, error: None, trace: None) -> None: ...

    async def link(self, command: Literal["get", "set"], **fields: object) -> list[_Message]: ...

    async def link_lookup(self, **match: object) -> list[int]: ...

    async def addr(self, command: Literal["add"], **fields: object) -> list[_Message]: ...

    @overload
    async def route(self, command: Literal["add"], **fields: object) -> list[_Message]: ...

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
        index = await self._index_of(interface)
        with _translated(f"set the MTU of {interface} to {mtu_bytes}"):
            await self._socket.link("set", index=index, mtu=mtu_bytes)
            [link] = await self._socket.link("get", index=index)
        actual = link.get_attr("IFLA_MTU")
        if actual != mtu_bytes:
            raise NetworkError(f"{interface} has MTU {actual} although {mtu_bytes} was set: change MTU")

    @_on_the_netlink_loop
    async def add_address(
        self, interface: str, address: IPv4Interface | IPv6Interface, *, subnet_route: bool
    ) -> None:
        """Give the interface an address; ``subnet_route`` also puts the route to its subnet in the main
        table.

        IPv6 skips duplicate address detection: on a point-to-point device it only delays.
        """
        index = await self._index_of(interface)
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
        index = await self._index_of(interface)
        with _translated(f"set {interface} up"):
            await self._socket.link("set", index=index, state="up")

    @_on_the_netlink_loop
    async def add_default_route(
        self, interface: str, family: Family, table: int, *, metric: int = _FIRST_CHOICE
    ) -> None:
        """Send what looks up ``table`` into the interface; of several routes the smallest metric counts.

        The kernel deletes the route with the interface, and when the interface is set down.
        """
        index = await self._index_of(interface)
        with _translated(f"add a default route through {interface} to table {table}"):
            await self._socket.route(
                "add", family=family, dst=family.everything, oif=index, table=table, priority=metric
            )

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
        fields: dict[str, object] = {}
        if rule.unless_mark is not None:
            fields |= {"fwmark": rule.unless_mark, "flags": _FIB_RULE_INVERT}
        if rule.ignore_default:
            fields["FRA_SUPPRESS_PREFIXLEN"] = 0
        with _translated(f"add the routing rule {rule.priority}"):
            await self._socket.rule("add", family=family, priority=rule.priority, table=rule.table, **fields)

    @_on_the_netlink_loop
    async def delete_rules(self, family: Family, rule: PolicyRule) -> None:
        """Delete every rule with this rule's priority and table; that there is none is no error."""
        with _translated(f"delete the routing rule {rule.priority}"):
            rules = await _collect(lambda: self._socket.rule("dump", family=family))
            for message in rules:
                if (message.get_attr("FRA_PRIORITY"), message.get_attr("FRA_TABLE")) == (
                    rule.priority,
                    rule.table,
                ):
                    await self._socket.rule("del", family=family, priority=rule.priority, table=rule.table)

    async def _index_of(self, interface: str) -> int:
        with _translated(f"find the interface {interface}"):
            indexes = await self._socket.link_lookup(ifname=interface)
        if not indexes:
            raise NetworkError(f"there is no interface {interface}: somebody deleted it")
        return indexes[0]


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


@contextmanager
def _translated(action: str) -> Iterator[None]:
    """Turn pyroute2's and the socket's errors into ours; ``action`` completes "cannot ..."."""
    from pyroute2.netlink.exceptions import NetlinkError  # noqa: PLC0415  (see the module docstring)

    try:
        yield
    except (NetlinkError, OSError) as exc:
        code: int = (exc.errno if isinstance(exc, OSError) else exc.code) or errno.EIO
        if code == errno.EPERM:
            raise NetworkRightsError(f"cannot {action}: run as root or with CAP_NET_ADMIN") from exc
        raise NetworkError(f"cannot {action}: {os.strerror(code)}") from exc
