"""The steps that a client's and a server's interface have in common."""

from collections.abc import Iterator
from contextlib import contextmanager

from application.runtime.log import EventLog
from domain.addressing.tunnel import TunnelAddresses
from domain.settings.profile import TransportProfile
from infrastructure.pal.linux.netlink import Netlink
from infrastructure.pal.linux.sysctl import enable_ipv6_on, ipv6_is_available
from infrastructure.pal.linux.tun import LinuxTunDevice


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
def tun_device(name: str) -> Iterator[LinuxTunDevice]:
    """The device, down and bare; closing it on exit takes its addresses and routes along. Raises TunError."""
    device = LinuxTunDevice.create(name)
    try:
        yield device
    finally:
        device.close()


async def bring_up(
    netlink: Netlink, interface: str, mtu_bytes: int, addresses: TunnelAddresses, *, subnet_route: bool
) -> None:
    """MTU, addresses, up: in this order, because Linux drops IPv6 from an interface below 1280.

    ``subnet_route`` as for ``Netlink.add_address``. Raises NetworkError.
    """
    await netlink.set_mtu(interface, mtu_bytes)
    await netlink.add_address(interface, addresses.ipv4, subnet_route=subnet_route)
    if addresses.ipv6 is not None:
        enable_ipv6_on(interface)
        await netlink.add_address(interface, addresses.ipv6, subnet_route=subnet_route)
    await netlink.set_up(interface)
