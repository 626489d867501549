"""Include, Exclude and the local networks on a real kernel: which way packets take, and what stays behind."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from ipaddress import IPv4Interface, IPv6Interface, ip_network
from itertools import count
from pathlib import Path
from typing import Final, ParamSpec, TypeVar

import pytest

from domain.addressing.tunnel import TunnelAddresses
from domain.settings.offload import OffloadMode
from domain.settings.routing import TunnelRouting
from infrastructure.pal.linux import split
from infrastructure.pal.linux.errors import JournalError, NetworkError
from infrastructure.pal.linux.journal import CLIENT, JournalFolder, Json
from infrastructure.pal.linux.netlink import MAIN_TABLE, Family, Netlink, PolicyRule, open_netlink
from infrastructure.pal.linux.sink import sink
from infrastructure.pal.linux.split import RoutingPlan, lead_into, plan_of
from infrastructure.pal.linux.sysctl import enable_ipv6_on
from infrastructure.pal.linux.tunnel_interface import bring_up, tun_device
from tests.adapters.log import RememberingLog
from tests.netns.bed import NetnsBed
from tests.netns.uplink import INTERNET, INTERNET_V6, NEIGHBOUR, NEIGHBOUR_V6, Uplink

pytestmark = pytest.mark.netns

_P = ParamSpec("_P")
_T = TypeVar("_T")

TABLE: Final = 31000
MARK: Final = 31000
TUNNEL: Final = "split-tun"
SINK: Final = "split-sink"
LOCAL_NETWORKS: Final = PolicyRule(priority=30000, table=MAIN_TABLE, ignore_default=True)
INTO_TUNNEL: Final = PolicyRule(priority=30001, table=TABLE, unless_mark=MARK)
BOTH: Final = tuple(Family)

FALLIBLE_STEPS: Final = [
    *(("add_passing_route", n) for n in (1, 2, 3, 4)),
    ("add_route", 1),
    ("add_route", 2),
]

# Not the uplink's own addresses, which are on no cable.
OTHER: Final = "203.0.113.9"
OTHER_V6: Final = "2001:db8:e::9"

HELD_PROGRAM: Final = """
import asyncio, sys
from pathlib import Path
from tests.netns.test_split_tunnel import EXCLUDING, held

async def run():
    async with held(EXCLUDING, Path(sys.argv[1])):
        print("held", flush=True)
        await asyncio.Event().wait()

asyncio.run(run())
"""


def asking(include: str = "", exclude: str = "", **switches: bool) -> TunnelRouting:
    """The settings with the networks that stand in the two texts."""
    return TunnelRouting(
        include=tuple(map(ip_network, include.split())),
        exclude=tuple(map(ip_network, exclude.split())),
        **switches,
    )


EVERYTHING: Final = asking()
EXCLUDING: Final = asking(exclude=f"{INTERNET}/32 192.0.0.0/8 {INTERNET_V6}/128 2001:db8:c::/48")


def plan_for(routing: TunnelRouting) -> RoutingPlan:
    return plan_of(routing, BOTH, local_networks_rule=LOCAL_NETWORKS, tunnel_rule=INTO_TUNNEL)


@asynccontextmanager
async def held(routing: TunnelRouting, journals: Path) -> AsyncIterator[tuple[Netlink, RoutingPlan]]:
    """A host whose traffic is led to where no device is yet."""
    plan = plan_for(routing)
    async with open_netlink() as netlink:
        with JournalFolder(journals).claimed(CLIENT, "split") as journal, sink(SINK, RememberingLog()):
            enable_ipv6_on(SINK)
            await netlink.set_up(SINK)
            async with split.routing(netlink, plan, SINK, 9999, journal):
                rules = [(family, rule) for family in BOTH for rule in plan.rules]
                try:
                    for family, rule in rules:
                        await netlink.add_rule(family, rule)
                    yield netlink, plan
                finally:
                    for family, rule in reversed(rules):
                        await netlink.delete_rules(family, rule)


@asynccontextmanager
async def tunnelled(
    routing: TunnelRouting, journals: Path, families: tuple[Family, ...] = BOTH
) -> AsyncIterator[None]:
    """A host with the device of a transport that carries ``families``."""
    addresses = TunnelAddresses(
        IPv4Interface("10.0.1.2/24"), IPv6Interface("fd00:1::2/64") if Family.IPV6 in families else None
    )
    async with held(routing, journals) as (netlink, plan):
        with tun_device(TUNNEL, OffloadMode.AUTO, RememberingLog()):
            await bring_up(netlink, TUNNEL, 1400, addresses, subnet_route=False)
            await lead_into(TUNNEL, netlink, plan, families)
            yield


def fail_at(monkeypatch: pytest.MonkeyPatch, step: str, occurrence: int, error: BaseException) -> None:
    """The ``occurrence``-th such step over netlink does its work and then raises ``error``."""
    monkeypatch.setattr(Netlink, step, failing(getattr(Netlink, step), occurrence, error))


def failing(
    method: Callable[_P, Awaitable[_T]], occurrence: int, error: BaseException
) -> Callable[_P, Awaitable[_T]]:
    calls = count(1)

    async def counted(*args: _P.args, **kwargs: _P.kwargs) -> _T:
        result = await method(*args, **kwargs)
        if next(calls) == occurrence:
            raise error
        return result

    return counted


@pytest.fixture
def uplink(bed: NetnsBed) -> Uplink:
    return Uplink(bed)


class Ways:
    """The interfaces that packets leave by."""

    def __init__(self, uplink: Uplink) -> None:
        self._host = uplink.host
        self._names = {TUNNEL: "tunnel", SINK: "nowhere", uplink.interface: "uplink"}

    def to(self, *addresses: str, mark: int = 0) -> list[str]:
        """For each address "tunnel", "nowhere" or "uplink"."""
        return [self._names[self._interface_to(address, mark)] for address in addresses]

    def _interface_to(self, address: str, mark: int) -> str:
        words = self._host.run("ip", "route", "get", address, "mark", str(mark)).split()
        return words[words.index("dev") + 1]


def inside(uplink: Uplink, context: AbstractAsyncContextManager[object], look: Callable[[Ways], _T]) -> _T:
    """What ``look`` sees while ``context`` is entered on the host."""

    async def enter_and_look() -> _T:
        async with context:
            return look(Ways(uplink))

    return uplink.host.call_async(enter_and_look)


def to(*addresses: str, mark: int = 0) -> Callable[[Ways], list[str]]:
    return lambda ways: ways.to(*addresses, mark=mark)


def test_without_lists_everything_goes_into_the_tunnel_but_the_local_networks(
    uplink: Uplink, tmp_path: Path
) -> None:
    look = to(INTERNET, INTERNET_V6, NEIGHBOUR, NEIGHBOUR_V6)
    assert inside(uplink, tunnelled(EVERYTHING, tmp_path), look) == ["tunnel", "tunnel", "uplink", "uplink"]
    assert inside(uplink, held(EVERYTHING, tmp_path), look) == ["nowhere", "nowhere", "uplink", "uplink"]


def test_what_is_excluded_goes_past_the_tunnel_and_the_rest_into_it(uplink: Uplink, tmp_path: Path) -> None:
    excluded, others = to(INTERNET, INTERNET_V6, "2001:db8:c::7"), to(OTHER, OTHER_V6)
    assert inside(uplink, tunnelled(EXCLUDING, tmp_path), excluded) == ["uplink"] * 3
    assert inside(uplink, held(EXCLUDING, tmp_path), excluded) == ["uplink"] * 3
    assert inside(uplink, tunnelled(EXCLUDING, tmp_path), others) == ["tunnel", "tunnel"]
    assert inside(uplink, held(EXCLUDING, tmp_path), others) == ["nowhere", "nowhere"]


def test_an_excluded_address_answers(uplink: Uplink, tmp_path: Path) -> None:
    def look(_: Ways) -> list[bool]:
        return [uplink.answers(address) for address in (INTERNET, INTERNET_V6)]

    assert inside(uplink, tunnelled(EXCLUDING, tmp_path), look) == [True, True]


def test_only_what_is_included_goes_into_the_tunnel(uplink: Uplink, tmp_path: Path) -> None:
    routing = asking(include=f"198.51.100.0/24 {INTERNET_V6}/128", exclude=f"{INTERNET}/32")
    included, others = to("198.51.100.9", INTERNET_V6), to(INTERNET, OTHER, OTHER_V6, NEIGHBOUR)
    assert inside(uplink, tunnelled(routing, tmp_path), included) == ["tunnel", "tunnel"]
    assert inside(uplink, held(routing, tmp_path), included) == ["nowhere", "nowhere"]
    assert inside(uplink, tunnelled(routing, tmp_path), others) == ["uplink"] * 4
    assert inside(uplink, held(routing, tmp_path), others) == ["uplink"] * 4


def test_an_ip_version_that_is_not_included_goes_its_own_way(uplink: Uplink, tmp_path: Path) -> None:
    routing = asking(include="198.51.100.0/24")
    assert inside(uplink, held(routing, tmp_path), to(INTERNET, INTERNET_V6)) == ["nowhere", "uplink"]


def test_a_tunnel_without_ipv6_refuses_it_unless_it_may_leak(uplink: Uplink, tmp_path: Path) -> None:
    look = to(INTERNET, INTERNET_V6)
    leaking = asking(allow_ipv6_leak=True)
    ipv4 = (Family.IPV4,)
    assert inside(uplink, tunnelled(EVERYTHING, tmp_path, ipv4), look) == ["tunnel", "nowhere"]
    assert inside(uplink, tunnelled(leaking, tmp_path, ipv4), look) == ["tunnel", "uplink"]
    assert inside(uplink, tunnelled(leaking, tmp_path), look) == ["tunnel", "tunnel"]
    assert inside(uplink, held(leaking, tmp_path), look) == ["nowhere", "uplink"]


def test_without_exclude_lan_our_own_sockets_alone_see_the_lan(uplink: Uplink, tmp_path: Path) -> None:
    routing = asking(exclude_lan=False)
    everywhere = (NEIGHBOUR, NEIGHBOUR_V6, INTERNET, INTERNET_V6)
    assert inside(uplink, tunnelled(routing, tmp_path), to(*everywhere)) == ["tunnel"] * 4
    assert inside(uplink, held(routing, tmp_path), to(*everywhere)) == ["nowhere"] * 4
    assert inside(uplink, tunnelled(routing, tmp_path), to(*everywhere, mark=MARK)) == ["uplink"] * 4


def test_without_exclude_lan_an_excluded_part_of_the_lan_is_reached(uplink: Uplink, tmp_path: Path) -> None:
    routing = asking(exclude=f"{NEIGHBOUR}/32", exclude_lan=False)
    assert inside(uplink, tunnelled(routing, tmp_path), to(NEIGHBOUR, "192.0.2.9")) == ["uplink", "tunnel"]


def test_a_new_local_network_is_reached_directly_at_once(uplink: Uplink, tmp_path: Path) -> None:
    def look(ways: Ways) -> tuple[list[str], list[str], list[str]]:
        before = ways.to("10.77.0.1", "fd00:77::1")
        for address in ("10.77.0.2/24", "fd00:77::2/64"):
            uplink.host.run("ip", "addr", "add", address, "dev", uplink.interface)
        inside_it = ways.to("10.77.0.1", "fd00:77::1")
        for address in ("10.77.0.2/24", "fd00:77::2/64"):
            uplink.host.run("ip", "addr", "del", address, "dev", uplink.interface)
        return before, inside_it, ways.to("10.77.0.1", "fd00:77::1")

    assert inside(uplink, tunnelled(EVERYTHING, tmp_path), look) == (
        ["tunnel", "tunnel"],
        ["uplink", "uplink"],
        ["tunnel", "tunnel"],
    )


@pytest.mark.parametrize(
    "routing",
    [
        pytest.param(EVERYTHING, id="everything"),
        pytest.param(EXCLUDING, id="exclude"),
        pytest.param(asking(include="10.0.0.0/8 fd00::/8", exclude="10.1.0.0/16"), id="include"),
        pytest.param(asking(exclude_lan=False, allow_ipv6_leak=True), id="switches"),
    ],
)
def test_leaving_restores_the_host_and_the_journal_is_gone(
    uplink: Uplink, tmp_path: Path, routing: TunnelRouting
) -> None:
    before = uplink.host.snapshot()
    assert inside(uplink, tunnelled(routing, tmp_path), lambda _: uplink.host.snapshot()) != before
    assert uplink.host.snapshot() == before
    assert list(tmp_path.iterdir()) == []


def test_the_main_table_is_not_touched(uplink: Uplink, tmp_path: Path) -> None:
    def main(_: Ways) -> str:
        return uplink.host.run("ip", "-4", "route", "show", "table", "main")

    before = main(Ways(uplink))
    assert inside(uplink, tunnelled(EXCLUDING, tmp_path), main) == before


def test_a_killed_client_leaves_nothing_that_matters_and_the_journal_takes_it_back(
    uplink: Uplink, tmp_path: Path
) -> None:
    def passing() -> list[str]:
        tables = [uplink.host.run("ip", f, "route", "show", "table", "all") for f in ("-4", "-6")]
        return [line.split()[1] for table in tables for line in table.splitlines() if "throw" in line]

    before = passing()
    with uplink.host.start(sys.executable, "-c", HELD_PROGRAM, str(tmp_path)) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        process.send_signal(signal.SIGKILL)
    assert passing() == ["192.0.0.0/8", INTERNET, "2001:db8:c::/48", INTERNET_V6]
    assert Ways(uplink).to(INTERNET, INTERNET_V6, OTHER, OTHER_V6, NEIGHBOUR) == ["uplink"] * 5

    async def take_back() -> None:
        with JournalFolder(tmp_path).claimed(CLIENT, "split") as journal:
            [(number, entry)] = journal.entries.items()
            assert entry.kind == split.KIND
            await split.undo(entry.facts)
            await split.undo(entry.facts)
            journal.strike(number)

    uplink.host.call_async(take_back)
    assert passing() == before == []


def test_undoing_leaves_the_routes_of_others_in_our_table(uplink: Uplink) -> None:
    uplink.host.run("ip", "route", "add", "10.1.0.0/16", "dev", uplink.interface, "table", str(TABLE))
    uplink.host.run("ip", "route", "add", "throw", "10.2.0.0/16", "table", str(TABLE))
    before = uplink.host.snapshot()
    uplink.host.call_async(partial(split.undo, {"table": TABLE, "networks": ["10.1.0.0/16", "fd00::/8"]}))
    assert uplink.host.snapshot() == before


@pytest.mark.parametrize(
    "facts",
    [
        {},
        {"table": "main", "networks": []},
        {"table": TABLE, "networks": "all"},
        {"table": TABLE, "networks": ["lan"]},
    ],
)
def test_an_entry_that_makes_no_sense_is_an_error(facts: dict[str, Json]) -> None:
    with pytest.raises(JournalError, match="passing-routes"):
        asyncio.run(split.undo(facts))


@pytest.mark.parametrize("error", [NetworkError("refused"), asyncio.CancelledError()])
@pytest.mark.parametrize(("step", "occurrence"), FALLIBLE_STEPS)
def test_a_step_that_fails_leaves_nothing_behind(
    uplink: Uplink,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    step: str,
    occurrence: int,
    error: BaseException,
) -> None:
    async def attempt() -> bool:
        fail_at(monkeypatch, step, occurrence, error)
        try:
            async with held(EXCLUDING, tmp_path):
                return True
        except type(error):
            return False

    before = uplink.host.snapshot()
    assert uplink.host.call_async(attempt) is False
    assert uplink.host.snapshot() == before
    assert list(tmp_path.iterdir()) == []


def test_a_route_that_cannot_be_taken_back_stays_in_the_journal(
    uplink: Uplink, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def leave_badly() -> None:
        async with held(EXCLUDING, tmp_path):
            fail_at(monkeypatch, "delete_passing_route", 1, NetworkError("refused"))

    with pytest.raises(NetworkError, match="refused"):
        uplink.host.call_async(leave_badly)
    [journal] = tmp_path.iterdir()
    assert f'"{INTERNET}/32"' in journal.read_text()


def test_a_host_without_ipv6_gets_the_ipv4_half_of_the_plan() -> None:
    plan = plan_of(EXCLUDING, [Family.IPV4], local_networks_rule=LOCAL_NETWORKS, tunnel_rule=INTO_TUNNEL)
    assert plan == RoutingPlan(
        table=TABLE,
        rules=(LOCAL_NETWORKS, INTO_TUNNEL),
        into_tunnel=(ip_network("0.0.0.0/0"),),
        last_resort=(ip_network("0.0.0.0/0"),),
        past=(ip_network("192.0.0.0/8"), ip_network(f"{INTERNET}/32")),
    )
