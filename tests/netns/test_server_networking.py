"""A server's interface, forwarding and firewall table on a real kernel, and that nothing stays."""

import asyncio
import os
import select
import shutil
import signal
import socket
import struct
import sys
import time
from functools import partial
from ipaddress import IPv4Network, IPv6Network, ip_address
from pathlib import Path
from typing import Final

import pytest

from application.network.routing.tun import TunDevice, TunUnavailableError
from domain.addressing.tunnel import server_addresses
from domain.settings.profile import ServerAddress, TransportProfile, TransportProtocol
from infrastructure.pal.linux.errors import NetworkError
from infrastructure.pal.linux.netlink import Netlink
from infrastructure.pal.tunnel.server.tun_manager import ServerTunManager
from tests.adapters.log import RememberingLog
from tests.netns.bed import NetnsBed
from tests.netns.faults import fail_at
from tests.netns.packets import internet_checksum, pseudo_header, segment_size_of, tcp_syn, udp_packet
from tests.netns.uplink import HOST, HOST_V6, INTERNET, INTERNET_V6, Uplink

pytestmark = pytest.mark.netns

INTERFACE: Final = "s_udptun0"
CLIENT: Final = "10.0.1.2"
CLIENT_V6: Final = "fd00:1::2"

# What a server that is to be killed runs.
SERVER_PROGRAM: Final = """
import asyncio
from tests.netns.test_server_networking import DUAL_STACK, manager_of

async def run():
    async with manager_of(DUAL_STACK).open():
        print("open", flush=True)
        await asyncio.Event().wait()

asyncio.run(run())
"""


def profile_with(ipv6_subnet: str | None, mtu_bytes: int = 1400) -> TransportProfile:
    return TransportProfile(
        protocol=TransportProtocol.UDP,
        interface_name=INTERFACE,
        ipv4_subnet=IPv4Network("10.0.1.0/24"),
        ipv6_subnet=IPv6Network(ipv6_subnet) if ipv6_subnet else None,
        server=ServerAddress(),
        port=9090,
        mtu_bytes=mtu_bytes,
        dial_timeout_ms=5000,
    )


IPV4_ONLY: Final = profile_with(None)
DUAL_STACK: Final = profile_with("fd00:1::/64")
PROFILES: Final = [pytest.param(IPV4_ONLY, id="ipv4-only"), pytest.param(DUAL_STACK, id="dual-stack")]


def manager_of(profile: TransportProfile, log: RememberingLog | None = None) -> ServerTunManager:
    addresses = server_addresses(profile.ipv4_subnet, profile.ipv6_subnet)
    return ServerTunManager(profile, addresses, log or RememberingLog())


@pytest.fixture
def uplink(bed: NetnsBed) -> Uplink:
    """The server is the host; the gateway has no route to the tunnel's subnets."""
    return Uplink(bed)


def test_the_interface_is_up_with_its_addresses_and_mtu(uplink: Uplink) -> None:
    async def look() -> str:
        async with manager_of(DUAL_STACK).open() as device:
            return uplink.host.run("ip", "addr", "show", device.name)

    shown = uplink.host.call_async(look)
    assert ",UP," in shown
    assert "mtu 1400 " in shown
    assert "inet 10.0.1.1/24 " in shown
    assert "inet6 fd00:1::1/64" in shown


@pytest.mark.parametrize(
    ("client", "destination", "seen_as"), [(CLIENT, INTERNET, HOST), (CLIENT_V6, INTERNET_V6, HOST_V6)]
)
def test_a_client_reaches_the_internet_under_the_address_of_the_server(
    uplink: Uplink, client: str, destination: str, seen_as: str
) -> None:
    async def talk() -> tuple[str, bytes]:
        async with manager_of(DUAL_STACK).open() as device:
            with uplink.internet_socket(destination) as there:
                device.write_batch([udp_packet(client, destination, b"question")])
                question, source = there.recvfrom(100)
                there.sendto(b"answer to " + question, source)
                return source[0], next_packet_to(device, client)

    source, answer = uplink.host.call_async(talk)
    assert source == seen_as
    assert answer.endswith(b"answer to question")


def test_a_tunnel_without_ipv6_does_not_make_the_host_an_ipv6_router(uplink: Uplink) -> None:
    async def look() -> tuple[str, str]:
        async with manager_of(IPV4_ONLY).open():
            return (
                uplink.host.run("sysctl", "-n", "net.ipv4.ip_forward"),
                uplink.host.run("sysctl", "-n", "net.ipv6.conf.all.forwarding"),
            )

    assert uplink.host.call_async(look) == ("1\n", "0\n")


def test_clients_reach_one_another_under_their_own_addresses(uplink: Uplink) -> None:
    async def talk() -> bytes:
        async with manager_of(IPV4_ONLY).open() as device:
            device.write_batch([udp_packet(CLIENT, "10.0.1.3", b"hello")])
            return next_packet_to(device, "10.0.1.3")

    packet = uplink.host.call_async(talk)
    assert packet[12:16] == ip_address(CLIENT).packed


@pytest.mark.parametrize(
    ("client", "destination", "headers"), [(CLIENT, INTERNET, 40), (CLIENT_V6, INTERNET_V6, 60)]
)
def test_a_connection_from_the_tunnel_agrees_on_segments_that_fit_it(
    uplink: Uplink, client: str, destination: str, headers: int
) -> None:
    async def talk() -> int:
        async with manager_of(DUAL_STACK).open() as device:
            family = socket.AF_INET6 if ":" in destination else socket.AF_INET
            capture = partial(socket.socket, family, socket.SOCK_RAW, socket.IPPROTO_TCP)
            with uplink.gateway.call(capture) as there:
                there.settimeout(1)
                device.write_batch([tcp_syn(client, destination, 1460)])
                received = there.recv(2000)
            # A raw IPv4 socket gives the header too.
            return segment_size_of(received if family == socket.AF_INET6 else received[20:])

    assert uplink.host.call_async(talk) == DUAL_STACK.mtu_bytes - headers


def test_a_connection_into_the_tunnel_agrees_on_segments_that_fit_it(uplink: Uplink) -> None:
    uplink.gateway.run("ip", "route", "add", "10.0.1.0/24", "via", HOST)

    async def talk() -> int:
        async with manager_of(DUAL_STACK).open() as device:
            with uplink.gateway.call(partial(socket.socket, socket.AF_INET, socket.SOCK_STREAM)) as there:
                there.setblocking(False)
                there.connect_ex((CLIENT, 80))
                return segment_size_of(next_packet_to(device, CLIENT)[20:])

    assert uplink.host.call_async(talk) == DUAL_STACK.mtu_bytes - 40


@pytest.mark.parametrize("profile", PROFILES)
def test_leaving_restores_the_host(uplink: Uplink, profile: TransportProfile) -> None:
    # A mixture that turning the switch on and off would level, and a protection that it would lift.
    uplink.host.run("sysctl", "-qw", "net.ipv4.conf.all.accept_redirects=0")
    uplink.host.run("sysctl", "-qw", f"net.ipv4.conf.{uplink.interface}.forwarding=1")
    uplink.host.run("sysctl", "-qw", f"net.ipv6.conf.{uplink.interface}.forwarding=1")

    async def open_and_leave() -> dict[str, str]:
        async with manager_of(profile).open():
            return uplink.host.snapshot()

    before = uplink.host.snapshot()
    inside = uplink.host.call_async(open_and_leave)
    changed = {what for what in before if inside[what] != before[what]}
    assert changed >= {"ip -d addr", "nft list ruleset", "sysctl"}
    assert uplink.host.snapshot() == before


def test_forwarding_that_was_on_stays_on(uplink: Uplink) -> None:
    uplink.host.run("sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")

    async def open_and_leave() -> None:
        async with manager_of(DUAL_STACK).open():
            pass

    before = uplink.host.snapshot()
    uplink.host.call_async(open_and_leave)
    assert uplink.host.snapshot() == before


def test_the_tables_of_others_are_left_alone(uplink: Uplink) -> None:
    add_chain(uplink, "inet tungo_server_other", "c", "type filter hook forward priority 0;")
    add_chain(uplink, "ip nat", "c", "type nat hook postrouting priority 100;")
    others = uplink.host.run("nft", "list", "ruleset")

    async def look() -> str:
        async with manager_of(DUAL_STACK).open():
            return uplink.host.run("nft", "list", "ruleset")

    assert uplink.host.call_async(look).startswith(others)
    assert uplink.host.run("nft", "list", "ruleset") == others


def test_a_stale_table_of_the_same_name_is_replaced(uplink: Uplink) -> None:
    table = f"inet tungo_server_{INTERFACE}"
    add_chain(uplink, table, "stale", "type filter hook forward priority 0; policy drop;")

    async def look() -> str:
        async with manager_of(DUAL_STACK).open():
            return uplink.host.run("nft", "list", "table", *table.split())

    assert "stale" not in uplink.host.call_async(look)
    assert uplink.host.run("nft", "list", "ruleset") == ""


def test_a_firewall_that_drops_what_is_forwarded_is_named_in_the_log(uplink: Uplink) -> None:
    add_chain(uplink, "ip filter", "FORWARD", "type filter hook forward priority 0; policy drop;")
    log = RememberingLog()

    async def open_and_leave() -> None:
        async with manager_of(IPV4_ONLY, log).open():
            pass

    uplink.host.call_async(open_and_leave)
    assert [event.fields["chain"] for event in log.events] == ["ip filter FORWARD"]


def test_an_advertised_default_route_survives_while_the_host_forwards(uplink: Uplink) -> None:
    default = ("ip", "-6", "route", "show", "default", "proto", "ra")
    uplink.host.run("ip", "-6", "route", "del", "default")
    uplink.gateway.run("ip", "addr", "add", "fe80::1/64", "dev", "veth0r", "nodad")
    advertise_router(uplink)
    assert "via fe80::1" in uplink.host.run(*default)

    async def look() -> str:
        async with manager_of(DUAL_STACK).open():
            return uplink.host.run(*default)

    assert "via fe80::1" in uplink.host.call_async(look)
    assert uplink.host.run("sysctl", "-n", f"net.ipv6.conf.{uplink.interface}.accept_ra") == "1\n"
    assert "via fe80::1" in uplink.host.run(*default)


@pytest.mark.parametrize(
    ("step", "occurrence"),
    [("set_mtu", 1), ("add_address", 2), ("set_up", 1), ("interfaces_with_advertised_default", 1)],
)
@pytest.mark.parametrize(
    "error", [NetworkError("refused"), asyncio.CancelledError()], ids=["error", "cancel"]
)
def test_a_failing_step_undoes_the_earlier_ones(
    uplink: Uplink, monkeypatch: pytest.MonkeyPatch, step: str, occurrence: int, error: BaseException
) -> None:
    async def attempt() -> bool:
        fail_at(monkeypatch, Netlink, step, occurrence, error)
        try:
            async with manager_of(DUAL_STACK).open():
                return True
        except type(error):
            return False

    before = uplink.host.snapshot()
    assert uplink.host.call_async(attempt) is False
    assert uplink.host.snapshot() == before


def test_cancelling_while_nft_runs_leaves_no_table(
    uplink: Uplink, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    nft = shutil.which("nft")
    started = tmp_path / "started"
    os.mkfifo(started)
    slow_nft = tmp_path / "nft"
    slow_nft.write_text(f'#!/bin/sh\necho > {started}\nsleep 0.1\nexec {nft} "$@"\n')
    slow_nft.chmod(0o755)

    async def cancel_once_nft_runs() -> None:
        nft_runs = asyncio.Event()
        fifo = os.open(started, os.O_RDWR | os.O_NONBLOCK)
        asyncio.get_running_loop().add_reader(fifo, nft_runs.set)
        opening = asyncio.ensure_future(manager_of(DUAL_STACK).open().__aenter__())
        await nft_runs.wait()
        opening.cancel()
        await asyncio.wait([opening])
        asyncio.get_running_loop().remove_reader(fifo)
        os.close(fifo)
        assert opening.cancelled()

    before = uplink.host.snapshot()
    with monkeypatch.context() as patch:
        patch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
        uplink.host.call_async(cancel_once_nft_runs)
    assert uplink.host.snapshot() == before


def test_without_nft_the_error_names_the_package_and_nothing_stays(
    uplink: Uplink, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = uplink.host.snapshot()

    async def attempt() -> None:
        async with manager_of(DUAL_STACK).open():
            pass

    with monkeypatch.context() as patch:
        patch.setenv("PATH", "/nonexistent")
        with pytest.raises(TunUnavailableError, match="package nftables"):
            uplink.host.call_async(attempt)
    assert uplink.host.snapshot() == before


def test_after_a_killed_server_the_next_one_leaves_nothing_but_the_forwarding_switch(uplink: Uplink) -> None:
    before = uplink.host.snapshot()
    killed = uplink.host.start(sys.executable, "-c", SERVER_PROGRAM)
    with killed:
        assert killed.stdout is not None
        assert killed.stdout.readline() == "open\n"
        killed.send_signal(signal.SIGKILL)

    async def open_and_leave() -> str:
        async with manager_of(DUAL_STACK).open():
            return uplink.host.run("nft", "list", "tables")

    assert uplink.host.call_async(open_and_leave) == f"table inet tungo_server_{INTERFACE}\n"
    after = uplink.host.snapshot()
    changed = {what for what in before if after[what] != before[what]}
    assert changed == {"sysctl", "ip -6 route show table all"}
    # The route is the router's anycast address, which comes and goes with the switch.
    uplink.host.run("sysctl", "-qw", "net.ipv4.ip_forward=0", "net.ipv6.conf.all.forwarding=0")
    assert uplink.host.snapshot() == before


def add_chain(uplink: Uplink, table: str, name: str, definition: str) -> None:
    """What another program, or an administrator, has in the firewall."""
    uplink.host.run("nft", f"add table {table}; add chain {table} {name} {{ {definition} }}")


def next_packet_to(device: TunDevice, address: str) -> bytes:
    """The next packet that the device gives for ``address``; Linux also sends some of its own."""
    packed = ip_address(address).packed
    deadline = time.monotonic() + 1
    poller = select.poll()
    poller.register(device.fileno(), select.POLLIN)
    while (left := deadline - time.monotonic()) > 0 and poller.poll(left * 1000):
        for packet in device.read_batch(1):
            offset = 24 if packet[0] >> 4 == 6 else 16
            if packet[offset : offset + len(packed)] == packed:
                return packet
    raise AssertionError(f"no packet for {address} came out of {device.name}")


def advertise_router(uplink: Uplink) -> None:
    """Let the gateway tell the host once that it is a default router (RFC 4861 section 4.2), and wait."""
    lifetime_s = 600
    body = struct.pack("!BBHBBHII", 134, 0, 0, 64, 0, lifetime_s, 0, 0)
    checksum = internet_checksum(pseudo_header("fe80::1", "ff02::1", socket.IPPROTO_ICMPV6, len(body)) + body)
    message = body[:2] + struct.pack("!H", checksum) + body[4:]

    def send() -> None:
        with socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6) as raw:
            raw.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
            raw.sendto(message, ("ff02::1", 0, 0, socket.if_nametoindex("veth0r")))

    uplink.gateway.call(send)
    deadline = time.monotonic() + 1
    while time.monotonic() < deadline:
        if "default" in uplink.host.run("ip", "-6", "route", "show", "proto", "ra"):
            return
