"""A client's interface, routes and rules on a real kernel: what they do, and that nothing of them stays."""

import asyncio
import dataclasses
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import IPv4Address, IPv4Network, IPv6Network
from typing import Final

import pytest

from application.network.routing.tun import TunDevice, TunError, TunUnavailableError
from domain.addressing.tunnel import TunnelAddresses, client_addresses
from domain.settings.profile import ServerAddress, TransportProfile, TransportProtocol
from infrastructure.pal.linux.errors import (
    AnotherInstanceError,
    ForeignNameError,
    SubnetCollisionError,
)
from infrastructure.pal.linux.journal import JournalFolder
from infrastructure.pal.tunnel.client.tun_manager import (
    FIREWALL_MARK,
    ROUTING_TABLE,
    SINK_INTERFACE,
    LinuxClientTunManager,
)
from tests.adapters.log import RememberingLog
from tests.adapters.tun_packets import packets_from
from tests.netns.bed import NetnsBed
from tests.netns.uplink import INTERNET, INTERNET_V6, NEIGHBOUR, NEIGHBOUR_V6, PORT, Uplink

pytestmark = pytest.mark.netns

INTERFACE: Final = "c_udptun0"

# What a client that is to be killed runs.
CLIENT_PROGRAM: Final = """
import asyncio
from tests.netns.test_client_networking import IPV4_ONLY, tunnel

async def run():
    async with tunnel(IPV4_ONLY):
        print("open", flush=True)
        await asyncio.Event().wait()

asyncio.run(run())
"""


def profile_with(ipv6_subnet: str | None, mtu_bytes: int, interface: str = INTERFACE) -> TransportProfile:
    return TransportProfile(
        protocol=TransportProtocol.UDP,
        interface_name=interface,
        ipv4_subnet=IPv4Network("10.0.1.0/24"),
        ipv6_subnet=IPv6Network(ipv6_subnet) if ipv6_subnet else None,
        server=ServerAddress(domain="vpn.example"),
        port=9090,
        mtu_bytes=mtu_bytes,
        dial_timeout_ms=5000,
    )


IPV4_ONLY: Final = profile_with(None, 1200)
DUAL_STACK: Final = profile_with("fd00:1::/64", 1400)
PROFILES: Final = [pytest.param(IPV4_ONLY, id="ipv4-only"), pytest.param(DUAL_STACK, id="dual-stack")]


def addresses_of(profile: TransportProfile) -> TunnelAddresses:
    return client_addresses(profile.ipv4_subnet, profile.ipv6_subnet, client_id=1)


def manager_with(log: RememberingLog) -> LinuxClientTunManager:
    return LinuxClientTunManager(log, JournalFolder.of_this_host())


@asynccontextmanager
async def tunnel(profile: TransportProfile, log: RememberingLog | None = None) -> AsyncIterator[TunDevice]:
    """A client that holds the host and has the device of one transport."""
    manager = manager_with(log or RememberingLog())
    async with manager.hold(), manager.open(profile, addresses_of(profile)) as device:
        yield device


@pytest.fixture
def uplink(bed: NetnsBed) -> Uplink:
    return Uplink(bed)


def test_the_interface_is_up_with_its_addresses_and_mtu(uplink: Uplink) -> None:
    async def look() -> tuple[str, str]:
        async with tunnel(DUAL_STACK) as device:
            return uplink.host.run("ip", "addr", "show", device.name), device.name

    shown, name = uplink.host.call_async(look)
    assert name == INTERFACE
    assert ",UP," in shown
    assert "mtu 1400 " in shown
    assert "inet 10.0.1.2/24 " in shown
    assert "inet6 fd00:1::2/64 scope global" in shown
    assert "tentative" not in shown


def test_an_mtu_too_small_for_ipv6_is_raised_and_ipv6_stays(uplink: Uplink) -> None:
    async def look() -> str:
        async with tunnel(profile_with("fd00:1::/64", 1200)):
            return uplink.host.run("ip", "addr", "show", INTERFACE)

    shown = uplink.host.call_async(look)
    assert "mtu 1280 " in shown
    assert "inet6 fd00:1::2/64" in shown


def test_ipv6_is_carried_although_the_administrator_switched_it_off_by_default(uplink: Uplink) -> None:
    uplink.host.run("sysctl", "-qw", "net.ipv6.conf.default.disable_ipv6=1")

    async def look() -> str:
        async with tunnel(DUAL_STACK):
            return uplink.host.run("ip", "addr", "show", INTERFACE)

    assert "inet6 fd00:1::2/64" in uplink.host.call_async(look)


def test_a_host_without_ipv6_gets_the_ipv4_half_of_the_tunnel(
    uplink: Uplink, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As in a container: off for new interfaces, and /proc/sys cannot be written.
    uplink.host.run("sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1")
    monkeypatch.setattr("os.access", lambda _path, _mode: False)
    log = RememberingLog()

    async def look() -> str:
        async with tunnel(DUAL_STACK, log):
            return uplink.host.run("ip", "addr", "show", INTERFACE)

    before = uplink.host.snapshot()
    shown = uplink.host.call_async(look)
    assert "inet 10.0.1.2/24" in shown
    assert "inet6" not in shown
    assert log.messages == ["this host has no IPv6: the tunnel carries IPv4 only"]
    assert uplink.host.snapshot() == before


@pytest.mark.parametrize("profile", PROFILES)
def test_the_main_table_is_not_touched(uplink: Uplink, profile: TransportProfile) -> None:
    def others() -> list[str]:
        tables = [uplink.host.run("ip", f, "route", "show", "table", "main") for f in ("-4", "-6")]
        lines = [line for table in tables for line in table.splitlines()]
        # Linux itself adds link-local routes to every interface with IPv6.
        own = (f"fe80::/64 dev {INTERFACE} ", f"fe80::/64 dev {SINK_INTERFACE} ")
        return [line for line in lines if not line.startswith(own)]

    async def look() -> tuple[list[str], str]:
        async with tunnel(profile):
            return others(), uplink.host.run("ip", "route", "show", "table", str(ROUTING_TABLE))

    before = others()
    inside, own_table = uplink.host.call_async(look)
    assert inside == before
    assert own_table.startswith(f"default dev {INTERFACE}")


@pytest.mark.parametrize("destination", [INTERNET, INTERNET_V6])
def test_traffic_goes_into_the_tunnel(uplink: Uplink, destination: str) -> None:
    async def look() -> list[bytes]:
        async with tunnel(DUAL_STACK) as device:
            device.read_parcels(100)
            with uplink.host_socket(destination) as application:
                application.sendto(b"private", (destination, PORT))
            return packets_from(device, 100)

    assert any(packet.endswith(b"private") for packet in uplink.host.call_async(look))


@pytest.mark.parametrize("destination", [INTERNET, INTERNET_V6])
@pytest.mark.parametrize("source_filter", ["0", "1", "2"])
def test_a_marked_socket_reaches_the_server_by_the_uplink(
    uplink: Uplink, destination: str, source_filter: str
) -> None:
    uplink.host.run("sysctl", "-qw", f"net.ipv4.conf.{uplink.interface}.rp_filter={source_filter}")

    async def look() -> None:
        manager = manager_with(RememberingLog())
        async with manager.hold():
            assert uplink.answers(destination, mark=FIREWALL_MARK)
            async with manager.open(DUAL_STACK, addresses_of(DUAL_STACK)):
                assert uplink.answers(destination, mark=FIREWALL_MARK)
                assert not uplink.answers(destination)
            assert uplink.answers(destination, mark=FIREWALL_MARK)

    uplink.host.call_async(look)


def test_a_held_host_without_a_device_drops_ipv4_and_refuses_ipv6_at_once(uplink: Uplink) -> None:
    async def look() -> None:
        async with manager_with(RememberingLog()).hold():
            assert not uplink.answers(INTERNET)
            async with asyncio.timeout(1):
                with pytest.raises(PermissionError):
                    await asyncio.open_connection(INTERNET_V6, PORT)

    uplink.host.call_async(look)


def test_a_held_host_without_a_device_reaches_its_local_network(uplink: Uplink) -> None:
    async def look() -> tuple[bool, bool]:
        async with manager_with(RememberingLog()).hold():
            return uplink.answers(NEIGHBOUR), uplink.answers(NEIGHBOUR_V6)

    assert uplink.host.call_async(look) == (True, True)


@pytest.mark.parametrize("profile", PROFILES)
def test_the_local_network_stays_reachable(uplink: Uplink, profile: TransportProfile) -> None:
    async def look() -> tuple[bool, bool]:
        async with tunnel(profile):
            return uplink.answers(NEIGHBOUR), uplink.answers(NEIGHBOUR_V6)

    assert uplink.host.call_async(look) == (True, True)


def test_a_tunnel_without_ipv6_refuses_ipv6_at_once_and_leaks_nothing(uplink: Uplink) -> None:
    async def look() -> None:
        async with tunnel(IPV4_ONLY):
            with uplink.internet_socket(INTERNET_V6) as there, uplink.host_socket(INTERNET_V6) as application:
                application.connect((INTERNET_V6, PORT))
                application.send(b"private")
                with pytest.raises(TimeoutError):
                    there.recv(100)
                await asyncio.sleep(0.01)  # lets the loop answer from the sink
                with pytest.raises(PermissionError):
                    application.recv(100)

    uplink.host.call_async(look)


def test_a_tunnel_without_ipv6_makes_a_tcp_connection_fail_at_once(uplink: Uplink) -> None:
    async def look() -> None:
        async with tunnel(IPV4_ONLY), asyncio.timeout(1):
            with pytest.raises(PermissionError):
                await asyncio.open_connection(INTERNET_V6, PORT)

    uplink.host.call_async(look)


def test_deleting_the_interface_that_refuses_ipv6_is_logged(uplink: Uplink) -> None:
    log = RememberingLog()

    async def look() -> None:
        async with tunnel(IPV4_ONLY, log):
            uplink.host.run("ip", "link", "delete", SINK_INTERFACE)
            await asyncio.sleep(0.01)

    uplink.host.call_async(look)
    assert log.messages == ["traffic may leave beside the tunnel: its last resort was deleted"]


@pytest.mark.parametrize("profile", PROFILES)
def test_nothing_leaves_beside_an_interface_that_somebody_has_set_down(
    uplink: Uplink, profile: TransportProfile
) -> None:
    def ways_out() -> list[str]:
        return [uplink.host.run("ip", "route", "get", target) for target in ("203.0.113.1", INTERNET_V6)]

    async def look() -> list[str]:
        async with tunnel(profile):
            uplink.host.run("ip", "link", "set", INTERFACE, "down")
            while_down = ways_out()
            uplink.host.run("ip", "link", "set", INTERFACE, "up")
            return while_down + ways_out()

    for way_out in uplink.host.call_async(look):
        assert f"dev {SINK_INTERFACE} " in way_out


@pytest.mark.parametrize("profile", PROFILES)
def test_a_server_inside_the_tunnels_subnet_is_still_reached_directly(
    uplink: Uplink, profile: TransportProfile
) -> None:
    async def look() -> str:
        async with tunnel(profile):
            return uplink.host.run("ip", "route", "get", "10.0.1.77", "mark", str(FIREWALL_MARK))

    assert f"dev {uplink.interface}" in uplink.host.call_async(look)


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("source_filter", ["0", "1"])
def test_leaving_restores_the_host(uplink: Uplink, profile: TransportProfile, source_filter: str) -> None:
    uplink.host.run("sysctl", "-qw", f"net.ipv4.conf.{uplink.interface}.rp_filter={source_filter}")

    async def open_and_leave() -> dict[str, str]:
        async with tunnel(profile):
            return uplink.host.snapshot()

    before = uplink.host.snapshot()
    inside = uplink.host.call_async(open_and_leave)
    assert inside["ip -4 rule"] != before["ip -4 rule"]
    assert uplink.host.snapshot() == before


def test_an_error_inside_restores_the_host(uplink: Uplink) -> None:
    async def fail() -> None:
        async with tunnel(DUAL_STACK):
            raise RuntimeError("the tunnel broke")

    before = uplink.host.snapshot()
    with pytest.raises(RuntimeError):
        uplink.host.call_async(fail)
    assert uplink.host.snapshot() == before


def test_leaving_copes_with_what_somebody_else_already_removed(uplink: Uplink) -> None:
    async def look() -> None:
        async with tunnel(IPV4_ONLY) as device:
            uplink.host.run("ip", "link", "delete", device.name)
            uplink.host.run("ip", "rule", "del", "priority", "31831")
            uplink.host.run("nft", "flush", "ruleset")

    uplink.host.run("sysctl", "-qw", f"net.ipv4.conf.{uplink.interface}.rp_filter=1")
    before = uplink.host.snapshot()
    uplink.host.call_async(look)
    assert uplink.host.snapshot() == before


def test_without_nft_a_host_with_a_strict_source_filter_says_what_to_install(
    uplink: Uplink, monkeypatch: pytest.MonkeyPatch
) -> None:
    uplink.host.run("sysctl", "-qw", "net.ipv4.conf.all.rp_filter=1")
    before = uplink.host.snapshot()

    async def attempt() -> None:
        async with tunnel(DUAL_STACK):
            pass

    with monkeypatch.context() as patch:
        patch.setenv("PATH", "/nonexistent")
        with pytest.raises(TunUnavailableError, match="package nftables"):
            uplink.host.call_async(attempt)
    assert uplink.host.snapshot() == before


def test_a_taken_interface_name_is_refused_and_the_interface_left_alone(uplink: Uplink) -> None:
    uplink.host.run("ip", "tuntap", "add", "dev", INTERFACE, "mode", "tun")
    before = uplink.host.snapshot()

    async def attempt() -> None:
        async with tunnel(DUAL_STACK):
            pass

    with pytest.raises(TunError, match="already exists"):
        uplink.host.call_async(attempt)
    assert uplink.host.snapshot() == before


@pytest.mark.parametrize(
    "owner",
    [
        pytest.param(("tuntap", "add", "dev", SINK_INTERFACE, "mode", "tun"), id="tun"),
        pytest.param(("link", "add", SINK_INTERFACE, "type", "bridge"), id="bridge"),
    ],
)
def test_an_interface_of_somebody_else_in_place_of_the_last_resort_is_left_alone(
    uplink: Uplink, owner: tuple[str, ...]
) -> None:
    uplink.host.run("ip", *owner)
    before = uplink.host.snapshot()

    async def attempt() -> None:
        async with manager_with(RememberingLog()).hold():
            pass

    with pytest.raises(TunError, match=f"an interface {SINK_INTERFACE} already exists"):
        uplink.host.call_async(attempt)
    assert uplink.host.snapshot() == before


def test_a_second_client_is_refused_and_the_first_goes_on(uplink: Uplink) -> None:
    async def attempt() -> tuple[dict[str, str], dict[str, str]]:
        async with tunnel(DUAL_STACK):
            first = uplink.host.snapshot()
            with pytest.raises(AnotherInstanceError):
                async with tunnel(profile_with(None, 1400, interface="c_tcptun0")):
                    pass
            return first, uplink.host.snapshot()

    first, afterwards = uplink.host.call_async(attempt)
    assert first == afterwards


@pytest.mark.parametrize("option", ["-4", "-6"])
@pytest.mark.parametrize("priority", ["31830", "31831"])
def test_a_rule_of_somebody_else_in_place_of_ours_is_named_and_left_alone(
    uplink: Uplink, option: str, priority: str
) -> None:
    uplink.host.run("ip", option, "rule", "add", "priority", priority, "table", "42")
    before = uplink.host.snapshot()

    async def attempt() -> None:
        async with manager_with(RememberingLog()).hold():
            pass

    with pytest.raises(ForeignNameError, match=f"`ip (-6 )?rule del priority {priority}`"):
        uplink.host.call_async(attempt)
    assert uplink.host.snapshot() == before


def test_a_firewall_table_of_somebody_else_in_place_of_ours_is_named_and_left_alone(uplink: Uplink) -> None:
    uplink.host.run("sysctl", "-qw", "net.ipv4.conf.all.rp_filter=1")
    uplink.host.run("nft", "add table inet tungo_client; add chain inet tungo_client theirs")
    before = uplink.host.snapshot()

    async def attempt() -> None:
        async with manager_with(RememberingLog()).hold():
            pass

    with pytest.raises(ForeignNameError, match="nft delete table inet tungo_client"):
        uplink.host.call_async(attempt)
    assert uplink.host.snapshot() == before


@pytest.mark.parametrize(
    "network",
    [
        pytest.param("10.0.1.77/24", id="the same"),
        pytest.param("10.0.1.65/28", id="a part"),
        pytest.param("10.9.9.9/8", id="a larger one"),
        pytest.param("fd00:1::77/64", id="ipv6"),
    ],
)
def test_a_tunnel_whose_subnet_is_that_of_the_lan_is_refused(uplink: Uplink, network: str) -> None:
    uplink.host.run("ip", "addr", "add", network, "dev", uplink.interface)
    before = uplink.host.snapshot()

    async def attempt() -> None:
        async with tunnel(DUAL_STACK):
            pass

    with pytest.raises(SubnetCollisionError, match=f"the network at {uplink.interface}"):
        uplink.host.call_async(attempt)
    assert uplink.host.snapshot() == before


def test_a_route_of_another_tunnel_into_the_subnet_is_a_collision_and_its_default_route_none(
    uplink: Uplink,
) -> None:
    uplink.host.run("ip", "tuntap", "add", "dev", "other0", "mode", "tun")
    uplink.host.run("ip", "link", "set", "other0", "up")
    for half in ("0.0.0.0/1", "128.0.0.0/1"):
        uplink.host.run("ip", "route", "add", half, "dev", "other0")

    async def attempt() -> None:
        async with tunnel(DUAL_STACK):
            pass

    uplink.host.call_async(attempt)
    uplink.host.run("ip", "route", "add", "10.0.0.0/16", "dev", "other0")
    with pytest.raises(SubnetCollisionError, match=r"10\.0\.0\.0/16, the network at other0"):
        uplink.host.call_async(attempt)


def test_a_lan_with_the_tunnels_subnet_and_the_server_in_it_does_no_harm(uplink: Uplink) -> None:
    uplink.host.run("ip", "addr", "add", "10.0.1.77/24", "dev", uplink.interface)
    uplink.gateway.run("ip", "addr", "add", "10.0.1.1/24", "dev", uplink.gateway_interface)
    profile = dataclasses.replace(DUAL_STACK, server=ServerAddress(ipv4=IPv4Address("10.0.1.1")))

    async def look() -> tuple[bool, str]:
        async with tunnel(profile):
            return (
                uplink.answers("10.0.1.1", mark=FIREWALL_MARK),
                uplink.host.run("ip", "route", "get", INTERNET),
            )

    server_answers, way_out = uplink.host.call_async(look)
    assert server_answers
    assert f"dev {INTERFACE} " in way_out


def test_a_killed_client_cuts_nothing_off_and_the_next_one_leaves_no_trace(uplink: Uplink) -> None:
    before = uplink.host.snapshot()
    killed = uplink.host.start(sys.executable, "-c", CLIENT_PROGRAM)
    with killed:
        assert killed.stdout is not None
        assert killed.stdout.readline() == "open\n"
        killed.send_signal(signal.SIGKILL)
    left_behind = {what for what, state in uplink.host.snapshot().items() if state != before[what]}
    assert left_behind == {"ip -4 rule", "ip -6 rule"}
    assert uplink.answers(INTERNET)
    assert uplink.answers(INTERNET_V6)

    async def start_and_stop() -> int:
        async with tunnel(IPV4_ONLY):
            return uplink.host.run("ip", "rule").count(f"lookup {ROUTING_TABLE}")

    assert uplink.host.call_async(start_and_stop) == 1
    assert uplink.host.snapshot() == before
