"""Which changes of a real host count: those of its ways out, and no others."""

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

import pytest
import uvloop

from infrastructure.pal.linux.errors import NetworkError
from infrastructure.pal.linux.monitor import LinkMonitor, link_monitor
from infrastructure.pal.linux.netlink import Netlink
from tests.adapters.log import RememberingLog
from tests.netns.bed import NetnsBed
from tests.netns.uplink import NEIGHBOUR, NEIGHBOUR_V6, Uplink

pytestmark = pytest.mark.netns

TUNNEL: Final = "c_udptun0"
SETTLE_S: Final = 0.03
# How long a change may take to be reported: the kernel needs up to a second to tell that a cable is out, and
# tells of anything late while it removes the namespaces of earlier tests.
PATIENCE_S: Final = 10.0
QUIET_S: Final = 5 * SETTLE_S  # how long nothing has to be reported to say that nothing is
MANY: Final = 2500


@pytest.fixture
def uplink(bed: NetnsBed) -> Uplink:
    return Uplink(bed)


def watch(uplink: Uplink, *steps: tuple[str, bool]) -> None:
    """Take each step (``ip`` commands, with a semicolon between), which has to be reported or not."""

    async def scenario() -> None:
        async with link_monitor({TUNNEL}, RememberingLog(), SETTLE_S) as changes:
            for step, is_change in steps:
                within_s = PATIENCE_S if is_change else QUIET_S
                reported = await reported_after(changes, uplink, step.split(";"), within_s)
                assert (step, reported) == (step, is_change)

    uplink.host.call_async(scenario)


async def reported_after(
    changes: LinkMonitor, uplink: Uplink, commands: Iterable[str], within_s: float = PATIENCE_S
) -> bool:
    for command in commands:
        uplink.host.run("ip", *command.format(uplink=uplink.interface).split())
    with suppress(TimeoutError):
        async with asyncio.timeout(within_s):
            await changes.wait()
            return True
    return False


@pytest.mark.parametrize(
    "step",
    [
        pytest.param("addr add 192.0.2.9/24 dev {uplink}", id="an address comes"),
        pytest.param("addr del 192.0.2.2/24 dev {uplink}", id="the address goes"),
        pytest.param("-6 addr add 2001:db8::9/64 dev {uplink} nodad", id="an IPv6 address comes"),
        pytest.param("-6 addr del 2001:db8::2/64 dev {uplink}", id="the IPv6 address goes"),
        pytest.param("route del default", id="the default route goes"),
        pytest.param("-6 route del default", id="the IPv6 default route goes"),
        pytest.param("route replace default via 192.0.2.77", id="another gateway"),
        pytest.param("route add default via 192.0.2.77 metric 50", id="a second gateway"),
        pytest.param("-6 route replace default via 2001:db8::77", id="another IPv6 gateway"),
        pytest.param("route add 10.9.0.0/16 dev {uplink}", id="a connected network"),
        pytest.param("link set {uplink} down", id="the link goes down"),
    ],
)
def test_a_change_of_a_way_out_is_reported(uplink: Uplink, step: str) -> None:
    watch(uplink, (step, True))


def test_a_cable_that_is_pulled_and_plugged_in_is_two_changes(uplink: Uplink) -> None:
    async def scenario() -> list[bool]:
        async with link_monitor({TUNNEL}, RememberingLog(), SETTLE_S) as changes:
            seen = []
            for state in ("down", "up"):
                uplink.gateway.run("ip", "link", "set", "veth0r", state)
                seen.append(await reported_after(changes, uplink, ()))
            return seen

    assert uplink.host.call_async(scenario) == [True, True]


@pytest.mark.parametrize(
    "step",
    [
        pytest.param(
            f"tuntap add dev {TUNNEL} mode tun;addr add 10.0.1.2/24 dev {TUNNEL};link set {TUNNEL} up;"
            f"route add 10.66.0.0/16 dev {TUNNEL}",
            id="the tunnel comes up",
        ),
        pytest.param(
            "link add container0 type veth peer name container1;link set container0 up", id="a container"
        ),
        pytest.param("route add default dev {uplink} table 51830", id="a route in another table"),
        pytest.param("rule add priority 100 table 51830", id="a rule"),
        pytest.param("addr add 127.0.0.9/8 dev lo", id="an address of the loopback interface"),
        pytest.param("-6 addr add fe80::9/64 dev {uplink} nodad", id="a link-local address"),
        pytest.param("link set {uplink} mtu 1400;link set {uplink} mtu 1500", id="another MTU"),
        pytest.param("neigh add 192.0.2.44 lladdr 02:00:00:00:00:01 dev {uplink}", id="a neighbour"),
        pytest.param("route change default via {gateway} mtu 1300", id="the same gateway"),
        pytest.param(
            "-6 addr change 2001:db8::2/64 dev {uplink} valid_lft 600 preferred_lft 500", id="a lifetime"
        ),
    ],
)
def test_what_is_no_way_out_is_not_reported(uplink: Uplink, step: str) -> None:
    uplink.host.run("ip", "link", "set", "lo", "up")
    watch(uplink, (step.replace("{gateway}", NEIGHBOUR), False), ("route del default", True))


def test_a_default_route_over_several_gateways_is_one_way_out_until_a_gateway_changes(uplink: Uplink) -> None:
    touch = "link set {uplink} mtu 1400;link set {uplink} mtu 1500"
    watch(
        uplink,
        ("route replace default nexthop via 192.0.2.77 nexthop via 192.0.2.78", True),
        (touch, False),
        ("route replace default nexthop via 192.0.2.77 nexthop via 192.0.2.79", True),
        (touch, False),
    )


def test_below_uvloop_it_works_in_a_thread_of_its_own(uplink: Uplink) -> None:
    async def scenario() -> bool:
        async with link_monitor({TUNNEL}, RememberingLog(), SETTLE_S) as changes:
            waiting = asyncio.ensure_future(changes.wait())
            await asyncio.sleep(SETTLE_S)
            assert not waiting.done()
            uplink.host.run("ip", "-6", "route", "replace", "default", "via", NEIGHBOUR_V6, "metric", "7")
            async with asyncio.timeout(PATIENCE_S):
                await waiting
            return True

    def main() -> bool:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(scenario())

    assert uplink.host.call(main)


@pytest.mark.parametrize("step", ["main_routes", "links_that_carry", "global_addresses"])
def test_cancelling_in_the_middle_of_a_look_loses_no_change(
    uplink: Uplink, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    async def scenario() -> bool:
        looking = asyncio.Event()

        async def stuck(_: Netlink) -> None:
            looking.set()
            await asyncio.Event().wait()

        async with link_monitor({TUNNEL}, RememberingLog(), SETTLE_S) as changes:
            with monkeypatch.context() as patch:
                patch.setattr(Netlink, step, stuck)
                uplink.host.run("ip", "route", "del", "default")
                waiting = asyncio.ensure_future(changes.wait())
                await looking.wait()
                waiting.cancel()
                await asyncio.gather(waiting, return_exceptions=True)
                assert waiting.cancelled()
            return await reported_after(changes, uplink, ())

    assert uplink.host.call_async(scenario)


def test_cancelling_while_a_burst_settles_loses_no_change(uplink: Uplink) -> None:
    async def scenario() -> bool:
        async with link_monitor({TUNNEL}, RememberingLog(), SETTLE_S) as changes:
            uplink.host.run("ip", "route", "del", "default")
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(SETTLE_S / 2):
                    await changes.wait()
            return await reported_after(changes, uplink, ())

    assert uplink.host.call_async(scenario)


def test_when_the_kernel_does_not_show_what_has_changed_it_counts_as_a_change(
    uplink: Uplink, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(_: Netlink) -> None:
        raise NetworkError("cannot list the routes of the main table: busy")

    async def scenario(log: RememberingLog) -> None:
        async with link_monitor({TUNNEL}, log, SETTLE_S) as changes:
            with monkeypatch.context() as patch:
                patch.setattr(Netlink, "main_routes", refuse)
                assert await reported_after(changes, uplink, ["link set {uplink} mtu 1400"])
            assert not await reported_after(changes, uplink, ["link set {uplink} mtu 1500"], QUIET_S)

    log = RememberingLog()
    uplink.host.call_async(lambda: scenario(log))
    assert log.messages == ["cannot see what has changed in the network"]


def test_more_notifications_than_the_socket_holds_are_a_reason_to_look(
    uplink: Uplink, tmp_path: Path
) -> None:
    routes = [f"10.{number // 256}.{number % 256}.0/24 via {NEIGHBOUR}" for number in range(MANY)]
    batches = [tmp_path / command for command in ("add", "del")]
    for batch in batches:
        batch.write_text("".join(f"route {batch.name} {route}\n" for route in routes))

    async def scenario() -> list[bool]:
        async with link_monitor({TUNNEL}, RememberingLog(), SETTLE_S) as changes:
            # Nothing is read from the socket while `ip` runs.
            seen = [await reported_after(changes, uplink, [f"-batch {batch}"]) for batch in batches]
            return [*seen, await reported_after(changes, uplink, ["route del default"])]

    assert uplink.host.call_async(scenario) == [True, True, True]
