"""While the devices of a client's transports take each other's place, nothing leaves beside the tunnel."""

import asyncio
import socket
import threading
import time
from contextlib import closing, suppress
from functools import partial
from ipaddress import IPv4Network, IPv6Network
from typing import Final

import pytest

from application.network.routing.tun import TunDevice
from domain.addressing.tunnel import client_addresses
from domain.settings.profile import ServerAddress, TransportProfile, TransportProtocol
from infrastructure.pal.linux.journal import JournalFolder
from infrastructure.pal.tunnel.client.tun_manager import LinuxClientTunManager
from tests.adapters.log import RememberingLog
from tests.adapters.tun_packets import packets_from
from tests.netns.bed import NetnsBed
from tests.netns.uplink import INTERNET, INTERNET_V6, PORT, Uplink

pytestmark = pytest.mark.netns

SWAPS: Final = 20

# What the packets say: each names the time at which it is sent.
BEFORE: Final = b"before the host is held"
PRIVATE: Final = b"private"
AFTER: Final = b"after the host is released"

# <linux/if_ether.h>, <linux/if_packet.h>
_ETH_P_ALL: Final = 0x0003
_PACKET_OUTGOING: Final = 4
_PATIENCE_S: Final = 2.0
_MORE_THAN_WAITS: Final = 1000  # packets; the queue of a TUN device has room for 500


class Applications:
    """Four programs that talk to the Internet without knowing of a tunnel.

    For IPv4 and IPv6 one socket looks the way up for each packet, and one is connected since before the host
    was held: the kernel remembers its way and its source address.
    """

    def __init__(self, uplink: Uplink) -> None:
        self._sockets: list[tuple[socket.socket, str]] = []
        for address in (INTERNET, INTERNET_V6):
            unconnected, connected = uplink.host_socket(address), uplink.host_socket(address)
            connected.connect((address, PORT))
            self._sockets += [(unconnected, address), (connected, "")]
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._talk, name="applications")
        self._rounds = 0

    def say(self, word: bytes) -> None:
        """Each of the four sends ``word`` once; the kernel may refuse it."""
        for each, address in self._sockets:
            # A refusal of an earlier packet would stand in the way of this one.
            each.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            with suppress(OSError):
                if address:
                    each.sendto(word, (address, PORT))
                else:
                    each.send(word)

    def start(self) -> None:
        """Say ``PRIVATE`` without pause from now on, from a thread."""
        self._thread.start()

    def stop(self) -> None:
        """Say no more; the last packet has left on return."""
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join()

    def close(self) -> None:
        """Stop, and release the sockets."""
        self.stop()
        for each, _ in self._sockets:
            each.close()

    async def go_on(self) -> None:
        """Return when all four have spoken at least once more."""
        wanted = self._rounds + 2  # one round may be half over
        async with asyncio.timeout(_PATIENCE_S):
            while self._rounds < wanted:
                await asyncio.sleep(0.0005)

    def _talk(self) -> None:
        while not self._stopped.is_set():
            self.say(PRIVATE)
            self._rounds += 1
            time.sleep(0.0002)  # the thread that makes the devices needs the interpreter, too


class UplinkTap:
    """All frames that the host has sent on its uplink since the tap was made."""

    def __init__(self, uplink: Uplink) -> None:
        self._socket = uplink.host.call(partial(socket.socket, socket.AF_PACKET, socket.SOCK_RAW))
        self._socket.setblocking(False)
        self._socket.bind((uplink.interface, _ETH_P_ALL))
        self._frames: list[bytes] = []

    def count(self, word: bytes) -> int:
        """How many of them say ``word``. The kernel shows a frame here before the sender goes on."""
        with suppress(BlockingIOError):
            while True:
                frame, (_, _, direction, *_) = self._socket.recvfrom(65535)
                if direction == _PACKET_OUTGOING:  # not the gateway's refusals, which quote what they refuse
                    self._frames.append(frame)
        return sum(word in frame for frame in self._frames)

    def close(self) -> None:
        """Release the socket."""
        self._socket.close()


def profile_of(
    protocol: TransportProtocol, number: int, mtu_bytes: int, ipv6: str | None
) -> TransportProfile:
    return TransportProfile(
        protocol=protocol,
        interface_name=f"c_{protocol.value.lower()}tun0",
        ipv4_subnet=IPv4Network(f"10.0.{number}.0/24"),
        ipv6_subnet=IPv6Network(ipv6) if ipv6 else None,
        server=ServerAddress(domain="vpn.example"),
        port=9090,
        mtu_bytes=mtu_bytes,
        dial_timeout_ms=5000,
    )


TRANSPORTS: Final = (
    profile_of(TransportProtocol.UDP, 1, 1400, "fd00:1::/64"),
    profile_of(TransportProtocol.TCP, 2, 1500, "fd00:2::/64"),
    profile_of(TransportProtocol.WS, 3, 1500, None),
)


@pytest.fixture
def uplink(bed: NetnsBed) -> Uplink:
    made = Uplink(bed)
    assert made.answers(INTERNET)  # the neighbours are known now: no packet waits for them
    assert made.answers(INTERNET_V6)
    return made


def test_nothing_leaves_in_clear_while_devices_are_swapped_again_and_again(uplink: Uplink) -> None:
    async def hold_and_swap(applications: Applications, tap: UplinkTap) -> None:
        manager = LinuxClientTunManager(RememberingLog(), JournalFolder.of_this_host())
        async with manager.hold():
            applications.start()
            await applications.go_on()
            for number in range(SWAPS):
                profile = TRANSPORTS[number % len(TRANSPORTS)]
                addresses = client_addresses(profile.ipv4_subnet, profile.ipv6_subnet, client_id=1)
                async with manager.open(profile, addresses) as device:
                    await applications.go_on()
                    assert spoken_into(device) == ({4, 6} if profile.ipv6_subnet else {4})
                await applications.go_on()
                assert tap.count(PRIVATE) == 0
            applications.stop()

    with closing(Applications(uplink)) as applications, closing(UplinkTap(uplink)) as tap:
        applications.say(BEFORE)
        assert tap.count(BEFORE) == 4
        uplink.host.call_async(partial(hold_and_swap, applications, tap))
        applications.say(AFTER)
        assert tap.count(AFTER) == 4
        assert tap.count(PRIVATE) == 0


def spoken_into(device: TunDevice) -> set[int]:
    """The IP versions of the applications' packets that wait in the device."""
    return {packet[0] >> 4 for packet in packets_from(device, _MORE_THAN_WAITS) if PRIVATE in packet}
