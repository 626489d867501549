"""A real TUN device: who made it, how long it lives, and what Linux refuses on it."""

import os
import signal
import sys
from functools import partial
from typing import Final

import pytest

from application.network.routing.tun import TunError
from infrastructure.pal.linux.tun import LinuxTunDevice
from tests.adapters.tun_packets import packets_from, send_packets
from tests.netns.bed import Namespace, NetnsBed
from tests.netns.packets import udp_packet

pytestmark = pytest.mark.netns

NAME: Final = "tun-test"

HOLDER_PROGRAM: Final = f"""
import time
from infrastructure.pal.linux.tun import LinuxTunDevice
device = LinuxTunDevice.create({NAME!r})
print("open", flush=True)
time.sleep(60)
"""

UNPRIVILEGED_PROGRAM: Final = f"""
import os
from application.network.routing.tun import TunUnavailableError
from infrastructure.pal.linux.tun import LinuxTunDevice
os.setuid(65534)
try:
    LinuxTunDevice.create({NAME!r})
except TunUnavailableError as exc:
    print(exc)
"""


@pytest.fixture
def namespace(bed: NetnsBed) -> Namespace:
    return bed.namespace("tun")


def create(namespace: Namespace) -> LinuxTunDevice:
    return namespace.call(partial(LinuxTunDevice.create, NAME))


def has_interface(namespace: Namespace) -> bool:
    return NAME in namespace.run("ip", "link")


def test_the_device_is_neither_persistent_nor_inherited(namespace: Namespace) -> None:
    device = create(namespace)
    assert "persist off" in namespace.run("ip", "-d", "link", "show", NAME)
    assert not os.get_inheritable(device.fileno())
    assert not os.get_blocking(device.fileno())
    device.close()
    assert not has_interface(namespace)


def test_the_device_vanishes_with_a_killed_process(namespace: Namespace) -> None:
    with namespace.start(sys.executable, "-c", HOLDER_PROGRAM) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "open\n"
        assert has_interface(namespace)
        holder.send_signal(signal.SIGKILL)
    assert not has_interface(namespace)


def test_a_name_in_use_is_refused_and_its_owner_goes_on(namespace: Namespace) -> None:
    first = create(namespace)
    with pytest.raises(TunError, match=f"ip link delete {NAME}"):
        create(namespace)
    assert has_interface(namespace)
    assert packets_from(first, 1) == []
    first.close()


@pytest.mark.parametrize("mode", ["tun", "tap"])
def test_a_persistent_device_of_somebody_else_is_not_taken_over(namespace: Namespace, mode: str) -> None:
    namespace.run("ip", "tuntap", "add", "dev", NAME, "mode", mode)
    with pytest.raises(TunError, match="already exists"):
        create(namespace)
    assert has_interface(namespace)


def test_a_process_without_rights_is_told_which_it_needs(namespace: Namespace) -> None:
    with namespace.start(sys.executable, "-c", UNPRIVILEGED_PROGRAM) as program:
        assert program.stdout is not None
        assert "CAP_NET_ADMIN" in program.stdout.read()


def test_packets_written_while_the_interface_is_down_are_counted(namespace: Namespace) -> None:
    device = create(namespace)
    packet = udp_packet("10.88.0.2", "10.88.0.1", b"x")
    assert send_packets(device, [packet, packet]) == 0
    assert (device.drops.interface_down, device.drops.total) == (2, 2)
    device.close()


def test_malformed_packets_are_counted(namespace: Namespace) -> None:
    device = create(namespace)
    namespace.run("ip", "link", "set", NAME, "up")
    assert send_packets(device, [b"", b"\x00\x00", b"\xf0"]) == 0
    assert (device.drops.malformed, device.drops.total) == (3, 3)
    device.close()
