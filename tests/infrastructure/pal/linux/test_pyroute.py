"""Netlink works on an event loop that knows no netlink, and takes no more of pyroute2 than it needs."""

import asyncio
import subprocess
import sys
import threading

import pytest
import uvloop

from infrastructure.pal.linux.errors import NetworkError
from infrastructure.pal.linux.netlink import Family, PolicyRule, open_netlink
from infrastructure.pal.linux.pyroute import netlink_loop
from tests.netns.bed import NetnsBed

RULE = PolicyRule(priority=31000, table=31000, unless_mark=7)

LEAN_IMPORT = """
import asyncio, sys
from infrastructure.pal.linux.netlink import open_netlink

async def run():
    async with open_netlink():
        pass

asyncio.run(run())
unwanted = {"sqlite3", "pyroute2.ndb", "pyroute2.ipdb"} & set(sys.modules)
sys.exit(f"imported: {sorted(unwanted)}" if unwanted else 0)
"""


@pytest.mark.netns
def test_netlink_works_below_uvloop(bed: NetnsBed) -> None:
    namespace = bed.namespace("uvloop")

    async def run() -> None:
        async with open_netlink() as netlink:
            await netlink.set_up("lo")
            await netlink.add_rule(Family.IPV4, RULE)
            with pytest.raises(NetworkError, match="no interface absent0"):
                await netlink.set_up("absent0")

    def main() -> None:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(run())

    namespace.call(main)
    assert "lookup 31000" in namespace.run("ip", "rule")


def test_a_loop_of_its_own_carries_results_errors_and_cancellation_and_ends() -> None:
    threads: list[str] = []

    async def result() -> int:
        threads.append(threading.current_thread().name)
        return 42

    async def error() -> None:
        raise NetworkError("refused")

    async def run() -> None:
        async with netlink_loop() as loop:
            assert await loop.run(result()) == 42
            with pytest.raises(NetworkError, match="refused"):
                await loop.run(error())
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.01):
                    await loop.run(asyncio.sleep(60))

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run())
    assert threads == ["netlink"]
    assert "netlink" not in {thread.name for thread in threading.enumerate()}


def test_an_asyncio_loop_needs_no_other() -> None:
    async def here() -> str:
        return threading.current_thread().name

    async def run() -> str:
        async with netlink_loop() as loop:
            return await loop.run(here())

    assert asyncio.run(run()) == threading.current_thread().name


def test_the_whole_of_pyroute2_is_not_imported() -> None:
    subprocess.run([sys.executable, "-c", LEAN_IMPORT], check=True, timeout=30)
