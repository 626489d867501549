"""The steps that a client's and a server's interface have in common."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from application.runtime.log import EventLog
from domain.addressing.tunnel import TunnelAddresses
from domain.settings.offload import OffloadMode
from domain.settings.profile import TransportProfile
from infrastructure.pal.linux.netlink import Netlink
from infrastructure.pal.linux.sysctl import enable_ipv6_on, ipv6_is_available
from infrastructure.pal.linux.tun import LinuxTunDevice

# Ours. The 500 of a new TUN device are not enough for one TCP stream that comes as packets: it lost
# thousands in a few seconds, with 1000 none. Super-packets come nowhere near either.
QUEUE_LENGTH_PACKETS: Final = 1000


def check_families(profile: TransportProfile, addresses: TunnelAddresses) -> None:
    """Raises ValueError if one of ``profile`` and ``addresses`` has IPv6 and the other has not.

    The MTU that suits IPv6 follows from the profile, so the two must not disagree.
    """
    if (profile.ipv6_subnet is None) != (addresses.ipv6 is None):
        raise ValueError(f"the profile of {profile.interface_name} and its addresses disagree about IPv6")


def usable_addresses(interface: str, addresses: TunnelAddresses, log: EventLog) -> TunnelAddresses:
    """``addresses``, without IPv6 where this host has none: the tunnel then carries IPv4 alone."""
    if addresses.ipv6 is None or ipv6_is_available():
        return addresses
    log.warning("this host has no IPv6: the tunnel carries IPv4 only", interface=interface)
    return TunnelAddresses(ipv4=addresses.ipv4, ipv6=None)


@contextmanager
def tun_device(name: str, segmentation: OffloadMode, log: EventLog) -> Iterator[LinuxTunDevice]:
    """The device, down and bare; closing it on exit takes its addresses and routes along.

    ``log`` is told what the kernel cannot do of what ``segmentation`` would have. Raises TunError.
    """
    device = LinuxTunDevice.create(name, segmentation)
    if segmentation is not OffloadMode.OFF and not device.offload.tcp:
        log.info(
            "the kernel does not have it: packets cross the interface one by one", offload="TunSegmentation"
        )
    try:
        yield device
    finally:
        device.close()


async def bring_up(
    netlink: Netlink, interface: str, mtu_bytes: int, addresses: TunnelAddresses, *, subnet_route: bool
) -> None:
    """Queue, MTU, addresses, up; addresses after the MTU, for Linux drops IPv6 from an interface below 1280.

    ``subnet_route`` as for ``Netlink.add_address``. Raises NetworkError.
    """
    await netlink.set_queue_length(interface, QUEUE_LENGTH_PACKETS)
    await netlink.set_mtu(interface, mtu_bytes)
    await netlink.add_address(interface, addresses.ipv4, subnet_route=subnet_route)
    if addresses.ipv6 is not None:
        enable_ipv6_on(interface)
        await netlink.add_address(interface, addresses.ipv6, subnet_route=subnet_route)
    await netlink.set_up(interface)
