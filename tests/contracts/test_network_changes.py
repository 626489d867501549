"""What NetworkChanges promises, asked of the fake and of a real host in a network namespace."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Final, Protocol, TypeVar

import pytest

from application.network.routing.changes import NetworkChanges
from infrastructure.pal.linux.monitor import link_monitor
from tests.adapters.log import RememberingLog
from tests.adapters.network_changes import FakeNetworkSurroundings
from tests.netns.bed import NetnsBed
from tests.netns.uplink import NEIGHBOUR, Uplink

_T = TypeVar("_T")

SETTLE_S: Final = 0.03
TUNNEL: Final = "c_udptun0"


class Host(Protocol):
    """Where the changes happen."""

    def run(self, scenario: Callable[[], Coroutine[None, None, _T]]) -> _T:
        """What the coroutine function returns or raises, on an event loop in the host."""
        ...

    def watched(self) -> AbstractAsyncContextManager[NetworkChanges]:
        """Its changes, within ``run``."""
        ...

    def take_address(self) -> None:
        """The host gets a second address on its uplink."""
        ...

    def give_address_back(self) -> None:
        """Undo ``take_address``."""
        ...

    def lose_default_route(self) -> None:
        """The host knows no way to the Internet any more."""
        ...


class FakeHost:
    """The ways out that FakeNetworkSurroundings is told."""

    def __init__(self) -> None:
        self._ways_out = {"192.0.2.2", "default"}
        self._changes = FakeNetworkSurroundings(*self._ways_out)

    def run(self, scenario: Callable[[], Coroutine[None, None, _T]]) -> _T:
        return asyncio.run(scenario())

    @asynccontextmanager
    async def watched(self) -> AsyncIterator[NetworkChanges]:
        yield self._changes

    def take_address(self) -> None:
        self._ways_out.add("192.0.2.3")
        self._changes.become(*self._ways_out)

    def give_address_back(self) -> None:
        self._ways_out.remove("192.0.2.3")
        self._changes.become(*self._ways_out)

    def lose_default_route(self) -> None:
        self._ways_out.remove("default")
        self._changes.become(*self._ways_out)


class NamespaceHost:
    """A namespace with an uplink."""

    def __init__(self, bed: NetnsBed) -> None:
        self._uplink = Uplink(bed)

    def run(self, scenario: Callable[[], Coroutine[None, None, _T]]) -> _T:
        return self._uplink.host.call_async(scenario)

    def watched(self) -> AbstractAsyncContextManager[NetworkChanges]:
        return link_monitor({TUNNEL}, RememberingLog(), SETTLE_S)

    def take_address(self) -> None:
        self._uplink.host.run("ip", "addr", "add", "192.0.2.3/24", "dev", self._uplink.interface)

    def give_address_back(self) -> None:
        self._uplink.host.run("ip", "addr", "del", "192.0.2.3/24", "dev", self._uplink.interface)

    def lose_default_route(self) -> None:
        self._uplink.host.run("ip", "route", "del", "default", "via", NEIGHBOUR)


@pytest.fixture(params=["fake", pytest.param("linux", marks=pytest.mark.netns)])
def host(request: pytest.FixtureRequest) -> Host:
    if request.param == "fake":
        return FakeHost()
    bed = request.getfixturevalue("bed")
    assert isinstance(bed, NetnsBed)
    return NamespaceHost(bed)


async def noticed(changes: NetworkChanges) -> bool:
    """Whether a change is reported that has happened."""
    return await reported(changes, within_s=2)


async def reported(changes: NetworkChanges, within_s: float) -> bool:
    try:
        async with asyncio.timeout(within_s):
            await changes.wait()
    except TimeoutError:
        return False
    return True


async def silent(changes: NetworkChanges) -> bool:
    """Whether nothing is reported for a while."""
    return not await reported(changes, within_s=4 * SETTLE_S)


def test_nothing_is_reported_while_nothing_changes(host: Host) -> None:
    async def scenario() -> None:
        async with host.watched() as changes:
            assert await silent(changes)

    host.run(scenario)


def test_each_change_is_reported_once_waited_for_or_not(host: Host) -> None:
    async def scenario() -> None:
        async with host.watched() as changes:
            host.take_address()
            assert await noticed(changes)
            assert await silent(changes)
            waiting = asyncio.ensure_future(noticed(changes))
            await asyncio.sleep(0)
            host.give_address_back()
            assert await waiting
            assert await silent(changes)

    host.run(scenario)


def test_a_burst_is_one_change(host: Host) -> None:
    async def scenario() -> None:
        async with host.watched() as changes:
            host.take_address()
            host.lose_default_route()
            assert await noticed(changes)
            assert await silent(changes)

    host.run(scenario)


def test_what_is_as_before_after_a_burst_is_no_change(host: Host) -> None:
    async def scenario() -> None:
        async with host.watched() as changes:
            host.take_address()
            host.give_address_back()
            assert await silent(changes)
            host.lose_default_route()
            assert await noticed(changes)

    host.run(scenario)


def test_what_has_been_reported_counts_as_known(host: Host) -> None:
    async def scenario() -> None:
        async with host.watched() as changes:
            host.take_address()
            assert await noticed(changes)
            host.give_address_back()
            assert await noticed(changes)

    host.run(scenario)


def test_cancelling_loses_no_change(host: Host) -> None:
    async def scenario() -> None:
        async with host.watched() as changes:
            waiting = asyncio.ensure_future(changes.wait())
            await asyncio.sleep(0)
            waiting.cancel()
            host.take_address()
            await asyncio.gather(waiting, return_exceptions=True)
            assert waiting.cancelled()
            assert await noticed(changes)

    host.run(scenario)
