"""A server's interface, forwarding and firewall table on a real kernel, and that nothing stays."""

import asyncio
import dataclasses
import os
import select
import shutil
import signal
import socket
import struct
import sys
import time
from collections.abc import Sequence
from functools import partial
from ipaddress import IPv4Network, IPv6Network, ip_address
from pathlib import Path
from typing import Final

import pytest

from application.network.routing.tun import TunDevice, TunUnavailableError
from domain.addressing.tunnel import server_addresses
from domain.settings.profile import ServerAddress, TransportProfile, TransportProtocol
from infrastructure.pal.linux.errors import AnotherInstanceError, ForeignNameError, SubnetCollisionError
from infrastructure.pal.linux.journal import JournalFolder
from infrastructure.pal.tunnel.server.tun_manager import ServerTunManager
from tests.adapters.log import RememberingLog
from tests.adapters.tun_packets import packets_from, send_packets
from tests.netns.bed import NetnsBed
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


# What a server runs that cannot write to /proc/sys.
READ_ONLY_PROGRAM: Final = """
import asyncio
from infrastructure.pal.linux.errors import SysctlError
from tests.adapters.log import RememberingLog
from tests.netns.test_server_networking import DUAL_STACK, manager_of

async def run():
    log = RememberingLog()
    try:
        async with manager_of(DUAL_STACK, log).open():
            print("open")
    except SysctlError as exc:
        print(exc)
    for message in log.messages:
        print(message)

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


def manager_of(
    profile: TransportProfile,
    log: RememberingLog | None = None,
    *,
    nat: bool = True,
    isolated_from: Sequence[str] = (),
) -> ServerTunManager:
    addresses = server_addresses(profile.ipv4_subnet, profile.ipv6_subnet)
    return ServerTunManager(
        profile,
        addresses,
        log or RememberingLog(),
        JournalFolder.of_this_host(),
        nat=nat,
        isolated_from=isolated_from,
    )


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
                send_packets(device, [udp_packet(client, destination, b"question")])
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
            send_packets(device, [udp_packet(CLIENT, "10.0.1.3", b"hello")])
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
                send_packets(device, [tcp_syn(client, destination, 1460)])
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


def test_a_table_of_somebody_else_in_place_of_ours_is_named_and_left_alone(uplink: Uplink) -> None:
    add_chain(uplink, f"inet tungo_server_{INTERFACE}", "theirs", "type filter hook forward priority 0;")
    before = uplink.host.snapshot()

    async def attempt() -> None:
        async with manager_of(DUAL_STACK).open():
            pass

    with pytest.raises(ForeignNameError, match=f"nft delete table inet tungo_server_{INTERFACE}"):
        uplink.host.call_async(attempt)
    assert uplink.host.snapshot() == before


def test_a_table_that_somebody_put_in_place_of_ours_meanwhile_stays(uplink: Uplink) -> None:
    table = f"inet tungo_server_{INTERFACE}"

    async def replace_it() -> str:
        async with manager_of(DUAL_STACK).open():
            uplink.host.run("nft", "delete", "table", *table.split())
            add_chain(uplink, table, "theirs", "type filter hook forward priority 0;")
            return uplink.host.run("nft", "list", "ruleset")

    assert uplink.host.call_async(replace_it) == uplink.host.run("nft", "list", "ruleset")


@pytest.mark.parametrize(
    ("program", "client", "destination"),
    [
        ("iptables-nft", CLIENT, INTERNET),
        ("iptables-legacy", CLIENT, INTERNET),
        ("ip6tables-nft", CLIENT_V6, INTERNET_V6),
        ("ip6tables-legacy", CLIENT_V6, INTERNET_V6),
    ],
)
def test_clients_reach_the_internet_where_iptables_drops_what_is_forwarded(
    uplink: Uplink, program: str, client: str, destination: str
) -> None:
    uplink.host.run(program, "-P", "FORWARD", "DROP")
    uplink.host.run(program, "-A", "FORWARD", "-m", "comment", "--comment", "not tungo:s", "-j", "DROP")
    log = RememberingLog()

    async def talk() -> bytes:
        async with manager_of(DUAL_STACK, log).open() as device:
            with uplink.internet_socket(destination) as there:
                send_packets(device, [udp_packet(client, destination, b"question")])
                question, source = there.recvfrom(100)
                there.sendto(b"answer to " + question, source)
                return next_packet_to(device, client)

    before = uplink.host.snapshot()
    assert uplink.host.call_async(talk).endswith(b"answer to question")
    assert uplink.host.snapshot() == before
    assert log.events == []


def test_a_tunnel_without_ipv6_changes_nothing_in_ip6tables(uplink: Uplink) -> None:
    uplink.host.run("ip6tables-nft", "-P", "FORWARD", "DROP")

    async def look() -> str:
        async with manager_of(IPV4_ONLY).open():
            return uplink.host.run("ip6tables-nft", "-S", "FORWARD")

    assert uplink.host.call_async(look) == "-P FORWARD DROP\n"


def test_an_iptables_that_accepts_is_not_touched(uplink: Uplink) -> None:
    for program in ("iptables-nft", "iptables-legacy"):
        uplink.host.run(program, "-P", "FORWARD", "ACCEPT")

    async def look() -> list[str]:
        async with manager_of(IPV4_ONLY).open():
            return [
                uplink.host.run(program, "-S", "FORWARD") for program in ("iptables-nft", "iptables-legacy")
            ]

    assert uplink.host.call_async(look) == ["-P FORWARD ACCEPT\n"] * 2


def test_leaving_copes_with_a_firewall_that_was_flushed_meanwhile(uplink: Uplink) -> None:
    uplink.host.run("iptables-nft", "-P", "FORWARD", "DROP")
    uplink.host.run("iptables-legacy", "-P", "FORWARD", "DROP")

    async def flush() -> dict[str, str]:
        async with manager_of(IPV4_ONLY).open():
            uplink.host.run("nft", "flush", "ruleset")
            uplink.host.run("iptables-legacy", "-F")
        return uplink.host.snapshot()

    after = uplink.host.call_async(flush)
    assert after["nft list ruleset"] == ""
    assert "tungo" not in after["iptables-legacy-save"]


def test_a_firewall_that_iptables_does_not_know_is_named_in_the_log(uplink: Uplink) -> None:
    add_chain(uplink, "inet strict", "forward", "type filter hook forward priority 0; policy drop;")
    log = RememberingLog()

    async def open_and_leave() -> None:
        async with manager_of(IPV4_ONLY, log).open():
            pass

    uplink.host.call_async(open_and_leave)
    assert [event.fields["chain"] for event in log.events] == ["inet strict forward"]


@pytest.mark.parametrize("program", ["iptables-nft", "iptables-legacy"])
def test_a_firewall_of_an_iptables_that_is_not_installed_is_named_in_the_log(
    uplink: Uplink, program: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    uplink.host.run(program, "-P", "FORWARD", "DROP")
    nft = shutil.which("nft")
    assert nft is not None
    (tmp_path / "nft").symlink_to(nft)
    log = RememberingLog()

    async def open_and_leave() -> None:
        async with manager_of(IPV4_ONLY, log).open():
            pass

    with monkeypatch.context() as patch:
        patch.setenv("PATH", str(tmp_path))
        uplink.host.call_async(open_and_leave)
    [event] = log.events
    assert "FORWARD" in str(event.fields["chain"])
    assert "as installed here" in str(event.fields["reason"])


def test_isolated_clients_reach_neither_one_another_nor_those_of_another_transport(uplink: Uplink) -> None:
    other = dataclasses.replace(IPV4_ONLY, interface_name="s_tcptun0", ipv4_subnet=IPv4Network("10.0.0.0/24"))
    tunnels = [INTERFACE, other.interface_name]

    async def talk() -> bytes:
        async with (
            manager_of(IPV4_ONLY, isolated_from=tunnels).open() as device,
            manager_of(other, isolated_from=tunnels).open() as other_device,
        ):
            for sender, sent_by in ((device, CLIENT), (other_device, "10.0.0.2")):
                for receiver in ("10.0.1.3", "10.0.0.3"):
                    send_packets(sender, [udp_packet(sent_by, receiver, b"hello")])
            with uplink.internet_socket(INTERNET) as there:
                send_packets(device, [udp_packet(CLIENT, INTERNET, b"question")])
                question, _ = there.recvfrom(100)
            # By now whatever was let through is there.
            arrived = [*packets_from(device, 100), *packets_from(other_device, 100)]
            assert not any(b"hello" in packet for packet in arrived)
            return question

    assert uplink.host.call_async(talk) == b"question"


def test_isolated_clients_still_reach_the_server_itself(uplink: Uplink) -> None:
    async def talk() -> bytes:
        async with manager_of(IPV4_ONLY, isolated_from=[INTERFACE]).open() as device:
            with uplink.host.call(partial(socket.socket, socket.AF_INET, socket.SOCK_DGRAM)) as server:
                server.settimeout(1)
                server.bind(("10.0.1.1", 4001))
                send_packets(device, [udp_packet(CLIENT, "10.0.1.1", b"hello")])
                return server.recv(100)

    assert uplink.host.call_async(talk) == b"hello"


@pytest.mark.parametrize(("client", "destination"), [(CLIENT, INTERNET), (CLIENT_V6, INTERNET_V6)])
def test_without_nat_clients_are_seen_under_their_tunnel_addresses(
    uplink: Uplink, client: str, destination: str
) -> None:
    uplink.gateway.run("ip", "route", "add", "10.0.1.0/24", "via", HOST)
    uplink.gateway.run("ip", "-6", "route", "add", "fd00:1::/64", "via", HOST_V6)
    # Lets the host know the gateway: without a link-local address it could not look for it for others.
    assert uplink.answers(destination)

    async def talk() -> tuple[str, bytes]:
        async with manager_of(DUAL_STACK, nat=False).open() as device:
            with uplink.internet_socket(destination) as there:
                send_packets(device, [udp_packet(client, destination, b"question")])
                question, source = there.recvfrom(100)
                there.sendto(b"answer to " + question, source)
                return source[0], next_packet_to(device, client)

    source, answer = uplink.host.call_async(talk)
    assert source == client
    assert answer.endswith(b"answer to question")


@pytest.mark.parametrize("network", ["10.0.1.77/24", "10.0.0.77/16", "10.0.1.1/32", "fd00:1:0:0:1::7/80"])
def test_a_subnet_that_is_that_of_a_lan_is_refused_before_anything_is_changed(
    uplink: Uplink, network: str
) -> None:
    at_once = ["nodad"] if ":" in network else []  # or the address itself changes under the test
    uplink.host.run("ip", "addr", "add", network, "dev", uplink.interface, *at_once)
    before = uplink.host.snapshot()

    async def attempt() -> None:
        async with manager_of(DUAL_STACK).open():
            pass

    with pytest.raises(SubnetCollisionError, match=f"the network at {uplink.interface}: give the tunnel"):
        uplink.host.call_async(attempt)
    assert uplink.host.snapshot() == before


def test_a_second_server_with_the_interface_is_refused_and_the_first_goes_on(uplink: Uplink) -> None:
    async def attempt() -> tuple[dict[str, str], dict[str, str]]:
        async with manager_of(DUAL_STACK).open():
            first = uplink.host.snapshot()
            with pytest.raises(AnotherInstanceError, match=f"has {INTERFACE}"):
                async with manager_of(DUAL_STACK).open():
                    pass
            return first, uplink.host.snapshot()

    first, afterwards = uplink.host.call_async(attempt)
    assert first == afterwards


@pytest.mark.parametrize("was_on", [True, False])
def test_with_kernel_settings_that_cannot_be_written_forwarding_must_be_on_already(
    uplink: Uplink, was_on: bool
) -> None:
    if was_on:
        uplink.host.run("sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")
    before = uplink.host.snapshot()
    read_only = "mount --bind /proc/sys /proc/sys && mount -o remount,bind,ro /proc/sys"
    with uplink.host.start(
        *("unshare", "--mount", "--propagation", "private"),
        *("sh", "-c", f'{read_only} && exec "$@"', "sh"),
        *(sys.executable, "-c", READ_ONLY_PROGRAM),
    ) as program:
        assert program.stdout is not None
        said = program.stdout.read().splitlines()
    if was_on:
        warning = "kernel settings cannot be written here: forwarding is on and stays as it is"
        assert said == ["open", warning, warning]
    else:
        advice = "run `sysctl -w net.ipv4.ip_forward=1` on the host, or run as root"
        assert said == [
            f"cannot set the kernel setting net.ipv4.ip_forward to 1: no permission here: {advice}"
        ]
    assert uplink.host.snapshot() == before


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


def test_after_a_killed_server_the_next_one_leaves_everything_as_it_was_before_the_first(
    uplink: Uplink,
) -> None:
    uplink.host.run("sysctl", "-qw", "net.ipv4.conf.all.accept_redirects=0")
    uplink.host.run("iptables-nft", "-P", "FORWARD", "DROP")
    before = uplink.host.snapshot()
    killed = uplink.host.start(sys.executable, "-c", SERVER_PROGRAM)
    with killed:
        assert killed.stdout is not None
        assert killed.stdout.readline() == "open\n"
        killed.send_signal(signal.SIGKILL)
    assert uplink.host.snapshot()["sysctl"] != before["sysctl"]
    log = RememberingLog()

    async def open_and_leave() -> tuple[str, str]:
        async with manager_of(DUAL_STACK, log).open():
            return (
                uplink.host.run("nft", "list", "tables", "inet"),
                uplink.host.run("iptables-nft", "-S", "FORWARD"),
            )

    tables, chain = uplink.host.call_async(open_and_leave)
    assert tables == f"table inet tungo_server_{INTERFACE}\n"
    assert chain.count(f"tungo:{INTERFACE}") == 2
    assert log.messages == ["took back what a killed process had left behind"]
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
        for packet in packets_from(device, 1):
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
