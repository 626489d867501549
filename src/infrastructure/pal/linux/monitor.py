"""Watching the links, addresses and routes of this host.

The kernel's notifications only say when to look: what counts is whether the picture is another one. Routers
repeat their advertisements every few seconds, containers come and go, and none of that changes how this host
reaches the Internet.
"""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from typing import Final, TypeAlias

from application.network.routing.changes import NetworkChanges
from application.runtime.log import EventLog
from infrastructure.pal.linux.errors import NetworkError
from infrastructure.pal.linux.netlink import MainRoute, Netlink, open_netlink

# Ours: a cable that is plugged in is a link, some addresses and some routes within milliseconds. Longer than
# that burst, shorter than anybody notices.
SETTLE_S: Final = 0.25

# <linux/rtnetlink.h>: RTMGRP_LINK, RTMGRP_IPV4_IFADDR, RTMGRP_IPV4_ROUTE, RTMGRP_IPV6_IFADDR,
# RTMGRP_IPV6_ROUTE
_GROUPS: Final = 0x1 | 0x10 | 0x40 | 0x100 | 0x400

# Ours: a bounded share of the event loop, which carries the tunnel as well.
_NOTIFICATIONS_PER_WAKE_UP: Final = 64

# What this host looks like from where a packet leaves: addresses, routes, and the interfaces that carry.
_View: TypeAlias = frozenset[tuple[str, str] | MainRoute | str]


class LinkMonitor:
    """NetworkChanges; ``link_monitor`` makes one."""

    def __init__(self, netlink: Netlink, ignored: frozenset[str], log: EventLog, settle_s: float) -> None:
        self._netlink = netlink
        self._ignored = ignored
        self._log = log
        self._settle_s = settle_s
        self._known: _View = frozenset()
        self.notified = asyncio.Event()

    async def begin(self) -> None:
        """What is there now is not a change. Raises NetworkError."""
        self._known = await self._look()

    async def wait(self) -> None:
        """See NetworkChanges."""
        while True:
            await self.notified.wait()
            await asyncio.sleep(self._settle_s)
            self.notified.clear()
            try:
                view = await self._look()
            except asyncio.CancelledError:
                self.notified.set()
                raise
            except NetworkError as error:
                # Rather one change too many than one too few.
                self._log.warning("cannot see what has changed in the network", reason=str(error))
                return
            if view != self._known:
                self._known = view
                return

    async def _look(self) -> _View:
        routes = [
            route for route in await self._netlink.main_routes() if route.interface not in self._ignored
        ]
        # A container's end of a cable is no way out; the uplink is one, and comes and goes with its cable.
        uplinks = {route.interface for route in routes if route.is_default}
        carrying = [name for name in await self._netlink.links_that_carry() if name in uplinks]
        addresses = [
            address for address in await self._netlink.global_addresses() if address[0] not in self._ignored
        ]
        return frozenset([*routes, *addresses, *carrying])


@asynccontextmanager
async def link_monitor(
    ignoring: Iterable[str], log: EventLog, settle_s: float = SETTLE_S
) -> AsyncIterator[LinkMonitor]:
    """NetworkChanges of this thread's network namespace, from entry to exit.

    ``ignoring`` are the interfaces of the tunnel, whether they are there or not. ``log`` is told when the
    kernel does not show what has changed. Raises NetworkError.
    """
    loop = asyncio.get_running_loop()
    async with open_netlink() as netlink:
        monitor = LinkMonitor(netlink, frozenset({*ignoring, "lo"}), log, settle_s)
        # Before the first look: a change between the two is then looked at twice, and not overlooked.
        with _subscribed() as subscription:
            descriptor = subscription.fileno()
            loop.add_reader(descriptor, _drain, subscription, monitor.notified)
            try:
                await monitor.begin()
                yield monitor
            finally:
                loop.remove_reader(descriptor)


def _subscribed() -> socket.socket:
    """A socket that becomes readable when a link, an address or a route changes. Raises NetworkError."""
    subscription = socket.socket(
        socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.NETLINK_ROUTE
    )
    try:
        subscription.bind((0, _GROUPS))
    except OSError as exc:
        subscription.close()
        raise NetworkError(f"cannot watch the network: {exc.strerror}") from exc
    return subscription


def _drain(subscription: socket.socket, notified: asyncio.Event) -> None:
    """Take the notifications that wait, or the news that some were lost because there were too many."""
    notified.set()
    with suppress(OSError):
        for _ in range(_NOTIFICATIONS_PER_WAKE_UP):
            # What it says does not matter, and the kernel drops what does not fit.
            subscription.recv(1)


_: type[NetworkChanges] = LinkMonitor
