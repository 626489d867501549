"""The kill switch on a real kernel: what still leaves the host, seen on its uplink."""

import asyncio
import signal
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Coroutine, Iterable, Iterator
from contextlib import closing, suppress
from functools import partial
from ipaddress import IPv4Network, IPv6Network
from typing import Final, TypeVar

import pytest

from domain.addressing.split import Network
from infrastructure.pal.linux.errors import ForeignNameError, NftMissingError
from infrastructure.pal.linux.kill_switch import (
    LOCK_TABLE,
    Lock,
    connected_networks,
    is_locked,
    lock,
    locked,
    unlock,
)
from infrastructure.pal.linux.monitor import link_monitor
from infrastructure.pal.linux.netlink import open_netlink
from infrastructure.pal.linux.tun import LinuxTunDevice
from infrastructure.pal.tunnel.client.tun_manager import FIREWALL_MARK, SINK_INTERFACE
from tests.adapters.log import RememberingLog
from tests.adapters.network_changes import FakeNetworkSurroundings
from tests.adapters.tun_packets import packets_from, send_packets
from tests.netns.bed import Namespace, NetnsBed
from tests.netns.packets import udp_packet
from tests.netns.test_client_transport_swap import UplinkTap
from tests.netns.tungo_program import eventually
from tests.netns.uplink import (
    HOST,
    INTERNET,
    INTERNET_V6,
    NEIGHBOUR,
    NEIGHBOUR_V6,
    PORT,
    Uplink,
)

pytestmark = pytest.mark.netns

_T = TypeVar("_T")

INTERFACE: Final = "c_udptun0"
PATIENCE_S: Final = 10.0
WORD: Final = b"in clear"
STRICT: Final = Lock(mark=FIREWALL_MARK, interfaces=(INTERFACE, SINK_INTERFACE), allow_lan=False)
WITH_LAN: Final = Lock(mark=FIREWALL_MARK, interfaces=(INTERFACE, SINK_INTERFACE), allow_lan=True)
LAN: Final[tuple[Network, ...]] = (IPv4Network("192.0.2.0/24"), IPv6Network("2001:db8::/64"))
EVERYWHERE: Final = (INTERNET, INTERNET_V6, NEIGHBOUR, NEIGHBOUR_V6)

# <linux/if_ether.h>; offsets in an Ethernet frame
_ARP: Final = b"\x08\x06"
_IPV6: Final = b"\x86\xdd"
_HOP_BY_HOP: Final = 0
_MLD2_REPORT: Final = 143
_ICMPV6: Final = 58
_NEIGHBOUR_DISCOVERY: Final = (133, 135, 136)

LOCKING_PROGRAM: Final = """
import asyncio
from tests.netns.test_kill_switch import STRICT
from infrastructure.pal.linux.kill_switch import lock

async def run():
    await lock(STRICT)
    print("locked", flush=True)
    await asyncio.Event().wait()

asyncio.run(run())
"""


@pytest.fixture
def uplink(bed: NetnsBed) -> Uplink:
    made = Uplink(bed)
    for address in EVERYWHERE:
        assert eventually(partial(made.answers, address), PATIENCE_S)  # the neighbours are known now
    return made


def on_host(uplink: Uplink, action: Callable[[], Coroutine[None, None, _T]]) -> _T:
    return uplink.host.call_async(action)


def locked_host(uplink: Uplink, rules: Lock, networks: Iterable[Network] = LAN) -> None:
    on_host(uplink, partial(lock, rules, networks))


def reached(uplink: Uplink, mark: int = 0) -> set[str]:
    """The addresses that a datagram gets to, and its answer back."""
    found = set()
    for address in EVERYWHERE:
        with suppress(PermissionError):
            if uplink.answers(address, mark):
                found.add(address)
    return found


def say(uplink: Uplink, address: str, mark: int = 0) -> None:
    """Send ``WORD`` there; the kernel may refuse it."""
    with uplink.host_socket(address, mark) as here, suppress(OSError):
        here.sendto(WORD, (address, PORT))


def test_nothing_gets_out_but_what_is_marked(uplink: Uplink) -> None:
    locked_host(uplink, STRICT)
    with closing(UplinkTap(uplink)) as tap:
        for address in EVERYWHERE:
            say(uplink, address)
        assert tap.count(WORD) == 0
        say(uplink, INTERNET, FIREWALL_MARK)
        say(uplink, INTERNET_V6, FIREWALL_MARK)
        assert tap.count(WORD) == 2
    assert reached(uplink, FIREWALL_MARK) == set(EVERYWHERE)


def test_no_frame_leaves_but_questions_for_neighbours(uplink: Uplink) -> None:
    locked_host(uplink, STRICT)
    uplink.host.run("ip", "neigh", "flush", "all")
    with closing(UplinkTap(uplink)) as tap:
        for address in EVERYWHERE:
            say(uplink, address)
            with uplink.host.call(partial(socket.socket, family_of(address))) as application:
                application.setblocking(False)
                with suppress(OSError):
                    application.connect((address, PORT))
            ping(uplink.host, address)
        say_to_all(uplink.host, WORD, from_port=5000, to_port=PORT)
        tap.count(b"")
        frames = list(tap._frames)
    assert [frame for frame in frames if not asks_for_neighbours(frame)] == []


def test_loopback_goes_on(uplink: Uplink) -> None:
    locked_host(uplink, STRICT)

    def talk(family: socket.AddressFamily, address: str) -> bytes:
        with (
            socket.socket(family, socket.SOCK_DGRAM) as there,
            socket.socket(family, socket.SOCK_DGRAM) as here,
        ):
            there.settimeout(1)
            there.bind((address, 0))
            here.sendto(WORD, there.getsockname())
            return there.recv(100)

    for address in ("127.0.0.1", "::1", HOST):
        assert uplink.host.call(partial(talk, family_of(address), address)) == WORD


def test_dhcp_goes_on_and_nothing_that_only_looks_like_it(uplink: Uplink) -> None:
    servers_v6 = f"ff02::1:2%{uplink.interface}"
    locked_host(uplink, STRICT)
    with closing(UplinkTap(uplink)) as tap:
        say_to_all(uplink.host, WORD, from_port=68, to_port=67)
        assert tap.count(WORD) == 1
        say_to_all(uplink.host, WORD, from_port=546, to_port=547, everybody=servers_v6)
        assert tap.count(WORD) == 2
        for from_port, to_port in ((5000, 67), (68, PORT), (67, 68), (546, 547)):
            say_to_all(uplink.host, WORD, from_port=from_port, to_port=to_port)
        for from_port, to_port in ((5000, 547), (546, PORT), (68, 67)):
            say_to_all(uplink.host, WORD, from_port=from_port, to_port=to_port, everybody=servers_v6)
        assert tap.count(WORD) == 2


def test_the_local_networks_are_reached_where_they_are_allowed(uplink: Uplink) -> None:
    locked_host(uplink, WITH_LAN)
    assert reached(uplink) == {NEIGHBOUR, NEIGHBOUR_V6}
    locked_host(uplink, STRICT)
    assert reached(uplink) == set()


def test_the_tunnel_is_the_way_out(uplink: Uplink) -> None:
    locked_host(uplink, STRICT)
    uplink.host.run("ip", "tuntap", "add", "dev", INTERFACE, "mode", "tun")
    uplink.host.run("ip", "addr", "add", "10.0.1.2/24", "dev", INTERFACE)
    uplink.host.run("ip", "link", "set", INTERFACE, "up")
    with uplink.host_socket(INTERNET) as application:
        application.sendto(WORD, ("10.0.1.1", PORT))  # would raise PermissionError
        with pytest.raises(PermissionError):
            application.sendto(WORD, (INTERNET, PORT))


def test_whoever_connects_from_outside_gets_no_answer_but_from_the_local_network(uplink: Uplink) -> None:
    locked_host(uplink, WITH_LAN)
    with uplink.host.call(partial(socket.create_server, (HOST, 22))):
        connect = partial(socket.create_connection, (HOST, 22), timeout=0.3)
        with uplink.gateway.call(partial(connect, source_address=(NEIGHBOUR, 0))):
            pass
        with pytest.raises(TimeoutError):
            uplink.gateway.call(partial(connect, source_address=(INTERNET, 0)))


def test_packets_of_others_pass_only_into_the_tunnel_or_the_local_network(
    bed: NetnsBed, uplink: Uplink
) -> None:
    guest = bed.namespace("guest")
    bed.join(guest, ["10.5.0.2/24"], uplink.host, ["10.5.0.1/24"])
    guest.run("ip", "route", "add", "default", "via", "10.5.0.1")
    uplink.host.run("sysctl", "-qw", "net.ipv4.ip_forward=1")

    def talk(address: str) -> None:
        with guest.call(partial(socket.socket, socket.AF_INET, socket.SOCK_DGRAM)) as here:
            here.sendto(WORD, (address, PORT))

    with closing(UplinkTap(uplink)) as tap:
        talk(INTERNET)
        assert tap.count(WORD) == 1
        locked_host(uplink, WITH_LAN)
        talk(INTERNET)
        assert tap.count(WORD) == 1
        talk(NEIGHBOUR)
        assert tap.count(WORD) == 2
        locked_host(uplink, STRICT)
        talk(NEIGHBOUR)
        assert tap.count(WORD) == 2


def test_others_use_the_tunnel_and_hear_its_answers_but_nothing_unasked(
    bed: NetnsBed, uplink: Uplink
) -> None:
    guest = bed.namespace("guest")
    bed.join(guest, ["10.5.0.2/24"], uplink.host, ["10.5.0.1/24"])
    guest.run("ip", "route", "add", "default", "via", "10.5.0.1")
    uplink.host.run("sysctl", "-qw", "net.ipv4.ip_forward=1")
    locked_host(uplink, STRICT)
    with closing(uplink.host.call(partial(LinuxTunDevice.create, INTERFACE))) as tunnel:
        uplink.host.run("ip", "link", "set", INTERFACE, "up")
        uplink.host.run("ip", "route", "add", f"{INTERNET}/32", "dev", INTERFACE)
        with guest.call(partial(socket.socket, socket.AF_INET, socket.SOCK_DGRAM)) as application:
            application.settimeout(0.2)
            application.bind(("10.5.0.2", 4001))
            send_packets(tunnel, [udp_packet(INTERNET, "10.5.0.2", b"unasked")])
            with pytest.raises(TimeoutError):
                application.recv(100)
            application.sendto(b"question", (INTERNET, 4000))
            assert any(packet.endswith(b"question") for packet in packets_from(tunnel, 100))
            send_packets(tunnel, [udp_packet(INTERNET, "10.5.0.2", b"answer")])
            assert application.recv(100) == b"answer"


def test_neighbours_are_found_anew(uplink: Uplink) -> None:
    locked_host(uplink, STRICT)
    uplink.host.run("ip", "neigh", "flush", "all")
    assert reached(uplink, FIREWALL_MARK) == set(EVERYWHERE)


def test_switches_learn_which_groups_the_host_listens_to(uplink: Uplink) -> None:
    group = socket.inet_pton(socket.AF_INET6, "ff05::4321")
    locked_host(uplink, STRICT)

    def join() -> socket.socket:
        member = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        index = socket.if_nametoindex(uplink.interface)
        member.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, group + struct.pack("@I", index))
        return member

    with closing(UplinkTap(uplink)) as tap, uplink.host.call(join):
        assert eventually(
            lambda: tap.count(group) > 0, within_s=2
        )  # the kernel spreads reports over a second


def test_a_local_network_counts_as_soon_as_the_host_is_in_it_and_no_longer(uplink: Uplink) -> None:
    uplink.gateway.run("ip", "addr", "add", "10.77.0.1/24", "dev", "veth0r")

    async def live() -> None:
        log = RememberingLog()
        async with (
            open_netlink() as netlink,
            link_monitor(WITH_LAN.interfaces, log, settle_s=0.02) as changes,
            locked(WITH_LAN, netlink, changes, log),
        ):
            assert reached(uplink) == {NEIGHBOUR, NEIGHBOUR_V6}
            assert not await comes_true(lambda: can_reach(uplink, "10.77.0.1"), within_s=0.1)
            uplink.host.run("ip", "addr", "add", "10.77.0.2/24", "dev", uplink.interface)
            assert await comes_true(lambda: can_reach(uplink, "10.77.0.1"), within_s=2)
            uplink.host.run("ip", "addr", "del", "10.77.0.2/24", "dev", uplink.interface)
            uplink.host.run("ip", "route", "add", "10.77.0.1/32", "via", NEIGHBOUR)
            assert await comes_true(lambda: not can_reach(uplink, "10.77.0.1"), within_s=2)
        assert await is_locked()
        assert log.messages == []

    on_host(uplink, live)
    assert reached(uplink) == {NEIGHBOUR, NEIGHBOUR_V6}


def test_a_network_that_is_too_large_to_be_local_does_not_open_the_internet(uplink: Uplink) -> None:
    async def connected() -> set[Network]:
        async with open_netlink() as netlink:
            return set(await connected_networks(netlink, WITH_LAN.interfaces))

    for address in ("198.51.0.2/8", "10.0.0.2/8", "0.0.0.2/1", "172.17.0.1/16", "fd00:7::1/32", "3000::1/16"):
        nodad = ["nodad"] if ":" in address else []
        uplink.host.run("ip", "addr", "add", address, "dev", uplink.interface, *nodad)
    uplink.host.run("ip", "route", "add", "203.0.113.0/24", "via", NEIGHBOUR)
    assert on_host(uplink, connected) == {
        *LAN,
        IPv4Network("10.0.0.0/8"),
        IPv4Network("172.17.0.0/16"),
        IPv6Network("fd00:7::/32"),
    }


def test_the_networks_of_the_tunnel_itself_are_not_local(uplink: Uplink) -> None:
    async def connected() -> list[Network]:
        async with open_netlink() as netlink:
            return await connected_networks(netlink, WITH_LAN.interfaces)

    uplink.host.run("ip", "tuntap", "add", "dev", INTERFACE, "mode", "tun")
    uplink.host.run("ip", "addr", "add", "10.0.1.2/24", "dev", INTERFACE)
    uplink.host.run("ip", "link", "set", INTERFACE, "up")
    assert set(on_host(uplink, connected)) == set(LAN)


def test_it_outlives_the_killed_process_and_unlocking_leaves_no_trace(uplink: Uplink) -> None:
    before = uplink.host.snapshot()
    with uplink.host.start(sys.executable, "-c", LOCKING_PROGRAM) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "locked\n"
        process.send_signal(signal.SIGKILL)
    assert reached(uplink) == set()
    assert on_host(uplink, is_locked)
    assert on_host(uplink, unlock) is True
    assert uplink.host.snapshot() == before
    assert on_host(uplink, unlock) is False
    assert reached(uplink) == set(EVERYWHERE)


def test_locking_again_leaves_no_gap(uplink: Uplink) -> None:
    stopped = threading.Event()

    def talk() -> None:
        while not stopped.is_set():
            for address in (INTERNET, INTERNET_V6):
                say(uplink, address)

    locked_host(uplink, STRICT)
    first = uplink.host.run("nft", "-s", "list", "ruleset")
    talking = threading.Thread(target=talk)
    with closing(UplinkTap(uplink)) as tap:
        talking.start()
        try:
            for _ in range(10):
                locked_host(uplink, WITH_LAN)
                locked_host(uplink, STRICT)
        finally:
            stopped.set()
            talking.join()
        assert tap.count(WORD) == 0
    assert uplink.host.run("nft", "-s", "list", "ruleset") == first


def test_without_nft_nothing_is_pretended(uplink: Uplink, monkeypatch: pytest.MonkeyPatch) -> None:
    before = uplink.host.snapshot()
    with monkeypatch.context() as patch:
        patch.setenv("PATH", "/nonexistent")
        with pytest.raises(NftMissingError, match="install the package nftables"):
            locked_host(uplink, STRICT)
    assert uplink.host.snapshot() == before


@pytest.mark.parametrize("action", [lambda: lock(STRICT), unlock, is_locked])
def test_a_table_of_somebody_else_with_our_name_is_left_alone(
    uplink: Uplink, action: Callable[[], Coroutine[None, None, object]]
) -> None:
    uplink.host.run("nft", f"add table inet {LOCK_TABLE}; add chain inet {LOCK_TABLE} theirs")
    before = uplink.host.snapshot()
    with pytest.raises(ForeignNameError, match=f"somebody else has a firewall table inet {LOCK_TABLE}"):
        on_host(uplink, action)
    assert uplink.host.snapshot() == before


def test_a_network_that_cannot_be_let_through_is_logged_and_the_lock_holds(
    uplink: Uplink, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def live() -> list[str]:
        log, changes = RememberingLog(), FakeNetworkSurroundings("dev eth0")
        async with open_netlink() as netlink, locked(WITH_LAN, netlink, changes, log):
            monkeypatch.setenv("PATH", "/nonexistent")
            changes.become("dev wlan0")
            assert await comes_true(lambda: bool(log.messages), within_s=2)
            monkeypatch.undo()
        return log.messages

    assert on_host(uplink, live) == ["the kill switch does not know the new local network"]
    assert reached(uplink) == {NEIGHBOUR, NEIGHBOUR_V6}


async def comes_true(condition: Callable[[], bool], within_s: float) -> bool:
    """``eventually``, while the loop goes on."""
    return await asyncio.to_thread(eventually, condition, within_s)


def can_reach(uplink: Uplink, address: str) -> bool:
    try:
        return uplink.answers(address)
    except PermissionError:
        return False


def family_of(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def ping(namespace: Namespace, address: str) -> None:
    """One echo request, which nobody waits for an answer to."""
    command = ["ip", "netns", "exec", namespace.name, "ping", "-q", "-c1", "-W0.05", address]
    subprocess.run(command, capture_output=True, check=False, timeout=10)


def say_to_all(
    namespace: Namespace, word: bytes, *, from_port: int, to_port: int, everybody: str = "255.255.255.255"
) -> None:
    """Broadcast ``word``; the kernel may refuse it."""

    def broadcast() -> None:
        with socket.socket(family_of(everybody), socket.SOCK_DGRAM) as here:
            here.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
            here.bind(("", from_port))
            with suppress(PermissionError):
                here.sendto(word, socket.getaddrinfo(everybody, to_port)[0][4])

    namespace.call(broadcast)


def asks_for_neighbours(frame: bytes) -> bool:
    """Whether an Ethernet frame is ARP, IPv6 neighbour discovery, or the report that lets its questions come.

    The kernel repeats such a report (MLDv2, behind a hop-by-hop header) for some seconds after an address was
    added.
    """
    kind = frame[12:14]
    if kind == _IPV6 and frame[20] == _HOP_BY_HOP:
        return frame[54] == _ICMPV6 and frame[62] == _MLD2_REPORT
    return kind == _ARP or (kind == _IPV6 and frame[20] == _ICMPV6 and frame[54] in _NEIGHBOUR_DISCOVERY)


@pytest.fixture(autouse=True)
def nothing_stays_locked(uplink: Uplink) -> Iterator[None]:
    """The namespace goes away anyway; this shows that unlocking works from wherever a test has got to."""
    yield
    with suppress(ForeignNameError):
        on_host(uplink, unlock)
        assert not on_host(uplink, is_locked)
