"""The virtual interface between the kernel's IP stack and the tunnel.

Errors::

    TunError                 the device or its configuration failed; the text says what to do
    ├── TunUnavailableError  this host has no such device: trying again will not help
    │   └── TunForbiddenError    this process may not use it (also a MissingRightsError)
    └── TunClosedError       the device is gone (closed, or deleted by somebody)
"""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from application.runtime.rights import MissingRightsError
from domain.addressing.tunnel import TunnelAddresses
from domain.packets.parcel import Parcel
from domain.settings.profile import TransportProfile


class TunError(Exception):
    """The TUN device or its configuration failed."""


class TunUnavailableError(TunError):
    """This host or process cannot have a TUN device."""


class TunForbiddenError(TunUnavailableError, MissingRightsError):
    """This process lacks the right to a TUN device or its configuration."""


class TunClosedError(TunError):
    """The TUN device is gone."""


class TunDevice(Protocol):
    """An open, non-blocking layer-3 device.

    What crosses it are parcels (``domain.packets.parcel``): IP packets or, where the kernel and the settings
    have it, super-packets of TCP and UDP that cost no more than a packet.
    """

    @property
    def name(self) -> str:
        """The interface name."""
        ...

    def fileno(self) -> int:
        """The descriptor to watch for readability; -1 after close."""
        ...

    def hand_out_super_packets(self, *, wanted: bool) -> None:
        """Whether the kernel hands out super-packets from now on, if it can and may; at first it does not.

        Worth it for whoever moves them on whole. For the others the kernel is better at cutting them. What
        waits in the device already is handed out as it is. Does nothing when the device is gone.
        """
        ...

    def read_parcels(self, limit: int) -> list[Parcel]:
        """What the kernel routes into the tunnel next, at most ``limit`` parcels, in order, or fewer that are
        long.

        They are as the kernel hands them out: super-packets of up to 64 KiB, and checksums that are still
        partial, also those of packets. Never blocks and never waits for a fuller batch; empty means that
        nothing is there. The parcels are new objects and belong to the caller. Raises TunClosedError when the
        device is gone.
        """
        ...

    def write_parcels(self, parcels_untrusted: Sequence[Parcel]) -> int:
        """Hand parcels to the kernel's IP stack in order; returns how many it took, wholly.

        Any device takes any parcel: what this kernel does not cut or complete itself is cut and completed
        before. Never blocks, and keeps no parcel beyond the call. A parcel that is not what it claims to be,
        or that the kernel refuses (malformed, no room), is dropped and the rest goes on. Raises
        TunClosedError when the device is gone.
        """
        ...

    def close(self) -> None:
        """Close the device, which removes the interface; a second call does nothing."""
        ...


class TunManager(Protocol):
    """Makes a configured TUN device and takes back every change it made to the host."""

    def open(self) -> AbstractAsyncContextManager[TunDevice]:
        """The device: created, addressed, routed and up on entry; all of it undone on exit.

        If a step fails on entry, the earlier ones are undone before the error leaves. Raises TunError.
        """
        ...


class ClientTunManager(Protocol):
    """A client's place on the host, which outlives the transports that carry its tunnel.

    Each transport has a device of its own, and one takes the place of another while the client runs::

        async with manager.hold():
            async with manager.open(udp_profile, udp_addresses) as tun: ...
            async with manager.open(tcp_profile, tcp_addresses) as tun: ...

    A context is left in the reverse order of entry, and each is undone on exit, after an error or a
    cancellation too. If a step fails on entry, the earlier ones are undone before the error leaves. Calls
    out of order are the caller's mistake and raise RuntimeError. Not thread-safe; all within one event loop.
    """

    def hold(self) -> AbstractAsyncContextManager[None]:
        """From entry to exit what this host sends goes into the open device, or nowhere.

        Nowhere is where it goes while no device is open, and where everything goes that a device does not
        take: IPv6 of an IPv4-only tunnel, or all of it while somebody has set the interface down. The local
        networks stay reachable, and the sockets of the client's dialers go past the tunnel at all times. A
        program that binds its socket to an interface is not kept from it.

        Traffic is led away from the uplink as the last step of the entry and back to it as the first of the
        exit. In between nothing leaves beside the tunnel, not even while ``open`` is entered, left or fails.
        One client holds the host: a second ``hold``, of this manager or of another process, changes
        nothing and raises TunError. Raises TunError.
        """
        ...

    def open(
        self, profile: TransportProfile, addresses: TunnelAddresses
    ) -> AbstractAsyncContextManager[TunDevice]:
        """The device of one transport, within ``hold``: addressed, up and the default route on entry.

        Its name and MTU are the profile's; it has the default route of each family that ``addresses`` has and
        the host can carry. On exit the device is closed. After a failed entry, and when somebody
        deletes the interface, the host is still held and another device can be opened.

        Raises TunError, ValueError if ``profile`` and ``addresses`` disagree about IPv6, and RuntimeError
        outside ``hold`` or while another device is open.
        """
        ...
