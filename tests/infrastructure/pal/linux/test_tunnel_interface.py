"""An interface of a tunnel: what the log says about its device, and how it is set up."""

import errno
import fcntl
from contextlib import closing
from ipaddress import IPv4Interface

import pytest

import infrastructure.pal.linux.tun as tun_module
from domain.addressing.tunnel import TunnelAddresses
from domain.settings.offload import OffloadMode
from infrastructure.pal.linux.netlink import open_netlink
from infrastructure.pal.linux.tun import LinuxTunDevice
from infrastructure.pal.linux.tunnel_interface import bring_up, tun_device
from tests.adapters.log import LoggedEvent, RememberingLog
from tests.netns.bed import NetnsBed

TUNSETOFFLOAD = 0x400454D0


@pytest.fixture
def kernel_without_offloads(monkeypatch: pytest.MonkeyPatch) -> None:
    def ioctl(_fd: int, request: int, _argument: int | bytes) -> int:
        if request == TUNSETOFFLOAD:
            raise OSError(errno.EINVAL, "Invalid argument")
        return 0

    monkeypatch.setattr(fcntl, "ioctl", ioctl)
    monkeypatch.setattr(tun_module, "CLONE_DEVICE", "/dev/null")


@pytest.mark.usefixtures("kernel_without_offloads")
@pytest.mark.parametrize(("mode", "told"), [(OffloadMode.AUTO, 1), (OffloadMode.OFF, 0)])
def test_the_log_is_told_of_an_offload_that_would_be_used_and_is_not_there(
    mode: OffloadMode, told: int
) -> None:
    log = RememberingLog()
    with tun_device("tun-test", mode, log) as device:
        assert device.segments_in_software
    assert device.fileno() == -1
    missing = LoggedEvent(
        "info",
        "the kernel does not have it: packets cross the interface one by one",
        {"offload": "TunSegmentation"},
    )
    assert log.events == [missing] * told


@pytest.mark.netns
def test_the_interface_is_up_with_address_mtu_and_room_for_a_burst(bed: NetnsBed) -> None:
    namespace = bed.namespace("interface")
    addresses = TunnelAddresses(ipv4=IPv4Interface("10.88.0.1/24"), ipv6=None)

    async def configure() -> None:
        async with open_netlink() as netlink:
            await bring_up(netlink, "tun-test", 1400, addresses, subnet_route=True)

    with closing(namespace.call(lambda: LinuxTunDevice.create("tun-test"))):
        namespace.call_async(configure)
        shown = namespace.run("ip", "addr", "show", "tun-test")
    assert ",UP," in shown
    assert " mtu 1400 " in shown
    assert " qlen 1000\n" in shown
    assert "inet 10.88.0.1/24 " in shown
