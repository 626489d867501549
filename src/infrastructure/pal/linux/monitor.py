"""Watching the links, addresses and routes of this host.

The kernel's notifications only say when to look: what counts is whether the picture is another one. Routers
repeat their advertisements every few seconds, containers come and go, and none of that changes how this host
reaches the Internet.
"""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Final, Protocol, TypeAlias

from application.network.routing.changes import NetworkChanges
from application.runtime.log import EventLog
from infrastructure.pal.linux.errors import NetworkError
from infrastructure.pal.linux.netlink import MainRoute, Netlink, open_netlink
from infrastructure.pal.linux.pyroute import prepare_import

# Ours: a cable that is plugged in is a link, some addresses and some routes within milliseconds. Longer than
# that burst, shorter than anybody notices.
SETTLE_S: Final = 0.25

# <linux/rtnetlink.h>: RTMGRP_LINK, RTMGRP_IPV4_IFADDR, RTMGRP_IPV4_ROUTE, RTMGRP_IPV6_IFADDR,
# RTMGRP_IPV6_ROUTE
_GROUPS: Final = 0x1 | 0x10 | 0x40 | 0x100 | 0x400

# What this host looks like from where a packet leaves: addresses, routes, and the interfaces that carry.
_View: TypeAlias = frozenset[tuple[str, str] | MainRoute | str]


class _Subscription(Protocol):
    async def __aenter__(self) -> "_Subscription": ...

    async def __aexit__(self, kind: None, error: None, trace: None) -> None: ...

    async def bind(self, groups: int) -> None: ...

    def get(self) -> AsyncIterable[object]: ...


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
    async with open_netlink() as netlink:
        monitor = LinkMonitor(netlink, frozenset({*ignoring, "lo"}), log, settle_s)
        loop = asyncio.get_running_loop()
        # Before the first look: a change between the two is then looked at twice, and not overlooked.
        subscription = await netlink.loop.run(_subscribed())
        listening = asyncio.ensure_future(
            netlink.loop.run(_listen(subscription, lambda: loop.call_soon_threadsafe(monitor.notified.set)))
        )
        try:
            await monitor.begin()
            yield monitor
        finally:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)
            await netlink.loop.run(subscription.__aexit__(None, None, None))


async def _subscribed() -> _Subscription:
    prepare_import()
    from pyroute2.iproute.linux import (  # type: ignore[import-untyped]  # noqa: PLC0415  (see netlink)
        AsyncIPRoute,
    )

    subscription: _Subscription = await AsyncIPRoute().__aenter__()
    await subscription.bind(groups=_GROUPS)
    return subscription


async def _listen(subscription: _Subscription, notify: Callable[[], object]) -> None:
    """Call ``notify`` for every notification, and when some were lost because there were too many."""
    from pyroute2.netlink.exceptions import NetlinkError  # type: ignore[import-untyped]  # noqa: PLC0415

    while True:
        try:
            async for _ in subscription.get():
                notify()
        except (NetlinkError, OSError):
            notify()


_: type[NetworkChanges] = LinkMonitor
